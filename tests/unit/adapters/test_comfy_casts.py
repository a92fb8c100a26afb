"""What test_fault_matrix.py does not have of ComfyUI, the Comfy API and ComfyDeploy: refusals, the callbacks that
ComfyDeploy does not sign, and its fake.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest

from spellcast.adapters import exchange
from spellcast.adapters.comfyapi import ComfyApiAdapter
from spellcast.adapters.comfydeploy import ComfyDeployAdapter
from spellcast.adapters.comfyui import ComfyUIAdapter
from spellcast.adapters.exchange import provider_client
from spellcast.api.completions import answer_callback
from spellcast.domain import callback_tokens
from spellcast.domain.casts import Cast
from spellcast.domain.generations import Generation
from spellcast.domain.polling import MISSES_BEFORE_LOST, Polling
from spellcast.domain.retrying import MOST_TRIES
from spellcast.observability import logger
from spellcast.ports.adapter import Adapter, ProviderConfig
from tests.fakes.adapters import FakeAdapter
from tests.fakes.world import SIGNING_KEY, World, make_tool
from tests.providers.comfydeploy import DEPLOYMENT, ComfyDeploy
from tests.providers.serving import serving

KEY = "a-key-that-no-log-may-hold"
PROMPT = "a prompt that no log may hold"
RUN = "8f1c2a34-0b5d-4e6f-9a7b-1c2d3e4f5a6b"
WORKFLOW = {"6": {"class_type": "CLIPTextEncode", "inputs": {}}, "9": {"class_type": "SaveImage", "inputs": {}}}
PICTURE = {"url": "https://files.example/a.png", "type": "output", "filename": "a.png", "name": "a.png"}


def no_client() -> httpx.Client:
    raise AssertionError("nothing has to be fetched")


@dataclass(frozen=True)
class Service:
    """A service, and a tool of it."""

    name: str
    adapter: Callable[[Callable[[], httpx.Client]], Adapter]
    mode: str
    metadata: dict[str, Any]


COMFYUI = Service(
    "ComfyUI",
    lambda client: ComfyUIAdapter(ProviderConfig("http://comfy.example:8188", KEY), client, no_client),
    "async",
    {"workflow": WORKFLOW, "workflowInputs": {"prompt": ["6", "text"]}},
)
COMFY_API = Service(
    "The Comfy API",
    lambda client: ComfyApiAdapter(ProviderConfig("https://comfy.example", KEY), client, no_client),
    "async",
    {"workflow": WORKFLOW, "workflowInputs": {"prompt": ["6", "text"]}},
)
COMFYDEPLOY = Service(
    "ComfyDeploy",
    lambda client: ComfyDeployAdapter(ProviderConfig("", KEY), client),
    "webhook",
    {"deploymentId": DEPLOYMENT},
)
ENDED = httpx.Response(200, json={"id": RUN, "status": "success", "outputs": [{"data": {"images": [PICTURE]}}]})
every_service = pytest.mark.parametrize("service", [COMFYUI, COMFY_API, COMFYDEPLOY], ids=lambda service: service.name)


@pytest.fixture(autouse=True)
def log() -> Iterator[io.StringIO]:
    """What the product logs; the secrets are looked for in it after every test."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logger().registered_formatter)
    # Powertools' logger stands before the one of this name.
    named = logging.getLogger("spellcast")
    logger().addHandler(handler)
    yield stream
    named.removeHandler(handler)
    for secret in (KEY, PROMPT, SIGNING_KEY, "/v1/completions/", "comfy.example"):
        assert secret not in stream.getvalue()


class Scene:
    """A cast of one step over the adapter, whose provider does as it is told."""

    def __init__(self, service: Service, adapter: Adapter) -> None:
        tool = make_tool(
            "tool",
            service.mode,
            metadata=service.metadata,
            inputSchema={"prompt": {"type": "string"}},
            deadlineSeconds=60,
        )
        self.world = World(tool, through=lambda port: adapter if isinstance(port, FakeAdapter) else port)
        self.service = service
        self.cast: Cast = self.world.cast("tool", inputs={"prompt": PROMPT})
        self.generation_id = f"{self.cast.cast_id}.0.1"

    @property
    def generation(self) -> Generation:
        return self.world.generation(self.cast, 0)

    def execute(self, token: str = "token") -> None:
        self.world.execute(self.cast, token=token)

    def poll(self, times: int = 1) -> bool:
        polling = Polling(self.generation_id)
        for _ in range(times):
            polling = self.world.poll_job(polling)
        return polling.finished

    def token(self) -> str:
        return callback_tokens.sign(self.generation_id, self.world.clock.now() + timedelta(minutes=1), SIGNING_KEY)

    def call_back(self, token: str | None = None, **told: Any) -> int:
        body = {"run_id": RUN, "status": "success", "live_status": None, "progress": 1, "outputs": [], **told}
        token = token or self.token()
        status: int = answer_callback(self.world.receive_callback, token, {}, json.dumps(body).encode())["statusCode"]
        return status

    def pass_the_deadline(self) -> None:
        """The machine's second invocation polls once and gives the job up."""
        self.world.clock.advance(self.world.segments(self.cast)[0].timeout_seconds)
        self.execute("second")

    def ended(self) -> tuple[str, str]:
        cast = self.world.process(self.cast)
        if cast.failure is None:
            return cast.status, ""
        return cast.failure.code, cast.failure.message


def scene_of(service: Service, provider: Any) -> Scene:
    client = provider.client()
    return Scene(service, service.adapter(lambda: client))


