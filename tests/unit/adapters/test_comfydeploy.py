from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from spellcast.adapters.comfydeploy import LOOK_UP_SECONDS, ComfyDeployAdapter
from spellcast.domain.errors import (
    InvalidStepInput,
    JobLost,
    OutcomeUnknown,
    ProviderAnswerInvalid,
    ProviderRefused,
    ProviderUnavailable,
    StepFailed,
)
from spellcast.domain.results import ToolResult
from spellcast.domain.tools import Tool
from spellcast.ports.adapter import Adapter, ProviderConfig, Request

DEPLOYMENT = "15e79589-12c9-453c-a41a-348fdd7de957"
RUN = "8f1c2a34-0b5d-4e6f-9a7b-1c2d3e4f5a6b"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ACCEPTED = {"run_id": RUN}
PER_SECOND = {"rateSource": "machine", "rate": "0.001", "unit": "second"}

Ask = Callable[..., Request]
BareTool = Callable[..., Tool]


def make(provider: Any, url: str = "") -> Adapter:
    client = provider.client()
    return ComfyDeployAdapter(ProviderConfig(url, "cd_secret"), lambda: client)


@pytest.fixture
def adapter(provider: Any) -> Adapter:
    return make(provider)


@pytest.fixture
def tool(bare_tool: BareTool) -> Callable[..., Tool]:
    def made(costing: Any = PER_SECOND, **metadata: Any) -> Tool:
        return bare_tool(
            "comfydeploy",
            deliveryMode="webhook",
            inputSchema={"input_prompt": {"type": "string"}, "input_seed": {"type": "integer", "required": False}},
            **({"costingModel": costing} if costing else {}),
            metadata={"deploymentId": DEPLOYMENT, **metadata},
        )

    return made


def output(*files: Any, key: str = "images") -> dict[str, Any]:
    return {"id": "o", "run_id": RUN, "node_id": "9", "data": {key: list(files)}}


def image(name: str, **more: Any) -> dict[str, Any]:
    return {"url": f"https://files.example/{name}", "type": "output", "filename": name, **more}


def run(status: Any = "success", **more: Any) -> httpx.Response:
    return httpx.Response(200, json={"id": RUN, "status": status, **more})


def callback(status: Any = "success", **more: Any) -> bytes:
    return json.dumps(
        {"run_id": RUN, "status": status, "live_status": None, "progress": 0, "outputs": [], **more}
    ).encode()


# --- Submitting ---


def test_a_run_is_queued_once(adapter: Adapter, provider: Any, ask: Ask, tool: Any) -> None:
    provider.answers(httpx.Response(200, json=ACCEPTED))
    request = ask(tool(gpu="H100"), input_prompt="a fox", input_seed=7, nothing=None)
    job = adapter.start_job(request)
    assert (job.run_id, job.calls_back) == (RUN, True)
    assert str(provider.requests[0].url) == "https://api.comfydeploy.com/api/run/deployment/queue"
    assert provider.requests[0].headers["authorization"] == "Bearer cd_secret"
    assert provider.body() == {
        "deployment_id": DEPLOYMENT,
        "inputs": {"input_prompt": "a fox", "input_seed": 7},
        "gpu": "H100",
        "webhook": request.callback_url,
        "webhook_intermediate_status": True,
    }
    assert adapter.derived_run_id("c.1.1") is None


def test_the_originals_tools_name_their_deployment_among_their_parameters(
    adapter: Adapter, provider: Any, ask: Ask, tool: Any
) -> None:
    provider.answers(httpx.Response(200, json=ACCEPTED))
    defaults = {"deploymentId": DEPLOYMENT, "input_cfg": 7, "input_prompt": "nothing"}
    adapter.start_job(ask(tool(deploymentId=None, defaultAdapterParams=defaults), input_prompt="a fox", input_seed=0))
    body = provider.body()
    assert body["deployment_id"] == DEPLOYMENT
    assert body["inputs"] == {"input_cfg": 7, "input_prompt": "a fox", "input_seed": 0}
    assert defaults["deploymentId"] == DEPLOYMENT, "the definition is not changed"


def test_a_tool_without_a_deployment(adapter: Adapter, provider: Any, ask: Ask, tool: Any) -> None:
    with pytest.raises(InvalidStepInput, match="names no deploymentId"):
        adapter.start_job(ask(tool(deploymentId=None), input_prompt="x"))
    assert provider.requests == []


