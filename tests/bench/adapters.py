"""What an adapter adds to its provider's answer: its call against httpx sending the same requests to the same server.

Both are sent by one client over a real socket, in rounds that take turns, so that whatever else the machine does meets
both alike.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median
from typing import Any

import httpx

from spellcast.adapters.exchange import provider_client
from spellcast.adapters.registry import Registry
from spellcast.catalog import built_in_tools
from spellcast.domain.identifiers import job_uuid
from spellcast.domain.tools import Tool, parse_tool
from spellcast.outbound.guard import shared_guarded_client
from spellcast.ports.adapter import Adapter, ProviderConfig, Request

_GENERATION = "bench.0.1"
_JOB = job_uuid(_GENERATION)
_PNG = b"\x89PNG\r\n\x1a\n" + bytes(100_000)
_PICTURE = "https://files.example/picture.png"
_USAGE = {"input_tokens": 11, "output_tokens": 3, "prompt_tokens": 11, "completion_tokens": 3}
_RESPONSE = {
    "id": "resp_1",
    "status": "completed",
    "metadata": {},
    "usage": _USAGE,
    "output": [{"type": "message", "content": [{"type": "output_text", "text": "A fox."}]}],
}
_WORKFLOW = {
    **{str(node): {"class_type": "KSampler", "inputs": {"seed": node}} for node in range(20)},
    "20": {"class_type": "CLIPTextEncode", "inputs": {"text": ""}},
}

# What the server answers, by the request's line.
_ANSWERS: dict[str, Any] = {
    "GET /http": {"text": "A fox."},
    "POST /comfyui/prompt": {"prompt_id": _JOB, "number": 1, "node_errors": {}},
    f"GET /comfyui/history/{_JOB}": {
        _JOB: {
            "outputs": {"9": {"images": [{"filename": "a.png", "subfolder": "", "type": "output"}]}},
            "status": {"status_str": "success", "completed": True, "messages": []},
        }
    },
    "POST /comfyapi/api/v2/jobs": {"id": "job", "status": "queued"},
    "GET /comfyapi/api/v2/jobs/job": {
        "id": "job",
        "status": "succeeded",
        "outputs": [{"url": _PICTURE, "name": "a.png", "type": "output"}],
    },
    "POST /comfydeploy/run/deployment/queue": {"run_id": "run"},
    "GET /comfydeploy/run/run": {
        "id": "run",
        "status": "success",
        "run_duration": 2.5,
        "gpu": "A10G",
        "outputs": [{"data": {"images": [{"url": _PICTURE, "filename": "a.png", "type": "output"}]}}],
    },
    "POST /replicate/v1/models/black-forest-labs/flux-schnell/predictions": {"id": "p", "status": "starting"},
    "GET /replicate/v1/predictions/p": {
        "id": "p",
        "status": "succeeded",
        "output": [_PICTURE],
        "metrics": {"predict_time": 2.5},
    },
    "POST /openai/responses": _RESPONSE,
    "GET /openai/responses/resp_1": _RESPONSE,
    "POST /fal/fal-ai/flux/dev": {"request_id": "r", "status": "IN_QUEUE"},
    "GET /fal/fal-ai/flux/requests/r/status": {"status": "COMPLETED", "metrics": {"inference_time": 2.5}},
    "GET /fal/fal-ai/flux/requests/r": {"images": [{"url": _PICTURE, "content_type": "image/png"}]},
    "POST /huggingface/v1/chat/completions": {
        "choices": [{"message": {"role": "assistant", "content": "A fox."}, "finish_reason": "stop"}],
        "usage": _USAGE,
    },
    "POST /huggingface/hf-inference/models/black-forest-labs/FLUX.1-schnell": _PNG,
}

Call = Callable[[Adapter, str], object]


@dataclass(frozen=True)
class Added:
    """The medians of one call, in milliseconds; `requests` is how many the call sends."""

    service: str
    call: str
    requests: int
    adapter_ms: float
    httpx_ms: float

    @property
    def difference_ms(self) -> float:
        """The adapter's own time."""
        return self.adapter_ms - self.httpx_ms

    @property
    def ratio(self) -> float:
        """How many times as long as httpx alone."""
        return self.adapter_ms / self.httpx_ms


