"""Every provider × everything that can go wrong, over real connections and through the use cases: one POST, an end
that names provider and cause, and no secret in the log.

A service that is new in the registry gets every row, and fails until it is described here.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import httpx
import pytest

from spellcast.adapters import exchange
from spellcast.adapters.exchange import provider_client
from spellcast.adapters.registry import DELIVERY_MODES, SHARED_ADDRESSES, Registry
from spellcast.api.completions import answer_callback
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.errors import InvalidSignature
from spellcast.domain.generations import Generation
from spellcast.domain.polling import Polling
from spellcast.domain.standard_webhooks import sign
from spellcast.observability import logger
from spellcast.ports.adapter import ProviderConfig
from tests.fakes.adapters import FakeAdapter
from tests.fakes.world import SIGNING_KEY, World, make_tool
from tests.providers.fal import Fal, jwk

KEY = "a-key-that-no-log-may-hold"
SECRET = "whsec_c2VjcmV0"
FORGED = "whsec_Zm9yZ2Vk"
PROMPT = "a prompt that no log may hold"
RUN = "8f1c2a34-0b5d-4e6f-9a7b-1c2d3e4f5a6b"
PICTURE = {"url": "https://files.example/a.png", "type": "output", "filename": "a.png", "name": "a.png"}
WORKFLOW = {"6": {"class_type": "CLIPTextEncode", "inputs": {}}, "9": {"class_type": "SaveImage", "inputs": {}}}
BY_WORKFLOW = {"workflow": WORKFLOW, "workflowInputs": {"prompt": ["6", "text"]}}
FAL = Fal()
PATIENCE = 10.0

# --- The services, as they are on the wire ---

# Of a path and of what was submitted: what the service answers for a job that has ended well, and for one that it does
# not know; None is a 404.
Told = Callable[[str, Document], Document | None]
# Of a time, a body and whether it is to be forged: the headers of a callback.
Signed = Callable[[datetime, bytes, bool], dict[str, str]]


def nothing(path: str, asked: Document) -> None:
    return None


@dataclass(frozen=True)
class Service:
    """One provider: how it takes a job, what it tells of it, and how it calls back."""

    name: str
    metadata: Document
    accepted: Callable[[Document], Document]
    ended: Told = nothing
    unknown: Told = nothing
    callback: Document | None = None
    signed: Signed | None = None
    base: str = ""
    secret: str = SECRET


def standard(at: datetime, body: bytes, is_forged: bool) -> dict[str, str]:
    return sign(FORGED if is_forged else SECRET, "msg_1", at, body)


def of_fal(at: datetime, body: bytes, is_forged: bool) -> dict[str, str]:
    return FAL.signed(RUN, body, at.timestamp(), forged=is_forged)


def comfyui(path: str, asked: Document) -> Document:
    entry = {"outputs": {"9": {"images": [PICTURE]}}, "status": {"status_str": "success", "messages": []}}
    return {asked["prompt_id"]: entry} if path.startswith("/history/") else {}


def comfyapi(path: str, asked: Document) -> Document:
    job = {"id": RUN, "status": "succeeded", "outputs": [PICTURE], "metadata": asked["metadata"]}
    return job if path.endswith(RUN) else {"jobs": [job]}


def fal(path: str, asked: Document) -> Document:
    return {"status": "COMPLETED"} if path.endswith("/status") else {"images": [PICTURE]}


def openai(path: str, asked: Document) -> Document:
    message = {"type": "message", "content": [{"type": "output_text", "text": "An answer."}]}
    return {"id": RUN, "status": "completed", "output": [message], "metadata": asked["metadata"]}


COMFY_RUN = {"id": RUN, "run_id": RUN, "status": "success", "outputs": [{"data": {"images": [PICTURE]}}]}
PREDICTION = {"id": RUN, "status": "succeeded", "output": [PICTURE["url"]]}
SERVICES = {
    "comfyui": Service(
        "ComfyUI",
        BY_WORKFLOW,
        accepted=lambda asked: {"prompt_id": asked["prompt_id"], "number": 1, "node_errors": {}},
        ended=comfyui,
        unknown=lambda path, asked: {},
    ),
    "comfyapi": Service(
        "The Comfy API",
        BY_WORKFLOW,
        accepted=lambda asked: {"id": RUN, "status": "queued"},
        ended=comfyapi,
        unknown=lambda path, asked: None if path.endswith(RUN) else {"jobs": []},
    ),
    "comfydeploy": Service(
        "ComfyDeploy",
        {"deploymentId": "15e79589-12c9-453c-a41a-348fdd7de957"},
        accepted=lambda asked: {"run_id": RUN},
        ended=lambda path, asked: COMFY_RUN,
        callback=COMFY_RUN,
        base="/api",
    ),
    "replicate": Service(
        "Replicate",
        {"model": "owner/model"},
        accepted=lambda asked: {"id": RUN, "status": "starting"},
        ended=lambda path, asked: PREDICTION,
        callback=PREDICTION,
        signed=standard,
    ),
    "openai": Service(
        "OpenAI",
        {"model": "a-model"},
        accepted=lambda asked: {"id": RUN, "status": "queued"},
        ended=openai,
        callback={"object": "event", "type": "response.completed", "data": {"id": RUN}},
        signed=standard,
        base="/v1",
    ),
    "fal": Service(
        "fal",
        {"model": "owner/model"},
        accepted=lambda asked: {"request_id": RUN},
        ended=fal,
        callback={"request_id": RUN, "status": "OK", "payload": {"images": [PICTURE]}},
        signed=of_fal,
        secret="{url}/.well-known/jwks.json",
    ),
    "huggingface": Service(
        "Hugging Face",
        {"task": "chat-completion", "model": "owner/model"},
        accepted=lambda asked: {"choices": [{"message": {"content": "An answer."}}]},
    ),
}


class Peer:
    """The provider's end of the line. `fault` answers the submits; without one they are accepted."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.fault: Fault | None = None
        self.told = service.unknown
        self.submits: list[tuple[str, Document]] = []
        self.before_answering: Callable[[], object] = lambda: None
        self.is_over = threading.Event()

    def answer(self, handler: Handler) -> None:
        """What the service says to a question, a cancellation or a submit."""
        body = handler.rfile.read(int(handler.headers["content-length"] or 0))
        if handler.path == "/.well-known/jwks.json":
            handler.say(200, {"keys": [jwk(FAL.key)]})
        elif handler.command == "GET":
            document = self.told(handler.path.removeprefix(self.service.base), self.submits[-1][1])
            handler.say(404 if document is None else 200, document or {})
        elif handler.command == "DELETE" or "cancel" in handler.path:
            handler.say(200, {})
        else:
            asked = json.loads(body)
            self.submits.append((handler.path, asked))
            self.before_answering()
            accepted = self.service.accepted(asked)
            if self.fault is None:
                handler.say(200, accepted)
            else:
                self.fault(self, handler, json.dumps(accepted).encode())