AMBIGUOUS: dict[str, Any] = {
    "timeout": httpx.ReadTimeout("x"),
    "reset after the request was sent": httpx.ReadError("reset"),
    "502 html": httpx.Response(502, html="<html>Bad gateway</html>"),
    "truncated json": httpx.Response(200, content=b'{"run_id": "8f1c'),
    "200 with garbage": httpx.Response(200, content=b"\x89PNG\x00"),
}


@every_service
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (httpx.Response(400, text=f"no {KEY}"), "PROVIDER_REFUSED"),
        (httpx.Response(401, text=KEY), "PROVIDER_REFUSED"),
    ],
)
def test_what_is_refused_ends_the_step_at_once(provider: Any, service: Service, answer: Any, code: str) -> None:
    scene = scene_of(service, provider)
    provider.answers(answer)
    scene.execute()
    found, message = scene.ended()
    assert found == code and service.name in message and KEY not in message
    assert len(provider.requests) == 1


@every_service
@pytest.mark.parametrize("answer", [httpx.Response(429), httpx.ConnectError("refused")])
def test_where_nothing_was_begun_it_is_asked_again_and_then_given_up(
    provider: Any, service: Service, answer: Any
) -> None:
    scene = scene_of(service, provider)
    provider.answers(answer)
    scene.execute()
    code, message = scene.ended()
    assert code == "PROVIDER_UNAVAILABLE" and service.name in message
    assert len(provider.requests) == MOST_TRIES


# --- The callbacks of ComfyDeploy ---


@pytest.fixture
def accepted(provider: Any) -> Scene:
    scene = scene_of(COMFYDEPLOY, provider)
    provider.answers(httpx.Response(200, json={"run_id": RUN}), ENDED)
    scene.execute()
    return scene


@pytest.mark.parametrize(
    ("token", "told", "status"),
    [
        ("forged.token", {}, 401),
        ("expired", {}, 401),
        (None, {"run_id": "another-run"}, 401),
        (None, {"run_id": None}, 400),
        (None, {"run_id": "../.."}, 400),
    ],
)
def test_a_forged_callback_changes_nothing(
    provider: Any, accepted: Scene, token: str | None, told: dict[str, Any], status: int
) -> None:
    if token == "expired":
        expired = accepted.world.clock.now() - callback_tokens.VALID_AFTER_DEADLINE
        token = callback_tokens.sign(accepted.generation_id, expired, SIGNING_KEY)
    before, writes = accepted.generation, len(accepted.world.store.writes)
    assert accepted.call_back(token, **told) == status
    assert (accepted.generation, len(accepted.world.store.writes)) == (before, writes)


@pytest.mark.parametrize("seconds", [-301, 301])
def test_a_callback_has_no_time_of_its_own_and_its_end_is_always_read_again(
    provider: Any, accepted: Scene, seconds: int
) -> None:
    """Nothing but the token and the API's own word lets an end in, however old the callback is."""
    provider.answers(httpx.Response(200, json={"id": RUN, "status": "running"}))
    accepted.world.clock.advance(max(0, seconds))
    assert accepted.call_back(timestamp=seconds) == 429
    assert accepted.generation.result is None


@pytest.mark.parametrize("answer", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_an_end_that_cannot_be_checked_is_sent_again_or_polled(provider: Any, accepted: Scene, answer: Any) -> None:
    provider.answers(answer)
    assert accepted.call_back() == 429
    assert accepted.generation.result is None
    provider.answers(
        httpx.Response(200, json={"id": RUN, "status": "success", "outputs": [{"data": {"images": [PICTURE]}}]})
    )
    accepted.pass_the_deadline()
    assert accepted.ended() == ("running", "")
    assert [request.method for request in provider.requests] == ["GET"]


# --- Over the fake, through a socket ---


@pytest.fixture
def fake() -> ComfyDeploy:
    return ComfyDeploy(KEY, job_seconds=0.01)


@pytest.mark.parametrize("fault", ["hang", "broken", "garbage"])
def test_the_fakes_lost_answers_become_no_second_run(
    fake: ComfyDeploy, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(exchange, "SUBMIT_SECONDS", 0.3)
    fake.switches.set(fault)
    with serving(fake.app()) as url, provider_client() as client:
        config = ProviderConfig(f"{url}/api", KEY)
        scene = Scene(COMFYDEPLOY, ComfyDeployAdapter(config, lambda: client))
        scene.execute()
        scene.pass_the_deadline()
    assert scene.ended()[0] == "OUTCOME_UNKNOWN"
    assert fake.switches.counts["submits"] == 1
    (body,) = fake.bodies
    assert body["inputs"] == {"prompt": PROMPT}
    token = body["webhook"].rpartition("/")[2]
    assert callback_tokens.verify(token, scene.world.clock.now(), SIGNING_KEY) == scene.generation_id


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        ("refuse", "PROVIDER_REFUSED", "ComfyDeploy refused (402): Insufficient credit"),
        ("throttle", "PROVIDER_UNAVAILABLE", "ComfyDeploy takes no more jobs at the moment (429)"),
        ("lose", "JOB_LOST", "ComfyDeploy does not know the run any more"),
    ],
)
def test_the_fakes_refusals(fake: ComfyDeploy, fault: str, code: str, message: str) -> None:
    fake.switches.set(fault)
    with serving(fake.app()) as url, provider_client() as client:
        scene = Scene(COMFYDEPLOY, ComfyDeployAdapter(ProviderConfig(f"{url}/api", KEY), lambda: client))
        scene.execute()
        if code == "JOB_LOST":
            assert scene.poll(MISSES_BEFORE_LOST)
    assert scene.ended() == (code, message)
    assert fake.switches.counts["submits"] == (MOST_TRIES if fault == "throttle" else 1)
