"""The demo provider behind a line that fails: for each request a draw of its own, by whose job it is and how often."""

from __future__ import annotations

import base64
import http.client
import json
import random
import socket
import struct
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.ports import free_port

# After which a request without an answer is cut off; longer than a step of the soak may take.
HELD_SECONDS = 8.0
# Of all requests, as a share; the rest is passed on as it is.
RATES = {
    "429": 0.10,
    "5xx, and nothing was begun": 0.05,
    "5xx, but it was taken": 0.05,
    "no answer in time": 0.05,
    "reset after it was taken": 0.05,
    "malformed": 0.01,
}


@dataclass
class Line:
    """What went over it: by whose job was asked for, every answer that was given, and the ids of what was begun.

    Whose it is says ComfyUI's prompt id, which we choose, or the callback's token, which names the generation.
    """

    seed: int
    url: str = ""
    upstream: int = 0
    rates: dict[str, float] = field(default_factory=dict)
    asked: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    jobs: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    met: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    ending: threading.Event = field(default_factory=threading.Event)
    _seen: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def draw(self, subject: str) -> str:
        """What befalls the next request about this; the same for the same seed, whatever else goes on."""
        with self._lock:
            self._seen[subject] += 1
            self.requests += 1
            point = random.Random(f"{self.seed} {subject} {self._seen[subject]}").random()
            for fault, rate in self.rates.items():
                point -= rate
                if point < 0:
                    self.met[fault] += 1
                    return fault
        return ""

    def note(self, job: str, fault: str, taken: tuple[int, str, bytes]) -> None:
        """What came of a submit."""
        with self._lock:
            self.asked[job].append(fault or str(taken[0]))
            if taken[0] < 300:
                accepted = json.loads(taken[2])
                self.jobs[job].append(accepted.get("id") or accepted["prompt_id"])

    def forward(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str, bytes]:
        """Status, content type and body of the demo provider's answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=60)
        try:
            kept = {name: value for name, value in headers.items() if name.lower() not in ("host", "connection")}
            connection.request(method, path, body or None, kept)
            answer = connection.getresponse()
            return answer.status, answer.getheader("content-type", ""), answer.read()
        finally:
            connection.close()


def correlation(body: bytes) -> str | None:
    """Whose job a submit asks for; None where it is none."""
    try:
        document: dict[str, Any] = json.loads(body)
    except ValueError:
        return None
    if "prompt_id" in document:
        return str(document["prompt_id"])
    if "webhook" in document:
        token = document["webhook"].rpartition("/")[2].partition(".")[0]
        return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode().partition("|")[0]
    return None


class Server(ThreadingHTTPServer):
    """One end of a line."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, line: Line) -> None:
        super().__init__(("127.0.0.1", free_port()), Handler)
        self.line = line

    def handle_error(self, *arguments: object) -> None:
        pass  # Who asks may go away.

    def shutdown_request(self, request: Any) -> None:
        try:
            super().shutdown_request(request)
        except OSError:
            pass  # It was reset.


class Handler(BaseHTTPRequestHandler):
    """Passes a request on, and its answer back, as far as nothing befalls them."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        line = self.server.line
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        is_submit = self.command == "POST" and self.path.endswith(("/prompt", "/predictions"))
        job = correlation(body) if is_submit else None
        # Each try of a submit draws anew, and so does each poll for a job.
        fault = line.draw(f"submit of {job}" if job else self.path)
        answer = (429 if fault == "429" else 502, "text/html", b"<html>not now</html>")
        taken = answer
        if fault not in ("429", "5xx, and nothing was begun"):
            taken = line.forward(self.command, self.path, dict(self.headers), body)
        if job:
            line.note(job, fault, taken)
        if fault in ("no answer in time", "reset after it was taken"):
            line.ending.wait(HELD_SECONDS if fault == "no answer in time" else 0)
            return self._reset()
        if not fault.startswith(("429", "5xx")):
            answer = taken
        self._answer(*answer[:2], answer[2][: len(answer[2]) // 2] if fault == "malformed" else answer[2])

    def _answer(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _reset(self) -> None:
        self.close_connection = True
        # Nothing lingers: what is closed now is reset, and not ended.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def failing(line: Line, port: int) -> Iterator[Line]:
    """Serves the line at `line.url`, to the demo provider on `port`."""
    line.upstream = port
    with Server(line) as server:
        line.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield line
        finally:
            line.ending.set()
            server.shutdown()
