from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest

from spellcast.adapters.comfyapi import ComfyApiAdapter
from spellcast.domain.errors import (
    InvalidStepInput,
    JobLost,
    OutcomeUnknown,
    ProviderAnswerInvalid,
    ProviderRefused,
    ProviderUnavailable,
    StepFailed,
)
from spellcast.domain.identifiers import job_uuid
from spellcast.domain.results import ToolResult
from spellcast.domain.tools import Tool
from spellcast.ports.adapter import Adapter, ProviderConfig, Request

GENERATION = "c4573.1.1"
KEY = job_uuid(GENERATION)
LABEL = f"spellcast-{KEY}"
JOB = "d0362e1e-bafd-4483-a874-f13869f2ea95"
BASE = "https://comfy.example"
REUSE = {"error": {"code": "idempotency_key_reuse", "message": "used", "details": None}}

Ask = Callable[..., Request]
CatalogTool = Callable[..., Tool]


def no_client() -> httpx.Client:
    raise AssertionError("nothing has to be fetched")


@pytest.fixture
def adapter(provider: Any) -> Adapter:
    client = provider.client()
    return ComfyApiAdapter(ProviderConfig(f"{BASE}/", "a secret"), lambda: client, no_client)


@pytest.fixture
def request_(ask: Ask, tool: CatalogTool) -> Request:
    return ask(tool("comfyui-text-to-image"), input_prompt="a fox", input_seed=7)


def job(status: Any = "queued", **more: Any) -> dict[str, Any]:
    return {"id": JOB, "status": status, "outputs": [], "error": None, "progress": None, **more}


def answered(status: Any = "queued", **more: Any) -> httpx.Response:
    return httpx.Response(200, json=job(status, **more))


def listed(*jobs: Any) -> httpx.Response:
    return httpx.Response(200, json={"jobs": list(jobs), "truncated": False})


def file(name: str, **more: Any) -> dict[str, Any]:
    return {"node_id": "9", "name": name, "type": "image", "url": f"{BASE}/api/v2/assets/{name}/content", **more}


def test_a_job_is_submitted_under_its_derived_key(adapter: Adapter, provider: Any, request_: Request) -> None:
    provider.answers(httpx.Response(201, json=job()))
    submitted = adapter.start_job(request_)
    assert (submitted.run_id, submitted.calls_back) == (JOB, False)
    assert adapter.derived_run_id(GENERATION) == LABEL
    assert provider.lines == ["POST /api/v2/jobs"]
    assert provider.requests[0].headers["idempotency-key"] == KEY
    assert provider.requests[0].headers["authorization"] == "Bearer a secret"
    body = provider.body()
    assert body.keys() == {"workflow", "metadata"}
    assert body["metadata"] == LABEL
    assert body["workflow"]["6"]["inputs"]["text"] == "a fox"
    assert body["workflow"]["3"]["inputs"]["seed"] == 7


def test_a_workflow_of_the_editor_is_refused_before_a_call(
    adapter: Adapter, provider: Any, ask: Ask, tool: CatalogTool
) -> None:
    with pytest.raises(InvalidStepInput, match=r"export it for the API"):
        adapter.start_job(ask(tool("comfyui-text-to-image", workflow={"nodes": [], "links": []}), input_prompt="x"))
    assert provider.requests == []


