"""Casts over the OpenAI adapter and the fake behind a real socket: whatever goes wrong, OpenAI is asked once."""

from __future__ import annotations

import base64
import json
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from spellcast.adapters import exchange
from spellcast.adapters.exchange import provider_client
from spellcast.adapters.openai import OpenAIAdapter
from spellcast.api.completions import answer_callback
from spellcast.catalog import built_in_tools
from spellcast.domain.casts import Cast
from spellcast.domain.errors import InvalidSignature
from spellcast.domain.polling import MISSES_BEFORE_LOST, Polling
from spellcast.domain.standard_webhooks import sign
from spellcast.domain.tools import Tool, parse_tool
from spellcast.ports.adapter import ProviderConfig
from tests.fakes.adapters import FakeAdapter
from tests.fakes.world import World
from tests.providers.openai import OpenAI
from tests.providers.serving import serving

KEY = "sk-the-key-of-these-tests"
SECRET = "whsec_" + base64.b64encode(b"a shared secret of some length").decode()
PROMPT = "a fox in deep snow"
PATIENCE = 10.0


@pytest.fixture(scope="module")
def project() -> Iterator[tuple[OpenAI, str]]:
    fake = OpenAI(key=KEY, job_seconds=0.02)
    with serving(fake.app()) as url:
        yield fake, f"{url}/v1"


@pytest.fixture
def fake(project: tuple[OpenAI, str]) -> OpenAI:
    fake = project[0]
    fake.switches.reset()
    fake.responses.clear()
    fake.bodies.clear()
    return fake


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "SUBMIT_TIMEOUT", httpx.Timeout(0.2))


@pytest.fixture(autouse=True)
def silent(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, project: tuple[OpenAI, str]
) -> Iterator[None]:
    """No line of any log may hold a secret, a prompt or a token."""
    monkeypatch.setattr(logging.getLogger("spellcast"), "propagate", True)
    caplog.set_level(logging.INFO)
    yield
    tokens = [body["metadata"]["spellcast_token"] for body in project[0].bodies if "metadata" in body]
    said = json.dumps([str(vars(record)) for record in caplog.get_records("call")])
    for secret in (KEY, SECRET, PROMPT, *tokens):
        assert secret not in said


def of_the_world(tool_id: str, **more: Any) -> Tool:
    """A tool of the catalog, of the world's one service."""
    return parse_tool({**built_in_tools()[tool_id].document, "service": "fake", **more})


def make_world(url: str, client: httpx.Client) -> World:
    adapter = OpenAIAdapter(ProviderConfig(url, KEY, SECRET), lambda: client)
    tools = (
        of_the_world("chatgpt-free", deadlineSeconds=1),
        of_the_world("openai-image", deadlineSeconds=1),
        of_the_world("openai-response"),
        of_the_world("openai-response", toolId="polled-response", displayName="polled", deliveryMode="async"),
    )
    return World(*tools, through=lambda port: adapter if isinstance(port, FakeAdapter) else port)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with provider_client() as client:
        yield client


@pytest.fixture
def world(project: tuple[OpenAI, str], fake: OpenAI, client: httpx.Client) -> World:
    return make_world(project[1], client)


def run(world: World, tool_id: str, mark: str = "") -> Cast:
    cast = world.cast(tool_id, inputs={"prompt": f"{PROMPT} {mark}"})
    world.execute(cast)
    return cast


def ended(world: World, cast: Cast) -> Cast:
    world.process(cast)
    return world.settle(cast)


def why(cast: Cast) -> tuple[str, str]:
    """Code and message of the failure."""
    assert cast.status == "failed" and cast.failure is not None
    return cast.failure.code, cast.failure.message


def payload(world: World, cast: Cast) -> Any:
    """What the first step's element of output holds."""
    result = world.generation(cast, 0).result
    assert result is not None
    (element,) = result.payload
    return element["data"]


def done(fake: OpenAI) -> str:
    """The id of the one response, once it is over."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        (response,) = (stored.document for stored in list(fake.responses.values()))
        if response["status"] not in ("queued", "in_progress"):
            return str(response["id"])
        time.sleep(0.005)
    raise AssertionError("the response did not end")


def told(
    world: World, run_id: str, kind: str = "response.completed", seconds: float = 0, secret: str = SECRET
) -> tuple[dict[str, str], bytes]:
    """The event, as it comes at this world's time."""
    body = json.dumps({"object": "event", "id": "evt_1", "type": kind, "data": {"id": run_id}}).encode()
    world.clock.advance(seconds)
    headers = sign(secret, "wh_1", world.clock.now(), body)
    world.clock.advance(-seconds)
    return headers, body