class Handler(BaseHTTPRequestHandler):
    peer: Peer

    def do_GET(self) -> None:
        self.peer.answer(self)

    do_POST = do_PUT = do_DELETE = do_GET

    def say(self, status: int, content: Document | bytes, media_type: str = "application/json") -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", media_type)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        pass


Fault = Callable[[Peer, Handler, bytes], object]


def reset(peer: Peer, handler: Handler, accepted: bytes) -> None:
    handler.close_connection = True
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(handler.connection.detach())


def page(peer: Peer, handler: Handler, accepted: bytes) -> None:
    handler.say(502, b"<html><h1>502 Bad Gateway</h1></html>", "text/html")


def truncated(peer: Peer, handler: Handler, accepted: bytes) -> None:
    handler.say(200, accepted[: len(accepted) // 2])


def garbage(peer: Peer, handler: Handler, accepted: bytes) -> None:
    handler.say(200, b"\x89\x00\xff")


def silence(peer: Peer, handler: Handler, accepted: bytes) -> None:
    peer.is_over.wait(PATIENCE)
    handler.close_connection = True


# --- A cast over one of them ---


class Scene:
    """A caster with one tool of the service, in one of its ways of delivery."""

    def __init__(self, service_id: str, mode: str, peer: Peer, adapters: Registry) -> None:
        adapter = adapters.get(service_id)
        tool = make_tool(
            "tool",
            mode,
            service=service_id,
            metadata=peer.service.metadata,
            inputSchema={"prompt": {"type": "string"}},
            deadlineSeconds=1 if mode == "immediate" else 60,
        )
        self.world = World(tool, through=lambda port: adapter if isinstance(port, FakeAdapter) else port)
        self.world.adapters.rename("fake", service_id)
        self.world.receive_callback = replace(self.world.receive_callback, shared_addresses=SHARED_ADDRESSES)
        self.peer, self.service, self.service_id, self.mode = peer, peer.service, service_id, mode
        self.casts: list[Cast] = []
        self.is_looked_up = adapter.derived_run_id("c.0.1") is not None
        self.tokens: list[str] = []

    def start(self) -> None:
        """One more cast, which asks for its job; as the machine may, it asks its function twice."""
        self.casts.append(self.world.cast("tool", inputs={"prompt": PROMPT}))
        self.world.execute(self.casts[-1])
        if self.mode == "immediate":
            self.world.execute(self.casts[-1], token="again")

    @property
    def generation(self) -> Generation:
        return self.world.generation(self.casts[-1], 0)

    def ask(self) -> None:
        """The machine that polls, where there is one, until it has done; otherwise the poll at the step's deadline."""
        polling = Polling(self.generation.generation_id)
        if self.generation.generation_id in self.world.machine.polling:
            while not polling.finished:
                polling = self.world.poll_job(polling)
        elif self.generation.result is None:
            self.world.clock.moment = self.generation.deadline_at
            self.world.execute(self.casts[-1], token="second")

    def call_back(self, seconds: float = 0, *, is_forged: bool = False) -> int:
        """The status that a callback is answered with, sent so many seconds from now."""
        path, asked = self.peer.submits[-1]
        found = re.search(r"/v1/completions/([\w.=-]+)", unquote(path + json.dumps(asked)))
        token = self.service_id if found is None else found[1]
        self.tokens.append(token)
        body, headers = json.dumps(self.service.callback).encode(), {}
        if self.service.signed is not None:
            headers = self.service.signed(self.world.clock.now() + timedelta(seconds=seconds), body, is_forged)
        elif is_forged:
            token = f"{token}x"
        status: int = answer_callback(self.world.receive_callback, token, headers, body)["statusCode"]
        return status

    def expect_success(self) -> None:
        result = self.generation.result
        assert result is not None and (result.status, result.failure) == ("succeeded", None)

    def expect_failure(self, code: str, cause: str) -> None:
        """Of the cast, which has ended by it."""
        self.world.process(self.casts[-1])
        failure = self.world.settle(self.casts[-1]).failure
        assert failure is not None and failure.code == code
        assert re.match(cause, failure.message), failure.message


@contextmanager
def staged(service_id: str, mode: str) -> Iterator[Scene]:
    peer = Peer(SERVICES[service_id])
    handler = type("Answering", (Handler,), {"peer": peer})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, provider_client() as client:
        thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        config = ProviderConfig(f"{url}{peer.service.base}", KEY, peer.service.secret.format(url=url))
        try:
            yield Scene(service_id, mode, peer, Registry(lambda _: config, lambda: client, True))
        finally:
            peer.is_over.set()
            server.shutdown()
            thread.join(PATIENCE)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """All that anything logs."""
    caplog.set_level(logging.INFO)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logger().registered_formatter)
    heard = (logging.getLogger(), logging.getLogger("spellcast"))
    for each in heard:
        each.addHandler(handler)
    yield stream
    for each in heard:
        each.removeHandler(handler)


# --- What goes wrong ---


def lost(fault: Fault, cause: str) -> Callable[[Scene], None]:
    """The answer to the submit is lost: the job is looked up, heard of, or given up; it is never asked for again."""

    def row(scene: Scene) -> None:
        scene.peer.fault = fault
        scene.start()
        scene.ask()
        if scene.is_looked_up:
            scene.expect_failure("JOB_LOST", f"{scene.service.name} .*know")
        elif scene.mode == "webhook":
            scene.expect_failure("OUTCOME_UNKNOWN", f"{scene.service_id} did not answer the submission")
        else:
            scene.expect_failure("OUTCOME_UNKNOWN", f"{scene.service.name} .*{cause}")
        scene.peer.told = scene.service.ended
        if scene.is_looked_up:
            scene.start()
            scene.ask()
            scene.expect_success()
        elif scene.mode == "webhook":
            scene.start()
            assert scene.call_back() == 200
            scene.expect_success()

    return row


def accepted_then_unknown(scene: Scene) -> None:
    scene.start()
    assert scene.generation.run_id is not None
    is_polled = scene.generation.generation_id in scene.world.machine.polling
    assert is_polled is (scene.mode == "async" or scene.service.callback is None)
    scene.ask()
    if is_polled:
        scene.expect_failure("JOB_LOST", f"{scene.service.name} .*know")
    else:
        scene.expect_failure("TIMED_OUT", "Job did not complete within timeout period")


def under_way(scene: Scene) -> int:
    """How often has been written by the time that the job runs."""
    scene.start()
    scene.peer.told = scene.service.ended
    return len(scene.world.store.writes)


def wrong_signature(scene: Scene) -> None:
    writes = under_way(scene)
    assert scene.call_back(is_forged=True) == 401
    assert len(scene.world.store.writes) == writes
    assert scene.call_back() == 200
    scene.expect_success()


def stale_timestamp(scene: Scene) -> None:
    writes = under_way(scene)
    assert [scene.call_back(seconds) for seconds in (-301, 301)] == [401, 401]
    assert len(scene.world.store.writes) == writes
    # What was refused is not lost: the poll of the deadline finds it.
    scene.ask()
    scene.expect_success()
    for seconds in (-299, 299):
        under_way(scene)
        assert scene.call_back(seconds) == 200
        scene.expect_success()


def replayed(scene: Scene) -> None:
    under_way(scene)
    assert scene.call_back() == 200
    scene.expect_success()
    before, writes = scene.generation, len(scene.world.store.writes)
    assert [scene.call_back(), scene.call_back()] == [200, 200]
    assert (scene.generation, len(scene.world.store.writes)) == (before, writes)


def before_the_answer(scene: Scene) -> None:
    answers: list[int] = []
    scene.peer.told = scene.service.ended
    scene.peer.before_answering = lambda: answers.append(scene.call_back())
    scene.start()
    assert answers == [200]
    scene.expect_success()
    assert scene.world.machine.answers == {"token": scene.generation.generation_id}


LOST_ANSWERS = {
    "timeout": lost(silence, "its answer was lost"),
    "reset after the request was sent": lost(reset, "its answer was lost"),
    "502 HTML": lost(page, "answered 502 and may have started the job"),
    "truncated JSON": lost(truncated, "its answer cannot be read"),
    "200 with garbage": lost(garbage, "its answer cannot be read"),
}
JOBS = {"accepted then unknown id": accepted_then_unknown}
CALLBACKS = {
    "wrong signature": wrong_signature,
    "stale timestamp (±301 s)": stale_timestamp,
    "replayed webhook": replayed,
    "webhook before the submit's answer": before_the_answer,
}
ROWS = {**LOST_ANSWERS, **JOBS, **CALLBACKS}
# Which rows a service cannot have, and why.
LEFT_OUT: list[tuple[tuple[str, ...], Iterable[str], str]] = [
    (("string", "expression"), ROWS, "it asks nobody"),
    (("http",), ROWS, "its addresses and methods are the spell's own: test_http.py has what they prove"),
    (("comfyui", "comfyapi"), CALLBACKS, "it calls nobody back, and is polled"),
    (("huggingface",), {**JOBS, **CALLBACKS}, "it answers at once: there are no jobs"),
    (("comfydeploy",), ["stale timestamp (±301 s)"], "its callbacks have no time: the token expires, the end is read"),
]
REASONS = {(service, row): reason for services, rows, reason in LEFT_OUT for service in services for row in rows}


def is_in(mode: str, row: str) -> bool:
    """Only jobs are accepted, and only who asked to be is called back."""
    return row in LOST_ANSWERS or (mode != "immediate" if row in JOBS else mode == "webhook")


CASES = [
    (service, mode, row)
    for service, modes in DELIVERY_MODES.items()
    for row in ROWS
    if (service, row) not in REASONS
    for mode in modes
    if is_in(mode, row)
]


@pytest.mark.parametrize(("service", "mode", "row"), CASES, ids=[", ".join(case) for case in CASES])
def test_the_matrix(log: io.StringIO, monkeypatch: pytest.MonkeyPatch, service: str, mode: str, row: str) -> None:
    if row == "timeout":
        monkeypatch.setattr(exchange, "SUBMIT_TIMEOUT", httpx.Timeout(0.2, connect=5.0))
    with staged(service, mode) as scene:
        ROWS[row](scene)
    assert len(scene.peer.submits) == len(scene.casts)
    for secret in (KEY, SECRET, PROMPT, SIGNING_KEY, "/v1/completions/", *set(scene.tokens) - SHARED_ADDRESSES):
        assert secret not in log.getvalue()


def test_every_service_has_every_row_or_a_reason() -> None:
    have = {(service, row) for service, _, row in CASES} | set(REASONS)
    assert have == {(service, row) for service in DELIVERY_MODES for row in ROWS}
    for service in {service for service, row in REASONS if row in CALLBACKS} - {"comfydeploy"}:
        adapter = Registry(lambda _: ProviderConfig("http://127.0.0.1:1", KEY), httpx.Client, True).get(service)
        with pytest.raises(InvalidSignature):
            adapter.parse_webhook({}, b"{}", make_tool("tool"), datetime.now())
