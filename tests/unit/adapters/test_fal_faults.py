"""What can go wrong with fal, over real sockets and through the use cases: one POST, and a reason that says so."""

from __future__ import annotations

import io
import logging
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from spellcast.adapters import exchange, fal
from spellcast.api.completions import answer_callback
from spellcast.domain.casts import Cast
from spellcast.domain.generations import Generation
from spellcast.domain.polling import Polling
from spellcast.observability import logger
from spellcast.ports.adapter import ProviderConfig
from tests.fakes.adapters import FakeAdapter
from tests.fakes.world import World, make_tool
from tests.providers.fal import Fal
from tests.providers.serving import serving

KEY = "an-id:a-very-secret-half"
PROMPT = "a very private prompt"
PATIENCE = 10.0


class Stage:
    """A caster, fal, and the address at which fal calls back."""

    def __init__(self, world: World, service: Fal) -> None:
        self.world = world
        self.service = service
        self.submits = 1
        self.callbacks: list[tuple[str, dict[str, str], bytes]] = []
        self.log = io.StringIO()

    def start(self, fault: str, tool: str = "picture") -> Cast:
        """A cast that has asked for its picture."""
        cast = self.world.cast(tool, inputs={"prompt": f"{PROMPT} [fault:{fault}]" if fault else PROMPT})
        self.world.execute(cast)
        return cast

    def generation(self, cast: Cast) -> Generation:
        return self.world.generation(cast, 0)

    def await_result(self, cast: Cast) -> Generation:
        """The generation once a callback has brought its result."""
        self.until(lambda: self.generation(cast).result is not None)
        return self.generation(cast)

    def until(self, condition: Any) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "it did not come to pass"
            time.sleep(0.005)

    def at_its_deadline(self, cast: Cast) -> Generation:
        """The second invocation of the segment: it polls once, and gives the job up."""
        self.world.clock.moment = self.generation(cast).deadline_at
        self.world.execute(cast, token="second")
        return self.generation(cast)

    def poll(self, cast: Cast) -> Generation:
        """The polling machine, as often as it takes."""
        polling = Polling(f"{cast.cast_id}.0.1")
        while not polling.finished:
            polling = self.world.poll_job(polling)
            time.sleep(0.01)
        return self.generation(cast)

    def receive(self, token: str, headers: dict[str, str], body: bytes) -> int:
        self.callbacks.append((token, headers, body))
        answer = answer_callback(self.world.receive_callback, token, headers, body)
        return int(answer["statusCode"])

    async def endpoint(self, request: Request) -> Response:
        token, body = request.path_params["token"], await request.body()
        return Response(status_code=await run_in_threadpool(self.receive, token, dict(request.headers), body))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Stage]:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(exchange, "SUBMIT_TIMEOUT", httpx.Timeout(0.5))
    service = Fal()
    with serving(service.app()) as url, stage_at(url, service) as made:
        yield made
        assert service.counts["submits"] == made.submits, "a POST whose fate is unknown is not repeated"
        assert_no_secret(made)


@contextmanager
def stage_at(url: str, service: Fal) -> Iterator[Stage]:
    """Everything but fal itself, which is at this address."""
    with exchange.provider_client() as client:
        config = ProviderConfig(url, KEY, f"{url}/.well-known/jwks.json")
        adapter = fal.build(config, lambda: client, True)
        metadata = {"model": "fal-ai/flux/dev", "outputType": "image"}
        tools = [make_tool(f"{mode}-picture", mode, "0.03", metadata=metadata) for mode in ("webhook", "async")]
        tools = [replace(tool, tool_id=name) for tool, name in zip(tools, ("picture", "polled-picture"), strict=True)]
        world = World(*tools, through=lambda port: adapter if isinstance(port, FakeAdapter) else port)
        world.clock.moment = datetime.now(UTC)
        made = Stage(world, service)
        everything = logging.StreamHandler(made.log)
        logging.getLogger().addHandler(everything)
        handlers = [item for item in logger().handlers if isinstance(item, logging.StreamHandler)]
        streams = [handler.setStream(made.log) for handler in handlers]
        callbacks = Starlette(routes=[Route("/v1/completions/{token}", made.endpoint, methods=["POST"])])
        try:
            with serving(callbacks) as callback_url:
                start = replace(world.execute_step.start_job, callback_base_url=callback_url)
                world.execute_step = replace(world.execute_step, start_job=start)
                yield made
        finally:
            logging.getLogger().removeHandler(everything)
            for handler, stream in zip(handlers, streams, strict=True):
                if stream is not None:
                    handler.setStream(stream)