def tell(world: World, run_id: str) -> str | None:
    return world.receive_callback("fake", *told(world, run_id))


# --- What goes well ---


def test_a_chat(world: World, fake: OpenAI) -> None:
    cast = ended(world, run(world, "chatgpt-free"))
    assert (cast.status, cast.cost_usd) == ("completed", Decimal("0.0000125"))
    assert payload(world, cast) == {"text": f"An answer to: {PROMPT} "}
    assert fake.switches.counts == {"submits": 1}


def test_a_picture(world: World, fake: OpenAI) -> None:
    cast = ended(world, run(world, "openai-image"))
    assert (cast.status, cast.cost_usd) == ("completed", Decimal("0.031805"))
    (image,) = payload(world, cast)["images"]
    assert image["mediaType"] == "image/png"
    content, kind = world.media.objects[image["url"].removeprefix("s3:")]
    assert (content[:4], kind) == (b"\x89PNG", "image/png")
    assert fake.switches.counts == {"submits": 1}


def test_a_response_by_webhook_and_once_more(world: World, fake: OpenAI) -> None:
    cast = run(world, "openai-response")
    assert world.machine.polling == [], "nobody asks while a webhook is to come"
    generation_id = f"{cast.cast_id}.0.1"
    run_id = done(fake)
    headers, body = told(world, run_id)
    assert world.receive_callback("fake", headers, body) == generation_id
    cast = ended(world, cast)
    assert (cast.status, cast.cost_usd) == ("completed", Decimal("0.000125"))
    writes = len(world.store.writes)
    assert world.receive_callback("fake", headers, body) == generation_id, "a repeat is taken"
    assert len(world.store.writes) == writes, "and changes nothing"
    assert fake.switches.counts["submits"] == 1


def test_a_response_by_poll(world: World, fake: OpenAI) -> None:
    cast = run(world, "polled-response")
    polling = Polling(f"{cast.cast_id}.0.1")
    assert world.machine.polling == [polling.generation_id]
    done(fake)
    assert world.poll_job(polling).finished
    assert ended(world, cast).status == "completed"
    assert fake.switches.counts == {"submits": 1, "polls": 1}


def test_a_lost_webhook_is_made_up_for_by_a_poll(world: World, fake: OpenAI) -> None:
    cast = run(world, "openai-response")
    done(fake)
    world.clock.advance(901)
    world.execute(cast, token="t2")
    assert ended(world, cast).status == "completed"
    assert fake.switches.counts == {"submits": 1, "polls": 1}


@contextmanager
def listening(world: World, fake: OpenAI) -> Iterator[list[int]]:
    """The completion route on a port of its own, registered with the project; what it answered."""
    answers: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = answer_callback(world.receive_callback, "fake", headers, body)
            answers.append(answer["statusCode"])
            self.send_response(answer["statusCode"])
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    # The fake signs with the real time.
    world.clock.moment = datetime.now(UTC)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.05], daemon=True)
        thread.start()
        fake.register_endpoint(f"http://127.0.0.1:{server.server_port}/v1/completions/openai", SECRET)
        try:
            yield answers
        finally:
            fake.endpoints.clear()
            server.shutdown()
            thread.join(PATIENCE)


def test_a_webhook_that_outruns_the_submits_answer(world: World, fake: OpenAI) -> None:
    with listening(world, fake) as answers:
        cast = run(world, "openai-response", "[fault:early]")
        assert answers == [200], "before the submit's answer"
    assert ended(world, cast).status == "completed"
    assert fake.switches.counts["submits"] == 1


@pytest.mark.parametrize(("mark", "expected"), [("duplicate", [200, 200]), ("forge", [401] * 4), ("stranger", [200])])
def test_webhooks_as_openai_sends_them(world: World, fake: OpenAI, mark: str, expected: list[int]) -> None:
    with listening(world, fake) as answers:
        cast = run(world, "openai-response", f"[fault:{mark}]")
        deadline = time.monotonic() + PATIENCE
        while len(answers) < len(expected) and time.monotonic() < deadline:
            time.sleep(0.01)
    assert answers == expected
    is_told = world.generation(cast, 0).result is not None
    assert is_told is (mark == "duplicate")
    assert fake.switches.counts["submits"] == 1