def test_a_seed_that_nobody_chose_is_derived(adapter: Adapter, provider: Any, ask: Ask, tool: Any) -> None:
    provider.answers(httpx.Response(200, json=ACCEPTED))
    seeds = []
    for generation_id in ("c.1.1", "c.1.1", "c.1.2"):
        adapter.start_job(ask(tool(), generation_id=generation_id, input_prompt="x", input_seed=-1))
        seeds.append(provider.body(-1)["inputs"]["input_seed"])
    assert seeds[0] == seeds[1] != seeds[2]


@pytest.mark.parametrize(
    ("url", "callback_url", "is_sent"),
    [
        ("", "http://127.0.0.1:4599/x", False),
        ("http://127.0.0.1:4600/api", "http://127.0.0.1:4599/x", True),
        ("http://127.0.0.1:4600/api", "", False),
    ],
)
def test_the_callback_is_sent_where_it_can_be_called(
    provider: Any, ask: Ask, tool: Any, url: str, callback_url: str, is_sent: bool
) -> None:
    provider.answers(httpx.Response(200, json=ACCEPTED))
    job = make(provider, url).start_job(ask(tool(), callback_url=callback_url, input_prompt="x"))
    assert job.calls_back is is_sent is ("webhook" in provider.body())


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (
            httpx.Response(
                422,
                json={
                    "detail": [
                        {
                            "loc": ["body", "inputs", "input_prompt"],
                            "msg": "Input should be a string",
                            "input": "cd_secret",
                        },
                        "stray",
                        {"msg": "odd"},
                    ]
                },
            ),
            ProviderRefused,
            "ComfyDeploy refused (422): inputs.input_prompt: Input should be a string; : odd",
        ),
        (
            httpx.Response(404, json={"detail": "Deployment not found"}),
            ProviderRefused,
            "ComfyDeploy refused (404): Deployment not found",
        ),
        (httpx.Response(402, json={"detail": []}), ProviderRefused, "ComfyDeploy refused (402): no reason given"),
        (httpx.Response(400, text="no"), ProviderRefused, "ComfyDeploy refused (400): no reason given"),
        (httpx.Response(401), ProviderRefused, "ComfyDeploy refused our credentials (401)"),
        (httpx.Response(429), ProviderUnavailable, "ComfyDeploy takes no more jobs at the moment (429)"),
        (httpx.ConnectError("x"), ProviderUnavailable, "ComfyDeploy could not be reached"),
    ],
)
def test_what_proves_that_nothing_was_started(
    adapter: Adapter, provider: Any, ask: Ask, tool: Any, answer: Any, error: type[StepFailed], message: str
) -> None:
    provider.answers(answer)
    with pytest.raises(error) as caught:
        adapter.start_job(ask(tool(), input_prompt="x"))
    assert (caught.value.message, len(provider.requests)) == (message, 1)


@pytest.mark.parametrize("answer", [{}, {"run_id": None}, {"run_id": ""}, {"run_id": 5}, []])
def test_an_acceptance_that_names_no_run(adapter: Adapter, provider: Any, ask: Ask, tool: Any, answer: Any) -> None:
    provider.answers(httpx.Response(200, json=answer))
    with pytest.raises(OutcomeUnknown) as caught:
        adapter.start_job(ask(tool(), input_prompt="x"))
    assert caught.value.run_id is None


# --- Reading ---


@pytest.mark.parametrize(
    ("answer", "is_queued", "progress", "live_status"),
    [
        (run("not-started"), True, None, None),
        (run("queued", progress=0), True, 0.0, None),
        (run("started", live_status=""), False, None, None),
        (run("running", progress=0.47, live_status="Sampling…"), False, 0.47, "Sampling…"),
        (run("uploading", progress=1), False, 1.0, None),
        (run("processing", progress=1.5), False, 1.0, None),
        (run("of another day", progress=-1, live_status=7), False, 0.0, None),
        (run("running", progress=10**400), False, 1.0, None),
        (run("running", progress=True), False, None, None),
        (run("running", progress="0.5", live_status="a\nb"), False, None, "a b"),
    ],
)
def test_a_run_that_goes_on(
    adapter: Adapter, provider: Any, tool: Any, answer: Any, is_queued: bool, progress: Any, live_status: Any
) -> None:
    provider.answers(answer)
    state = adapter.poll_job(RUN, tool())
    assert (state.status, state.is_queued, state.progress) == ("processing", is_queued, progress)
    assert state.live_status == live_status
    assert provider.lines == [f"GET /api/run/{RUN}"]