def assert_no_secret(stage: Stage) -> None:
    tokens = [token for token, _, _ in stage.callbacks]
    for secret in (KEY, PROMPT, "/v1/completions/", *tokens):
        assert secret not in stage.log.getvalue()


def reason(generation: Generation) -> tuple[str, str]:
    assert generation.result is not None and generation.result.failure is not None
    return generation.result.failure.code, generation.result.failure.message


LOST = ["hang", "broken", "garbage", "noise"]


@pytest.mark.parametrize("fault", ["", *LOST, "duplicate", "bulky", "early"])
def test_the_callback_completes_the_job_whatever_became_of_the_answer(stage: Stage, fault: str) -> None:
    cast = stage.start(fault)
    generation = stage.await_result(cast)
    assert generation.result is not None and generation.result.status == "succeeded"
    assert generation.result.payload[0]["data"]["images"][0]["mediaType"] == "image/png"
    stage.until(lambda: len(stage.service.callback_answers) == (2 if fault == "duplicate" else 1))
    assert set(stage.service.callback_answers) == {200}
    assert stage.generation(cast).revision == generation.revision, "a second callback writes nothing"
    assert "A callback was taken" in stage.log.getvalue()
    stage.world.process(cast)
    assert str(stage.generation(cast).cost_usd) == "0.03"
    sent = stage.service.submits[0]
    assert (sent[0], sent[1]["x-fal-no-retry"], sent[1]["authorization"]) == ("/fal-ai/flux/dev", "1", f"Key {KEY}")


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("hang", "fal was asked, but its answer was lost"),
        ("broken", "fal answered 502 and may have started the job"),
        ("garbage", "fal took the job, but its answer cannot be read"),
        ("noise", "fal took the job, but its answer cannot be read"),
    ],
)
def test_a_job_that_nobody_calls_about_is_unknown_at_once(stage: Stage, fault: str, cause: str) -> None:
    assert reason(stage.generation(stage.start(fault, "polled-picture"))) == ("OUTCOME_UNKNOWN", cause)


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        ("refuse", "PROVIDER_REFUSED", "fal refused (400): Invalid webhook URL"),
        ("throttle", "PROVIDER_UNAVAILABLE", "fal takes no more jobs at the moment (429)"),
    ],
)
def test_a_job_that_was_not_taken(stage: Stage, fault: str, code: str, message: str) -> None:
    # Of a 429 it is known that nothing was begun.
    stage.submits = 4 if fault == "throttle" else 1
    assert reason(stage.generation(stage.start(fault))) == (code, message)


FAILURES = [
    ("invalid", "JOB_FAILED", "fal: prompt: Field required (422)", False),
    ("fail", "JOB_FAILED", "fal: CUDA out of memory (500)", False),
    ("crash", "JOB_FAILED", "fal: Runner disconnected (runner_disconnected)", True),
    ("late", "TIMED_OUT", "fal: Request timed out (request_timeout)", True),
    ("blank", "JOB_FAILED", "fal ended the job without an output", False),
]


@pytest.mark.parametrize("tool", ["picture", "polled-picture"])
@pytest.mark.parametrize(("fault", "code", "message", "retryable"), FAILURES, ids=[case[0] for case in FAILURES])
def test_a_job_that_fails(stage: Stage, tool: str, fault: str, code: str, message: str, retryable: bool) -> None:
    cast = stage.start(fault, tool)
    generation = stage.poll(cast) if tool == "polled-picture" else stage.await_result(cast)
    assert reason(generation) == (code, message)
    assert generation.result is not None and generation.result.failure is not None
    assert generation.result.failure.retryable is retryable
    stage.world.process(cast)
    assert str(stage.generation(cast).cost_usd) == ("0.03" if fault == "blank" else "0")