def test_a_job_that_outlives_its_deadline_is_cancelled(world: World, fake: OpenAI) -> None:
    cast = run(world, "openai-response", "[fault:stall]")
    world.clock.advance(901)
    world.execute(cast, token="t2")
    assert why(ended(world, cast))[0] == "TIMED_OUT"
    # Once more after the cancel: that may tell what was billed.
    assert fake.switches.counts == {"submits": 1, "polls": 2, "cancels": 1}
    assert [stored.document["status"] for stored in fake.responses.values()] == ["cancelled"]


# --- What goes wrong ---

LOST_AT_ONCE = {"timeout": "hang", "502 html": "broken", "truncated json": "garbage"}


@pytest.mark.parametrize("tool_id", ["chatgpt-free", "openai-image"])
@pytest.mark.parametrize("mark", LOST_AT_ONCE.values(), ids=LOST_AT_ONCE)
def test_an_immediate_answer_that_was_lost(world: World, fake: OpenAI, tool_id: str, mark: str) -> None:
    cast = run(world, tool_id, f"[fault:{mark}]")
    world.execute(cast, token="t2")
    code, message = why(ended(world, cast))
    assert code == "OUTCOME_UNKNOWN" and "OpenAI" in message
    assert fake.switches.counts["submits"] == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("mark", LOST_AT_ONCE.values(), ids=LOST_AT_ONCE)
def test_a_job_whose_acceptance_was_lost_is_found_by_its_webhook(world: World, fake: OpenAI, mark: str) -> None:
    cast = run(world, "openai-response", f"[fault:{mark}]")
    generation = world.generation(cast, 0)
    assert (generation.status, generation.run_id) == ("pending", None)
    assert tell(world, done(fake)) == generation.generation_id
    assert ended(world, cast).status == "completed"
    assert fake.switches.counts["submits"] == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("mark", LOST_AT_ONCE.values(), ids=LOST_AT_ONCE)
def test_or_fails_at_its_deadline(world: World, fake: OpenAI, mark: str) -> None:
    cast = run(world, "openai-response", f"[fault:{mark}]")
    world.clock.advance(901)
    world.execute(cast, token="t2")
    assert why(ended(world, cast))[0] == "OUTCOME_UNKNOWN"
    assert fake.switches.counts["submits"] == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("mark", LOST_AT_ONCE.values(), ids=LOST_AT_ONCE)
def test_where_no_webhook_comes_it_fails_at_once(world: World, fake: OpenAI, mark: str) -> None:
    cast = run(world, "polled-response", f"[fault:{mark}]")
    code, message = why(ended(world, cast))
    assert code == "OUTCOME_UNKNOWN" and "OpenAI" in message
    assert fake.switches.counts["submits"] == 1


@contextmanager
def answering(answer: bytes | None) -> Iterator[tuple[str, list[bytes]]]:
    """A server that reads a request whole, and then says this, or cuts the line."""
    requests: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += connection.recv(65_536)
                head, _, body = request.partition(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
                while len(body) < length:
                    body += connection.recv(65_536)
                requests.append(head)
                if answer is None:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", requests
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE)


RAW: dict[str, bytes | None] = {
    "reset after the request was sent": None,
    "200 with garbage": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n\x00\xff\x00\xff",
    "cut in the middle": b'HTTP/1.1 200 OK\r\nContent-Length: 400\r\nConnection: close\r\n\r\n{"id": "re',
    "no HTTP": b"\x00\x01\x02\r\n\r\n",
}


@pytest.mark.parametrize("tool_id", ["chatgpt-free", "openai-image", "polled-response"])
@pytest.mark.parametrize("answer", RAW.values(), ids=RAW)
def test_a_line_that_breaks(client: httpx.Client, tool_id: str, answer: bytes | None) -> None:
    with answering(answer) as (url, requests):
        world = make_world(url, client)
        cast = run(world, tool_id)
        world.execute(cast, token="t2")
        code, message = why(ended(world, cast))
    assert code == "OUTCOME_UNKNOWN" and "OpenAI" in message
    assert len(requests) == 1


REFUSALS = {
    "refuse": ("PROVIDER_REFUSED", "decimal_above_max_value"),
    "throttle": ("PROVIDER_UNAVAILABLE", "429 rate_limit_exceeded"),
    "quota": ("PROVIDER_REFUSED", "insufficient_quota"),
    "policy": ("PROVIDER_REFUSED", "content policy: moderation_blocked"),
}