@pytest.mark.parametrize("status", ["success", "completed"])
def test_a_finished_run(adapter: Adapter, provider: Any, tool: Any, status: str) -> None:
    outputs = [
        output(image("a.png"), image("preview.png", type="temp"), True),
        output(image("v.mp4"), key="gifs"),
        output({"url": "https://files.example/s?x=1", "filename": "s.flac"}, key="audio"),
        output("one", "", "two", key="text"),
        output({"url": "https://files.example/mesh.glb"}, key="files"),
        output({"url": "javascript:alert(1)", "filename": "x.png"}),
        "stray",
        {"data": {"images": image("single.webp")}},
        {"data": None},
    ]
    provider.answers(run(status, outputs=outputs, run_duration=12.3456, gpu="A10G"))
    done = adapter.poll_job(RUN, tool())
    assert (done.status, done.duration_ms, done.cost_usd, done.run_id) == ("succeeded", 12346, None, None)
    assert [element["type"] for element in done.payload] == ["image", "video", "audio", "file", "text"]
    assert done.payload[0]["data"]["images"] == [
        {"url": "https://files.example/a.png", "filename": "a.png", "mediaType": "image/png"},
        {"url": "https://files.example/single.webp", "filename": "single.webp", "mediaType": "image/webp"},
    ]
    assert done.payload[2]["data"]["files"][0]["mediaType"] == "audio/flac"
    assert done.payload[3]["data"]["files"] == [{"url": "https://files.example/mesh.glb"}]
    assert done.payload[4]["data"] == {"text": "one\ntwo"}


def test_previews_are_results_where_there_is_nothing_else(adapter: Adapter, provider: Any, tool: Any) -> None:
    provider.answers(run(outputs=[output(image("preview.png", type="temp"))]))
    assert adapter.poll_job(RUN, tool()).payload[0]["data"]["images"][0]["filename"] == "preview.png"


@pytest.mark.parametrize(
    ("status", "more", "code", "message"),
    [
        (
            "failed",
            {"live_status": "Executing KSampler"},
            "JOB_FAILED",
            "ComfyDeploy: the run failed at Executing KSampler",
        ),
        ("failed", {}, "JOB_FAILED", "ComfyDeploy: the run failed"),
        ("timeout", {}, "JOB_FAILED", "ComfyDeploy: the run passed the time limit of its machine"),
        ("cancelled", {}, "JOB_CANCELLED", "The run was cancelled at ComfyDeploy"),
        ("canceled", {}, "JOB_CANCELLED", "The run was cancelled at ComfyDeploy"),
        ("success", {"outputs": None}, "JOB_FAILED", "ComfyDeploy finished the run, but has no output of it"),
    ],
)
def test_runs_that_end_badly_are_paid_until_then(
    adapter: Adapter, provider: Any, tool: Any, status: str, more: Any, code: str, message: str
) -> None:
    provider.answers(run(status, run_duration=30, **more))
    done = adapter.poll_job(RUN, tool())
    assert done.failure is not None
    assert (done.failure.code, done.failure.message) == (code, message)
    assert (done.status, done.cost_usd, done.duration_ms) == ("failed", Decimal("0.03"), 30_000)


@pytest.mark.parametrize(
    ("costing", "more", "cost"),
    [
        (None, {"gpu": "A10G", "run_duration": 30}, Decimal("0.01011")),
        (None, {"gpu": "H100", "run_duration": 0.5}, Decimal("0.001169")),
        (None, {"gpu": "CPU", "run_duration": 0}, Decimal(0)),
        (None, {"gpu": "of another day", "run_duration": 30}, None),
        (None, {"gpu": ["A10G"], "run_duration": 30}, None),
        (None, {"gpu": "A10G", "run_duration": None}, None),
        (None, {"gpu": "A10G", "run_duration": -1}, None),
        (None, {"gpu": "A10G", "run_duration": True}, None),
        (None, {"gpu": "A10G", "run_duration": 10**400}, None),
        (PER_SECOND, {"gpu": "A10G", "run_duration": 30}, None),
    ],
)
@pytest.mark.parametrize("status", ["success", "failed"])
def test_a_gpu_has_its_price_where_the_tool_has_none(
    adapter: Adapter, provider: Any, tool: Any, status: str, costing: Any, more: Any, cost: Decimal | None
) -> None:
    provider.answers(run(status, outputs=[output(image("a.png"))], **more))
    done = adapter.poll_job(RUN, tool(costing))
    if status == "failed" and costing:
        cost = Decimal("0.03")
    assert done.cost_usd == cost


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(404, json={"detail": "Run not found"}), JobLost),
        (httpx.ReadTimeout("x"), ProviderUnavailable),
        (httpx.Response(502, html="<html>"), ProviderUnavailable),
        (httpx.Response(200, content=b'{"id":'), ProviderAnswerInvalid),
        (httpx.Response(200, json={"id": RUN}), ProviderAnswerInvalid),
        (run({"odd": 1}), ProviderAnswerInvalid),
        (httpx.Response(401), ProviderRefused),
    ],
)
def test_polls_that_fail(adapter: Adapter, provider: Any, tool: Any, answer: Any, error: type[StepFailed]) -> None:
    provider.answers(answer)
    with pytest.raises(error):
        adapter.poll_job(RUN, tool())