@pytest.mark.parametrize("fault", ["drop", "forge", "stale"])
def test_a_poll_stands_in_for_a_callback_that_was_lost_or_refused(stage: Stage, fault: str) -> None:
    cast = stage.start(fault)
    job = next(iter(stage.service.jobs.values()))
    stage.until(lambda: job.called.is_set() if fault == "drop" else stage.service.callback_answers)
    assert set(stage.service.callback_answers) <= {401}
    assert stage.generation(cast).result is None
    generation = stage.at_its_deadline(cast)
    assert generation.result is not None and generation.result.status == "succeeded"
    assert generation.run_id == f"fal-ai/flux/{job.request_id}"


@pytest.mark.parametrize("seconds", [-301, 301])
def test_a_replay_after_its_time_changes_nothing(stage: Stage, seconds: int) -> None:
    cast = stage.start("drop")
    job = next(iter(stage.service.jobs.values()))
    stage.until(job.called.is_set)
    token = job.webhook.rpartition("/")[2]
    body = b'{"request_id": "%s", "status": "OK", "payload": {"image": {"url": "https://f.example/a.png"}}}'
    content = body % job.request_id.encode()
    now = stage.world.clock.now().timestamp()
    assert stage.receive(token, stage.service.signed(job.request_id, content, now + seconds), content) == 401
    assert stage.generation(cast).result is None
    assert stage.receive(token, stage.service.signed(job.request_id, content, now), content) == 200
    applied = stage.generation(cast)
    assert applied.result is not None
    assert stage.receive(token, stage.service.signed(job.request_id, content, now), content) == 200
    assert stage.generation(cast) == applied


def test_a_polled_job(stage: Stage) -> None:
    cast = stage.start("hiccup", "polled-picture")
    generation = stage.poll(cast)
    assert generation.result is not None and generation.result.status == "succeeded"
    assert generation.result.duration_ms is not None
    assert stage.service.counts["polls"] >= 2 and stage.callbacks == []


def test_a_job_that_fal_has_forgotten(stage: Stage) -> None:
    cast = stage.start("lose", "polled-picture")
    assert reason(stage.poll(cast)) == ("JOB_LOST", "fal does not know the job any more")


def test_a_job_that_fal_has_forgotten_is_given_up_at_its_deadline(stage: Stage) -> None:
    cast = stage.start("lose")
    assert reason(stage.at_its_deadline(cast))[0] == "TIMED_OUT"


def test_a_job_that_never_ends_is_cancelled(stage: Stage) -> None:
    cast = stage.start("stall")
    assert reason(stage.at_its_deadline(cast))[0] == "TIMED_OUT"
    assert stage.service.counts["cancels"] == 1
    job = next(iter(stage.service.jobs.values()))
    stage.until(job.called.is_set)
    assert job.result[0] == 499


def test_a_connection_that_is_reset_after_the_request_was_sent(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    service = Fal()
    with resetting() as (url, requests), stage_at(url, service) as stage:
        cast = stage.start("")
        assert stage.generation(cast).status == "pending"
        code, message = reason(stage.at_its_deadline(cast))
        assert len(requests) == 1 and requests[0].startswith(b"POST /fal-ai/flux/dev?")
        assert code == "OUTCOME_UNKNOWN" and message.startswith("fake did not answer the submission")
        polled = stage.start("", "polled-picture")
        assert reason(stage.generation(polled)) == ("OUTCOME_UNKNOWN", "fal was asked, but its answer was lost")
        assert len(requests) == 2
        assert_no_secret(stage)


@contextmanager
def resetting() -> Iterator[tuple[str, list[bytes]]]:
    """A server that reads a whole request, and resets the connection."""
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                data = b""
                while b"}" not in data.partition(b"\r\n\r\n")[2]:
                    data += connection.recv(65536)
                requests.append(data)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", requests
        server.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE)