@pytest.mark.parametrize("tool_id", ["chatgpt-free", "openai-image", "openai-response", "polled-response"])
@pytest.mark.parametrize(("mark", "code", "reason"), [(mark, *expected) for mark, expected in REFUSALS.items()])
def test_a_refusal_names_its_cause(world: World, fake: OpenAI, tool_id: str, mark: str, code: str, reason: str) -> None:
    cast = ended(world, run(world, tool_id, f"[fault:{mark}]"))
    assert (why(cast)[0], cast.cost_usd) == (code, Decimal(0))
    assert reason in why(cast)[1] and "OpenAI" in why(cast)[1]
    # A 429 has begun nothing; those that answer at once have half a second here to be asked again.
    again = {"chatgpt-free": 1, "openai-image": 1}.get(tool_id, 3) if mark == "throttle" else 0
    assert fake.switches.counts == {"submits": 1 + again}


ENDS = {
    "fail": ("server_error", "0"),
    "decline": ("I can't help with that.", "0.0000125"),
    "cut": ("max_output_tokens", "0.0000125"),
    "mute": ("without a text", "0.0000125"),
}


@pytest.mark.parametrize(("mark", "reason", "cost"), [(mark, *expected) for mark, expected in ENDS.items()])
def test_a_bad_end_is_paid_for(world: World, fake: OpenAI, mark: str, reason: str, cost: str) -> None:
    at_once = ended(world, run(world, "chatgpt-free", f"[fault:{mark}]"))
    assert why(at_once)[0] == "JOB_FAILED" and reason in why(at_once)[1]
    assert at_once.cost_usd == Decimal(cost)
    cast = run(world, "openai-response", f"[fault:{mark}]")
    tell(world, done(fake))
    later = ended(world, cast)
    assert why(later) == why(at_once)
    assert later.cost_usd == Decimal(cost) * 10, "by its own model's price"


def test_a_job_that_openai_forgets_is_lost(world: World, fake: OpenAI) -> None:
    cast = run(world, "polled-response", "[fault:lose]")
    polling = Polling(f"{cast.cast_id}.0.1")
    for _ in range(MISSES_BEFORE_LOST):
        polling = world.poll_job(polling)
    assert polling.finished
    assert why(ended(world, cast))[0] == "JOB_LOST"
    assert fake.switches.counts == {"submits": 1, "polls": MISSES_BEFORE_LOST}


def test_a_failed_poll_is_no_news(world: World, fake: OpenAI) -> None:
    cast = run(world, "polled-response", "[fault:hiccup]")
    done(fake)
    polling = world.poll_job(Polling(f"{cast.cast_id}.0.1"))
    assert not polling.finished
    assert world.poll_job(polling).finished
    assert ended(world, cast).status == "completed"


FORGED: dict[str, Callable[[World, str], tuple[dict[str, str], bytes]]] = {
    "wrong signature": lambda world, run_id: told(world, run_id, secret="whsec_Zm9yZ2Vk"),
    "301 s old": lambda world, run_id: told(world, run_id, seconds=-301),
    "301 s ahead": lambda world, run_id: told(world, run_id, seconds=301),
    "unsigned": lambda world, run_id: ({}, told(world, run_id)[1]),
}


@pytest.mark.parametrize("make", FORGED.values(), ids=FORGED)
def test_a_forged_event_changes_nothing(
    world: World, fake: OpenAI, make: Callable[[World, str], tuple[dict[str, str], bytes]]
) -> None:
    cast = run(world, "openai-response")
    run_id = done(fake)
    writes = len(world.store.writes)
    with pytest.raises(InvalidSignature):
        world.receive_callback("fake", *make(world, run_id))
    assert len(world.store.writes) == writes
    assert fake.switches.counts == {"submits": 1}, "and OpenAI is not asked"
    tell(world, run_id)
    assert ended(world, cast).status == "completed"


def test_the_events_of_others_are_nobodys(
    world: World, fake: OpenAI, project: tuple[OpenAI, str], client: httpx.Client
) -> None:
    other = make_world(project[1], client)
    other_cast = run(other, "openai-response")
    run_id = done(fake)
    stored = fake.responses[run_id].document
    stored["metadata"] = {**stored["metadata"], "spellcast_token": "signed.elsewhere"}
    writes = len(world.store.writes)
    assert tell(world, run_id) is None, "another deployment's"
    stored["metadata"] = {}
    assert tell(world, run_id) is None, "another program's"
    assert tell(world, "resp_of_a_test_event") is None
    assert world.receive_callback("fake", *told(world, "batch_1", "batch.completed")) is None
    assert len(world.store.writes) == writes
    assert other.generation(other_cast, 0).status == "processing"
