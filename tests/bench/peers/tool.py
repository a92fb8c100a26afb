"""The tools of every peer's workflow: the demo provider's, asked by httpx. It is imported in the peers' environments.

A workflow is three questions that are answered at once, or three jobs that are called back for, one after the other.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

STEPS = 3
CASTS, CALLERS = 60, 8
SAMPLES = 30  # workflows that run alone; of jobs, half as many
_JOB = "[seconds:0.2]"
Document = dict[str, Any]

_clients = threading.local()


def ask(url: str, before: str) -> Document:
    """A question that is answered at once, with what the step before was answered; `at` is when it was asked."""
    at = time.time()
    answer = _client().get(f"{url}/health", params={"status": before}).raise_for_status()
    return {"at": at, "text": answer.json()["status"]}


def submit(url: str, callback: str) -> Document:
    """A job, as the provider shows it; it calls back when it has ended."""
    body = {"input": {"prompt": _JOB}, "webhook": callback, "webhook_events_filter": ["completed"]}
    address = f"{url}/replicate/v1/models/owner/name/predictions"
    answer = _client().post(address, json=body, headers={"Authorization": "Bearer key"}).raise_for_status()
    document: Document = answer.json()
    return document


def job(url: str, job_id: str) -> Document:
    """The job as the provider shows it now."""
    address = f"{url}/replicate/v1/predictions/{job_id}"
    document: Document = _client().get(address, headers={"Authorization": "Bearer key"}).raise_for_status().json()
    return document


def step_ms(asked: Sequence[Document]) -> float:
    """Milliseconds from one step of a workflow to the next: the mean."""
    return float((asked[-1]["at"] - asked[0]["at"]) / (len(asked) - 1) * 1000)


def submits_ms(jobs: Sequence[Document]) -> list[float]:
    """By the provider's clock, from the end of each job to the next one's submit."""
    return [
        (datetime.fromisoformat(after["created_at"]) - datetime.fromisoformat(before["completed_at"])).total_seconds()
        * 1000
        for before, after in itertools.pairwise(jobs)
    ]


def tell(version: str, steps: Sequence[float], seconds: float, submits: Sequence[float] | None) -> None:
    """What a peer found, for who started it; `seconds` are those of CASTS workflows with CALLERS at a time."""
    json.dump({"version": version, "steps": steps, "seconds": seconds, "submits": submits}, sys.stdout)


@contextmanager
def callbacks(received: Callable[[str, Document], None]) -> Iterator[str]:
    """A server for the provider's callbacks; `received` is given the last part of the address, and the job."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received(self.path.rpartition("/")[2], json.loads(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _client() -> httpx.Client:
    if not hasattr(_clients, "client"):
        _clients.client = httpx.Client(timeout=30)
    client: httpx.Client = _clients.client
    return client