def test_a_key_that_was_used_leads_to_the_job_and_is_no_refusal(
    adapter: Adapter, provider: Any, request_: Request
) -> None:
    provider.answers(httpx.Response(422, json=REUSE))
    with pytest.raises(OutcomeUnknown) as caught:
        adapter.start_job(request_)
    assert (caught.value.run_id, len(provider.requests)) == (LABEL, 1)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ReadTimeout("x"),
        httpx.ReadError("reset"),
        httpx.Response(502, html="<html>"),
        httpx.Response(503, json={"error": {"code": "upstream_unreachable", "message": "down"}}),
        httpx.Response(201, content=b'{"id": "'),
        httpx.Response(200, content=b"\x89PNG"),
        httpx.Response(201, json={}),
        httpx.Response(201, json={"id": 5}),
        httpx.Response(201, json=[]),
    ],
)
def test_a_lost_answer_carries_the_label(adapter: Adapter, provider: Any, request_: Request, answer: Any) -> None:
    provider.answers(answer)
    with pytest.raises(OutcomeUnknown) as caught:
        adapter.start_job(request_)
    assert (caught.value.run_id, len(provider.requests)) == (LABEL, 1)
    assert "comfy.example" not in caught.value.message


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (
            httpx.Response(
                422,
                json={
                    "error": {
                        "code": "invalid_workflow",
                        "message": "Value not in list: /srv/models/x.bin",
                        "details": {"node_errors": {"9": [], "12": []}},
                    }
                },
            ),
            ProviderRefused,
            "The Comfy API refused (422): Value not in list: … (nodes 12, 9)",
        ),
        (
            httpx.Response(402, json={"error": {"code": "insufficient_credits"}}),
            ProviderRefused,
            "The Comfy API refused (402): insufficient_credits",
        ),
        (httpx.Response(400, text="?"), ProviderRefused, "The Comfy API refused (400): no reason given"),
        (httpx.Response(401, json=REUSE | {"x": 1}), OutcomeUnknown, "The Comfy API has had this job before"),
        (httpx.Response(401), ProviderRefused, "The Comfy API refused our credentials (401)"),
        (
            httpx.Response(429, json={"error": {"code": "queue_full"}}),
            ProviderUnavailable,
            "The Comfy API takes no more jobs at the moment (429)",
        ),
        (httpx.ConnectError("x"), ProviderUnavailable, "The Comfy API could not be reached"),
    ],
)
def test_refusals(
    adapter: Adapter, provider: Any, request_: Request, answer: Any, error: type[StepFailed], message: str
) -> None:
    provider.answers(answer)
    with pytest.raises(error) as caught:
        adapter.start_job(request_)
    assert (caught.value.message, len(provider.requests)) == (message, 1)


# --- Polls ---


def poll(adapter: Adapter, tool: CatalogTool, run_id: str = JOB) -> ToolResult:
    return adapter.poll_job(run_id, tool("comfyui-text-to-image"))


@pytest.mark.parametrize(
    ("answer", "is_queued", "progress", "live_status"),
    [
        (answered("queued", queue_position=3), True, None, "queued"),
        (answered("running", progress={"value": 0.0, "nodes_done": 0, "nodes_total": 0}), False, None, "running"),
        (
            answered("running", progress={"value": 0.42, "nodes_total": 31, "message": "KSampler 21/50"}),
            False,
            0.42,
            "KSampler 21/50",
        ),
        (answered("running", progress={"value": 10**400, "nodes_total": 1}), False, 1.0, "running"),
        (answered("canceling", progress="odd"), False, None, "canceling"),
    ],
)
def test_a_job_that_goes_on(
    adapter: Adapter, provider: Any, tool: CatalogTool, answer: Any, is_queued: bool, progress: Any, live_status: str
) -> None:
    provider.answers(answer)
    state = poll(adapter, tool)
    assert (state.status, state.is_queued, state.progress) == ("processing", is_queued, progress)
    assert state.live_status == live_status
    assert provider.lines == [f"GET /api/v2/jobs/{JOB}"]


@pytest.mark.parametrize(
    ("times", "duration_ms"),
    [
        ({"metrics": {"execution_ms": 4321}, "started_at": "2026-11-23T12:00:00Z"}, 4321),
        ({"started_at": "2026-11-23T12:00:00Z", "completed_at": "2026-11-23T12:00:01.5Z"}, 1500),
        ({"started_at": "2026-11-23T12:00:00Z", "completed_at": "2026-11-23T12:00:01"}, None),
        ({"started_at": None, "completed_at": None}, None),
        ({"metrics": {"execution_ms": None}}, None),
    ],
)
def test_a_finished_job(adapter: Adapter, provider: Any, tool: CatalogTool, times: Any, duration_ms: Any) -> None:
    outputs = [
        file("a.png", content_type="image/png", size_bytes=0),
        file("v.mp4", content_type="video/mp4"),
        file("latent", type="latent"),
        {**file("noname"), "name": None, "content_type": "audio/flac"},
        {"node_id": "9", "name": "x.png", "url": "file:///etc/passwd"},
        "stray",
    ]
    provider.answers(answered("succeeded", outputs=outputs, **times))
    done = poll(adapter, tool)
    assert (done.status, done.duration_ms, done.cost_usd) == ("succeeded", duration_ms, None)
    assert [element["type"] for element in done.payload] == ["image", "video", "audio"]
    assert done.payload[0]["data"]["images"] == [
        {"url": f"{BASE}/api/v2/assets/a.png/content", "filename": "a.png", "mediaType": "image/png"}
    ]