def _jobs() -> dict[str, tuple[Tool, str]]:
    """By service: a tool, and the id that the server's job has; ComfyUI's is derived."""
    catalog = built_in_tools()
    placed = {"workflow": _WORKFLOW, "workflowInputs": {"prompt": ["20", "text"]}}
    return {
        "comfyui": (_tool("comfyui", placed), _JOB),
        "comfyapi": (_tool("comfyapi", placed), "job"),
        "comfydeploy": (_tool("comfydeploy", {"deploymentId": "15e79589-12c9-453c-a41a-348fdd7de957"}), "run"),
        "replicate": (catalog["replicate-flux-schnell"], "p"),
        "openai": (catalog["openai-response"], "resp_1"),
        "fal": (catalog["fal-flux-dev"], "fal-ai/flux/r"),
    }


def _immediate() -> dict[tuple[str, str], Tool]:
    catalog = built_in_tools()
    return {
        ("http", "execute"): catalog["http-request"],
        ("openai", "execute"): catalog["chatgpt-free"],
        ("huggingface", "execute a chat"): catalog["huggingface-chat"],
        ("huggingface", "execute a picture of 100 KB"): catalog["huggingface-flux-schnell"],
    }


def calls() -> Iterator[tuple[str, str, Call]]:
    """Every call of an adapter that asks its provider, as service, name and what is given the server's address."""
    for (service, name), tool in _immediate().items():
        yield service, name, partial(_execute, tool)
    for service, (tool, run_id) in _jobs().items():
        yield service, "start_job", partial(_start_job, tool)
        yield service, "poll_job", partial(_poll_job, tool, run_id)


def _execute(tool: Tool, adapter: Adapter, url: str) -> object:
    return adapter.execute(_asked(tool, url))


def _start_job(tool: Tool, adapter: Adapter, url: str) -> object:
    return adapter.start_job(_asked(tool, url))


def _poll_job(tool: Tool, run_id: str, adapter: Adapter, url: str) -> object:
    return adapter.poll_job(run_id, tool)


def added(rounds: int = 300) -> list[Added]:
    """Every call, measured."""
    with _server() as url, provider_client() as client:
        registry = Registry(lambda service: ProviderConfig(f"{url}/{service}", "key"), lambda: client, True)
        return [
            _measured(registry.get(service), service, name, call, url, client, rounds)
            for service, name, call in calls()
        ]


def _measured(
    adapter: Adapter, service: str, name: str, call: Call, url: str, client: httpx.Client, rounds: int
) -> Added:
    # Users' addresses are asked by a client of their own, which keeps no connection.
    used = shared_guarded_client(True) if service == "http" else client
    sent: list[httpx.Request] = []
    used.event_hooks = {"request": [sent.append]}
    call(adapter, url)
    used.event_hooks = {}
    again = [(each.method, str(each.url), dict(each.headers), each.content) for each in sent]

    def bare() -> None:
        for method, address, headers, content in again:
            used.request(method, address, headers=headers, content=content).raise_for_status()

    adapters, bares = [], []
    for _ in range(rounds):
        adapters.append(_seconds(lambda: call(adapter, url)))
        bares.append(_seconds(bare))
    return Added(service, name, len(sent), median(adapters) * 1000, median(bares) * 1000)


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _tool(service: str, metadata: dict[str, Any]) -> Tool:
    fields = {"prompt": {"type": "string"}}
    definition = {"toolId": "bench", "service": service, "displayName": "Bench", "deliveryMode": "async"}
    return parse_tool({**definition, "inputSchema": fields, "metadata": metadata})


def _asked(tool: Tool, url: str) -> Request:
    inputs = {"url": f"{url}/http"} if tool.service == "http" else {"prompt": "a fox in the snow"}
    return Request(_GENERATION, tool, inputs, f"{url}/v1/completions/token")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One packet an answer; otherwise its second one waits for an acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = _ANSWERS.get(f"{self.command} {self.path.partition('?')[0]}")
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(404 if answer is None else 200)
        self.send_header("Content-Type", "image/png" if isinstance(answer, bytes) else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, format: str, *arguments: object) -> None:
        """Silent."""


@contextmanager
def _server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