# --- Webhooks ---


def parse(adapter: Adapter, tool: Any, body: bytes) -> ToolResult:
    return adapter.parse_webhook({}, body, tool(), NOW)


def test_progress_is_taken_as_it_is_told(adapter: Adapter, provider: Any, tool: Any) -> None:
    state = parse(adapter, tool, callback("running", progress=0.47, live_status="Sampling…"))
    assert (state.status, state.progress, state.live_status) == ("processing", 0.47, "Sampling…")
    assert state.run_id == RUN
    assert parse(adapter, tool, callback("queued")).is_queued
    assert provider.requests == [], "only an end is worth a question"


@pytest.mark.parametrize("status", ["success", "failed", "timeout", "cancelled", "completed"])
def test_an_end_is_what_the_api_says_it_is(adapter: Adapter, provider: Any, tool: Any, status: str) -> None:
    provider.answers(run("success", outputs=[output(image("true.png"))]))
    done = parse(adapter, tool, callback(status, outputs=[output(image("forged.png"))]))
    assert provider.lines == [f"GET /api/run/{RUN}"]
    assert (done.status, done.run_id) == ("succeeded", RUN)
    assert done.payload[0]["data"]["images"][0]["filename"] == "true.png"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (httpx.ReadTimeout("x"), "could not be checked: ComfyDeploy could not be reached"),
        (httpx.Response(502, html="<html>"), "could not be checked: ComfyDeploy answered 502"),
        (httpx.Response(401), "could not be checked: ComfyDeploy refused our credentials"),
        (httpx.Response(200, content=b"{"), "could not be checked: ComfyDeploy answered something"),
        (httpx.Response(404), "its API does not show"),
        (run("uploading"), "its API does not show"),
        (run({"odd": 1}), "its API does not show"),
    ],
)
def test_an_end_that_cannot_be_checked_is_to_be_told_again(
    adapter: Adapter, provider: Any, tool: Any, answer: Any, message: str
) -> None:
    provider.answers(answer)
    with pytest.raises(ProviderUnavailable, match=message) as caught:
        parse(adapter, tool, callback("success"))
    assert caught.value.retryable
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"status":"success"}',
        b'{"run_id":"..","status":"success"}',
        b'{"run_id":"../x","status":"success"}',
        b'{"run_id":"","status":"success"}',
        b'{"run_id":7,"status":"success"}',
    ],
)
def test_garbage_is_no_callback(adapter: Adapter, provider: Any, tool: Any, body: bytes) -> None:
    with pytest.raises(ProviderAnswerInvalid):
        parse(adapter, tool, body)
    assert provider.requests == []


def test_the_look_up_leaves_time_to_answer() -> None:
    assert LOOK_UP_SECONDS < 20, "ComfyDeploy waits so long"


# --- Cancelling ---


def test_cancelling(adapter: Adapter, provider: Any) -> None:
    for status in (200, 400, 404, 409):
        provider.answers(httpx.Response(status, json={}))
        adapter.cancel_job(RUN)
        assert provider.lines == [f"POST /api/run/{RUN}/cancel"]
    provider.answers(httpx.Response(401))
    with pytest.raises(ProviderRefused):
        adapter.cancel_job(RUN)
    provider.answers(httpx.Response(503))
    with pytest.raises(ProviderUnavailable):
        adapter.cancel_job(RUN)