@pytest.mark.parametrize(
    ("status", "more", "code", "message"),
    [
        (
            "failed",
            {"error": {"message": "boom in /srv/comfy/x.py", "class_type": "KSampler", "traceback": "/srv/comfy/t.py"}},
            "JOB_FAILED",
            "ComfyUI: KSampler: boom in …",
        ),
        ("failed", {"error": "odd"}, "JOB_FAILED", "ComfyUI: the job failed"),
        ("canceled", {}, "JOB_CANCELLED", "The job was cancelled at the Comfy API"),
        ("succeeded", {"outputs": None}, "JOB_FAILED", "The Comfy API finished the job, but has no output"),
    ],
)
def test_jobs_that_end_badly_are_paid_until_then(
    adapter: Adapter, provider: Any, tool: CatalogTool, status: str, more: Any, code: str, message: str
) -> None:
    provider.answers(answered(status, metrics={"execution_ms": 10_000}, **more))
    done = poll(adapter, tool)
    assert done.failure is not None
    assert (done.failure.code, done.failure.message) == (code, message)
    assert done.cost_usd == Decimal("0.00337")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(404, json={"error": {"code": "not_found"}}), JobLost),
        (answered("expired"), JobLost),
        (answered("of another day"), ProviderAnswerInvalid),
        (answered({}), ProviderAnswerInvalid),
        (httpx.Response(200, content=b"{"), ProviderAnswerInvalid),
        (httpx.Response(503), ProviderUnavailable),
        (httpx.Response(429), ProviderUnavailable),
        (httpx.Response(401), ProviderRefused),
    ],
)
def test_polls_that_fail(
    adapter: Adapter, provider: Any, tool: CatalogTool, answer: Any, error: type[StepFailed]
) -> None:
    provider.answers(answer)
    with pytest.raises(error):
        poll(adapter, tool)
    assert len(provider.requests) == 1


# --- By label, where the acceptance was lost ---


def test_a_job_is_found_by_its_label(adapter: Adapter, provider: Any, tool: CatalogTool) -> None:
    done = job("succeeded", outputs=[file("a.png")], metadata=LABEL)
    provider.answers(listed({"id": "other", "metadata": "x"}, "stray", done))
    assert poll(adapter, tool, LABEL).status == "succeeded"
    assert provider.lines == ["GET /api/v2/jobs?limit=100"]


def test_a_label_that_no_job_carries(adapter: Adapter, provider: Any, tool: CatalogTool) -> None:
    provider.answers(listed(job("running")))
    with pytest.raises(JobLost):
        poll(adapter, tool, LABEL)
    provider.answers(httpx.Response(200, json={"jobs": {}}))
    with pytest.raises(ProviderAnswerInvalid):
        poll(adapter, tool, LABEL)


@pytest.mark.parametrize("status", [404, 405])
def test_a_server_without_a_list_leaves_the_outcome_unknown(
    adapter: Adapter, provider: Any, tool: CatalogTool, status: int
) -> None:
    provider.answers(httpx.Response(status))
    state = poll(adapter, tool, LABEL)
    assert state.failure is not None
    assert (state.is_final, state.failure.code) == (True, "OUTCOME_UNKNOWN")


def test_cancelling(adapter: Adapter, provider: Any) -> None:
    provider.answers(answered("canceling"))
    adapter.cancel_job(JOB)
    assert provider.lines == [f"POST /api/v2/jobs/{JOB}/cancel"]
    provider.answers(httpx.Response(404))
    adapter.cancel_job(JOB)
    provider.answers(listed(job("running", metadata=LABEL)), answered("canceling"))
    adapter.cancel_job(LABEL)
    assert provider.lines[1:] == [f"POST /api/v2/jobs/{JOB}/cancel"]
    provider.answers(listed())
    adapter.cancel_job(LABEL)
    assert len(provider.requests) == 1
    provider.answers(httpx.Response(401))
    with pytest.raises(ProviderRefused):
        adapter.cancel_job(JOB)
