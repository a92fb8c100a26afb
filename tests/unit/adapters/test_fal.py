from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from spellcast.adapters import fal
from spellcast.adapters.exchange import provider_client
from spellcast.domain.errors import (
    InvalidSignature,
    InvalidStepInput,
    JobLost,
    OutcomeUnknown,
    ProviderAnswerInvalid,
    ProviderNotConfigured,
    ProviderRefused,
    ProviderUnavailable,
    StepFailed,
)
from spellcast.domain.results import ToolResult
from spellcast.domain.tools import Tool
from spellcast.ports.adapter import Adapter, ProviderConfig, Request
from tests.providers.fal import Fal, jwk
from tests.providers.serving import serving

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ID = "764cabcf-b745-4b3e-ae38-1200304cf45b"
RUN = f"fal-ai/flux/{ID}"
BASE = f"https://queue.fal.run/fal-ai/flux/requests/{ID}"
ACCEPTED = {"request_id": ID, "status_url": f"{BASE}/status", "response_url": BASE, "cancel_url": f"{BASE}/cancel"}
KEY = Ed25519PrivateKey.generate()
P, V = "https://v3.fal.media/files/a.png", "https://v3.fal.media/files/b"

Ask = Callable[..., Request]
CatalogTool = Callable[..., Tool]


def make(provider: Any, url: str = "", keys: str = "") -> Adapter:
    client = provider.client()
    return fal.build(ProviderConfig(url, "id:secret", keys), lambda: client, True)


@pytest.fixture
def adapter(provider: Any) -> Adapter:
    return make(provider)


@pytest.fixture
def flux(ask: Ask, tool: CatalogTool) -> Request:
    return ask(tool("fal-flux-dev"), prompt="a fox", seed=None, image_size="square")


# --- Submitting ---


def test_a_job_is_queued_once_and_for_no_longer_than_its_step_waits(
    adapter: Adapter, provider: Any, flux: Request
) -> None:
    provider.answers(httpx.Response(200, json=ACCEPTED))
    job = adapter.start_job(flux)
    assert (job.run_id, job.calls_back) == (RUN, True)
    (sent,) = provider.requests
    assert sent.url.copy_with(query=None) == "https://queue.fal.run/fal-ai/flux/dev"
    assert dict(sent.url.params) == {"fal_webhook": flux.callback_url}
    assert provider.body() == {"prompt": "a fox", "image_size": "square"}
    assert sent.headers["authorization"] == "Key id:secret"
    assert sent.headers["x-fal-no-retry"] == "1"
    assert sent.headers["x-fal-request-timeout"] == "900"
    assert adapter.derived_run_id("c.1.1") is None


@pytest.mark.parametrize(
    ("model", "url", "answered", "run_id"),
    [
        ("fal-ai/flux/dev", "", {}, f"fal-ai/flux/{ID}"),
        ("fal-ai/esrgan", "", {}, f"fal-ai/esrgan/{ID}"),
        ("workflows/me/mine/v2", "", {}, f"workflows/me/mine/{ID}"),
        ("comfy/me/mine", "", {}, f"comfy/me/mine/{ID}"),
        ("a/b/c", "", {"status_url": f"https://queue.fal.run/x/y/requests/{ID}/status"}, f"x/y/{ID}"),
        ("a/b", "http://127.0.0.1:1/fal/", {"status_url": f"http://o/fal/x/y/requests/{ID}/status"}, f"x/y/{ID}"),
        ("a/b", "", {"status_url": f"https://queue.fal.run/x/y/requests/{ID}"}, f"x/y/{ID}"),
        # Addresses that are not of this job are not followed.
        ("a/b", "", {"status_url": "https://queue.fal.run/x/y/requests/other/status"}, f"a/b/{ID}"),
        ("a/b", "", {"status_url": f"https://queue.fal.run/x/../y/requests/{ID}/status"}, f"a/b/{ID}"),
        ("a/b", "", {"status_url": f"https://queue.fal.run/x%2F..%2Fy/requests/{ID}/status"}, f"a/b/{ID}"),
        ("a/b", "", {"status_url": "https://[", "response_url": 5}, f"a/b/{ID}"),
        ("a/b", "", {"status_url": 5}, f"a/b/{ID}"),
    ],
)
def test_a_run_id_holds_what_a_poll_needs(
    provider: Any, ask: Ask, tool: CatalogTool, model: str, url: str, answered: dict[str, Any], run_id: str
) -> None:
    provider.answers(httpx.Response(200, json={"request_id": ID, **answered}))
    adapter = make(provider, url)
    job = adapter.start_job(ask(tool("fal-flux-dev", model=model), prompt="x"))
    assert job.run_id == run_id
    provider.answers(httpx.Response(202, json={"status": "IN_QUEUE"}))
    adapter.poll_job(job.run_id, tool("fal-flux-dev"))
    prefix = "/fal" if url else ""
    assert provider.lines == [f"GET {prefix}/{run_id.rpartition('/')[0]}/requests/{ID}/status"]


@pytest.mark.parametrize(
    "model", [None, "", "flux", "fal-ai/", "/fal-ai/flux", "fal-ai/../flux", "a/./b", "a/b?c", "a//b", "workflows/me"]
)
def test_a_tool_without_a_model(adapter: Adapter, provider: Any, ask: Ask, tool: CatalogTool, model: Any) -> None:
    with pytest.raises(InvalidStepInput, match="names no model"):
        adapter.start_job(ask(tool("fal-flux-dev", model=model), prompt="x"))
    assert provider.requests == []


@pytest.mark.parametrize(
    ("url", "callback", "is_sent"),
    [
        ("", "https://a.example/x", True),
        ("", "http://127.0.0.1:4599/x", False),
        ("http://127.0.0.1:4600", "http://127.0.0.1:4599/x", True),
        ("http://localhost:4600", "", False),
    ],
)
def test_the_callback_is_sent_where_it_can_be_called(
    provider: Any, ask: Ask, tool: CatalogTool, url: str, callback: str, is_sent: bool
) -> None:
    provider.answers(httpx.Response(200, json=ACCEPTED))
    job = make(provider, url).start_job(ask(tool("fal-flux-dev"), callback_url=callback, prompt="x"))
    assert job.calls_back is is_sent
    assert ("fal_webhook" in provider.requests[0].url.params) is is_sent


def test_a_tool_that_is_polled_is_not_called_about(
    adapter: Adapter, provider: Any, ask: Ask, bare_tool: Callable[..., Tool]
) -> None:
    provider.answers(httpx.Response(200, json=ACCEPTED))
    polled = bare_tool("fal", deliveryMode="async", metadata={"model": "a/b"})
    assert adapter.start_job(ask(polled, prompt="x")).calls_back is False
    assert provider.lines == ["POST /a/b"]


def test_a_very_short_step_asks_for_the_least_that_fal_takes(
    adapter: Adapter, provider: Any, ask: Ask, bare_tool: Callable[..., Tool]
) -> None:
    provider.answers(httpx.Response(200, json=ACCEPTED))
    quick = bare_tool("fal", deliveryMode="async", deadlineSeconds=1, metadata={"model": "a/b"})
    adapter.start_job(ask(quick, prompt="x"))
    assert provider.requests[0].headers["x-fal-request-timeout"] == "2"


AMBIGUOUS = {
    "timeout": httpx.ReadTimeout("x"),
    "reset after send": httpx.ReadError("reset"),
    "closed without an answer": httpx.RemoteProtocolError("closed"),
    "502 html": httpx.Response(502, html="<html>"),
    "500": httpx.Response(500, json={"detail": "x"}),
    "truncated json": httpx.Response(200, content=b'{"request_id": "p'),
    "200 with garbage": httpx.Response(200, content=b"\x00\xff"),
    "without an id": httpx.Response(200, json={"status": "IN_QUEUE"}),
    "an id of another type": httpx.Response(200, json={"request_id": 5}),
    "an id that is a path": httpx.Response(200, json={"request_id": "../x"}),
}
CERTAIN: dict[str, tuple[Any, type[StepFailed], str]] = {
    "refused connection": (httpx.ConnectError("x"), ProviderUnavailable, "fal could not be reached"),
    "429": (httpx.Response(429, json={"detail": "slow"}), ProviderUnavailable, "fal takes no more jobs"),
    "401": (httpx.Response(401, json={"detail": "id:secret is wrong"}), ProviderRefused, "fal refused our credentials"),
    "404": (httpx.Response(404, json={"detail": "no app"}), ProviderRefused, r"fal refused \(404\): no app"),
    "422": (
        httpx.Response(422, json={"detail": [{"loc": ["body", "prompt"], "msg": "Field required", "input": "a fox"}]}),
        ProviderRefused,
        r"fal refused \(422\): prompt: Field required$",
    ),
    "400 html": (httpx.Response(400, html="<p>"), ProviderRefused, "no reason given"),
}


@pytest.mark.parametrize("answer", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_a_lost_answer_leaves_the_outcome_unknown(adapter: Adapter, provider: Any, flux: Request, answer: Any) -> None:
    provider.answers(answer)
    with pytest.raises(OutcomeUnknown, match=r"^fal ") as caught:
        adapter.start_job(flux)
    assert caught.value.run_id is None
    assert len(provider.requests) == 1


@pytest.mark.parametrize(("answer", "error", "message"), CERTAIN.values(), ids=CERTAIN.keys())
def test_what_proves_that_nothing_was_started(
    adapter: Adapter, provider: Any, flux: Request, answer: Any, error: type[StepFailed], message: str
) -> None:
    provider.answers(answer)
    with pytest.raises(error, match=message) as caught:
        adapter.start_job(flux)
    assert len(provider.requests) == 1
    assert "secret" not in caught.value.message


# --- Polling ---


def poll(
    adapter: Adapter, provider: Any, tool: Tool, result: httpx.Response | Exception | None = None, **status: Any
) -> ToolResult:
    code = 200 if status.get("status") == "COMPLETED" else 202
    provider.answers(httpx.Response(code, json={"request_id": ID, **status}), result or httpx.Response(500))
    return adapter.poll_job(RUN, tool)


@pytest.mark.parametrize(("said", "live"), [("IN_QUEUE", "queued"), ("IN_PROGRESS", "running")])
def test_a_job_under_way(adapter: Adapter, provider: Any, tool: CatalogTool, said: str, live: str) -> None:
    result = poll(adapter, provider, tool("fal-flux-dev"), status=said, queue_position=3, logs=None)
    assert (result.status, result.live_status, result.is_queued) == ("processing", live, live == "queued")
    assert provider.lines == [f"GET /fal-ai/flux/requests/{ID}/status"]
    assert provider.requests[0].headers["authorization"] == "Key id:secret"


def test_a_completed_job_s_result_is_read(adapter: Adapter, provider: Any, tool: CatalogTool) -> None:
    answer = httpx.Response(200, json={"images": [{"url": P, "content_type": "image/png", "width": 8, "height": 9}]})
    metrics = {"inference_time": 1.2345}
    result = poll(adapter, provider, tool("fal-flux-dev"), answer, status="COMPLETED", metrics=metrics)
    images = [{"url": P, "mediaType": "image/png", "width": 8, "height": 9}]
    assert result.payload == ({"type": "image", "data": {"images": images}},)
    assert (result.status, result.duration_ms, result.cost_usd) == ("succeeded", 1235, None)
    assert provider.lines[1] == f"GET /fal-ai/flux/requests/{ID}"


@pytest.mark.parametrize(
    ("named", "asked"),
    [
        (f"{BASE}/response", f"/fal-ai/flux/requests/{ID}/response"),
        (f"https://elsewhere.example/fal-ai/flux/requests/{ID}/response", f"/fal-ai/flux/requests/{ID}/response"),
        (f"{BASE}-other", f"/fal-ai/flux/requests/{ID}"),
        (f"{BASE}/../../x", f"/fal-ai/flux/requests/{ID}"),
        ("https://queue.fal.run/admin", f"/fal-ai/flux/requests/{ID}"),
        (7, f"/fal-ai/flux/requests/{ID}"),
    ],
)
def test_the_result_is_read_where_fal_says_and_never_with_another_host(
    adapter: Adapter, provider: Any, tool: CatalogTool, named: Any, asked: str
) -> None:
    answer = httpx.Response(200, json={"image": {"url": P}})
    poll(adapter, provider, tool("fal-flux-dev"), answer, status="COMPLETED", response_url=named)
    assert str(provider.requests[1].url) == f"https://queue.fal.run{asked}"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(404, json={"detail": "x"}), JobLost),
        (httpx.Response(401), ProviderRefused),
        (httpx.Response(429), ProviderUnavailable),
        (httpx.Response(502, html="<html>"), ProviderUnavailable),
        (httpx.ConnectError("x"), ProviderUnavailable),
        (httpx.ReadTimeout("x"), ProviderUnavailable),
        (httpx.Response(200, content=b'{"status"'), ProviderAnswerInvalid),
        (httpx.Response(200, json=[]), ProviderAnswerInvalid),
        (httpx.Response(200, json={"status": "SURPRISED"}), ProviderAnswerInvalid),
    ],
)
def test_polls_that_fail(adapter: Adapter, provider: Any, flux: Request, answer: Any, error: type[StepFailed]) -> None:
    provider.answers(answer)
    with pytest.raises(error):
        adapter.poll_job(RUN, flux.tool)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(502, html="<html>"), ProviderUnavailable),
        (httpx.Response(500, json={"detail": "Internal Server Error"}), ProviderUnavailable),
        (httpx.Response(503), ProviderUnavailable),
        (httpx.Response(401), ProviderUnavailable),
        (httpx.Response(429), ProviderUnavailable),
        (httpx.Response(302, headers={"location": "https://elsewhere.example"}), ProviderUnavailable),
        (httpx.ReadError("x"), ProviderUnavailable),
        (httpx.Response(200, content=b'{"images": ['), ProviderAnswerInvalid),
        (httpx.Response(200, content=b"\x00\xff"), ProviderAnswerInvalid),
    ],
)
def test_a_result_that_cannot_be_read_is_no_verdict_on_the_job(
    adapter: Adapter, provider: Any, flux: Request, answer: Any, error: type[StepFailed]
) -> None:
    with pytest.raises(error):
        poll(adapter, provider, flux.tool, answer, status="COMPLETED", metrics={"inference_time": 1})


@pytest.mark.parametrize("run_id", ["", "x", "flux/p1", "../models/a/b", "a/b/../c", "a/b/c?x", "a/b/", "a/b/c\n"])
def test_a_run_id_cannot_leave_its_path(adapter: Adapter, provider: Any, flux: Request, run_id: str) -> None:
    with pytest.raises(JobLost):
        adapter.poll_job(run_id, flux.tool)
    adapter.cancel_job(run_id)
    assert provider.requests == []


# --- Failures ---

REFUSED_INPUT = {"loc": ["body", "loras", 0, "path"], "msg": "Could not be\n read", "type": "value", "input": "a fox"}


def typed(code: int, kind: str, words: str = "It broke", **headers: str) -> httpx.Response:
    return httpx.Response(code, json={"detail": words, "error_type": kind}, headers=headers)


@pytest.mark.parametrize(
    ("answer", "status", "code", "message", "retryable"),
    [
        pytest.param(
            httpx.Response(422, json={"detail": [REFUSED_INPUT, {"msg": "Second"}]}),
            {},
            "JOB_FAILED",
            "fal: loras.0.path: Could not be read; Second (422)",
            False,
            id="inputs",
        ),
        pytest.param(
            httpx.Response(422, json={"detail": []}), {}, "JOB_FAILED", "fal: the job failed (422)", False, id="silent"
        ),
        pytest.param(
            httpx.Response(404, json={"detail": "Path /x not found"}),
            {},
            "JOB_FAILED",
            "fal: Path /x not found (404)",
            False,
            id="path",
        ),
        pytest.param(
            httpx.Response(400, html="<p>"), {}, "JOB_FAILED", "fal: the job failed (400)", False, id="400 page"
        ),
        pytest.param(
            typed(503, "runner_disconnected"), {}, "JOB_FAILED", "fal: It broke (runner_disconnected)", True, id="gone"
        ),
        pytest.param(
            typed(500, "runner_server_error"), {}, "JOB_FAILED", "fal: It broke (runner_server_error)", False, id="500"
        ),
        pytest.param(
            httpx.Response(503, text="x", headers={"x-fal-error-type": "runner_scheduling_failure"}),
            {},
            "JOB_FAILED",
            "fal: the job failed (runner_scheduling_failure)",
            True,
            id="by header",
        ),
        pytest.param(
            typed(504, "request_timeout", **{"x-fal-request-timeout-type": "user"}),
            {},
            "TIMED_OUT",
            "fal: It broke (request_timeout)",
            True,
            id="late",
        ),
        pytest.param(
            httpx.Response(504, json={"detail": "Late"}, headers={"x-fal-request-timeout-type": "user"}),
            {"error": "Request timed out"},
            "TIMED_OUT",
            "fal: Late (504)",
            True,
            id="late by header",
        ),
        pytest.param(
            typed(504, "startup_timeout"), {}, "TIMED_OUT", "fal: It broke (startup_timeout)", True, id="startup"
        ),
        pytest.param(
            typed(499, "client_cancelled"), {}, "JOB_CANCELLED", "The job was cancelled at fal", False, id="cancelled"
        ),
        pytest.param(
            httpx.Response(500, json={"detail": [{"loc": ["body"], "msg": "Boom"}]}),
            {"error": "Invalid status code: 500"},
            "JOB_FAILED",
            "fal: Boom (500)",
            False,
            id="500 by the status",
        ),
        pytest.param(
            httpx.Response(502, html="<html>"),
            {"error": "Runner gone", "error_type": "runner_connection_error"},
            "JOB_FAILED",
            "fal: Runner gone (runner_connection_error)",
            True,
            id="by the status alone",
        ),
        pytest.param(
            httpx.Response(200, json={}),
            {"error": "Invalid status code: 503"},
            "JOB_FAILED",
            "fal: Invalid status code: 503 (503)",
            True,
            id="an error whose result is none",
        ),
        pytest.param(
            httpx.Response(
                500, json={"detail": "x", "error_type": "internal_error"}, headers={"x-fal-retryable": "true"}
            ),
            {},
            "JOB_FAILED",
            "fal: x (internal_error)",
            True,
            id="retryable by header",
        ),
        pytest.param(
            typed(503, "runner_disconnected", **{"x-fal-needs-retry": "0"}),
            {},
            "JOB_FAILED",
            "fal: It broke (runner_disconnected)",
            False,
            id="not retryable by header",
        ),
    ],
)
def test_completed_is_not_success(
    adapter: Adapter,
    provider: Any,
    tool: CatalogTool,
    answer: httpx.Response,
    status: dict[str, Any],
    code: str,
    message: str,
    retryable: bool,
) -> None:
    told = {"status": "COMPLETED", "metrics": {"inference_time": 2.5}, **status}
    result = poll(adapter, provider, tool("fal-flux-dev"), answer, **told)
    assert result.status == "failed" and result.failure is not None
    failure = result.failure
    assert (failure.code, failure.message, failure.retryable) == (code, message, retryable)
    assert (result.duration_ms, result.cost_usd) == (2500, None), "what is paid by the run is paid where it succeeds"
    assert "a fox" not in failure.message
    by_second = poll(adapter, provider, tool("fal-esrgan"), answer, **told)
    is_billed = answer.status_code in range(400, 500)
    assert by_second.cost_usd == (Decimal("0.002775") if is_billed else None), "server errors are not billed"


# --- Outputs ---


@pytest.mark.parametrize(
    ("result", "output_type", "payload"),
    [
        pytest.param(
            {
                "images": [
                    {"url": P, "content_type": "image/png", "file_name": "a.png", "file_size": 7},
                    {"url": "https://f.example/x", "content_type": None, "width": None},
                ],
                "seed": 7,
                "prompt": "a fox",
                "has_nsfw_concepts": [False],
                "timings": {"inference": 1.5},
            },
            "image",
            [
                (
                    "image",
                    {
                        "images": [
                            {"url": P, "mediaType": "image/png", "filename": "a.png"},
                            {"url": "https://f.example/x"},
                        ]
                    },
                )
            ],
            id="images",
        ),
        pytest.param({"image": {"url": P}}, "image", [("image", {"images": [{"url": P, "mediaType": "image/png"}]})]),
        pytest.param(
            {"video": {"url": V, "content_type": "video/mp4"}, "seed": 1},
            "video",
            [("video", {"files": [{"url": V, "mediaType": "video/mp4"}]})],
            id="a video",
        ),
        pytest.param(
            {"video": {"url": V, "content_type": "application/octet-stream"}},
            None,
            [("video", {"files": [{"url": V}]})],
            id="a video by its key",
        ),
        pytest.param(
            {"result": {"url": V, "content_type": "application/octet-stream", "file_name": "b.webm"}},
            None,
            [("video", {"files": [{"url": V, "mediaType": "video/webm", "filename": "b.webm"}]})],
            id="a video by its name",
        ),
        pytest.param(
            {"audio_file": {"url": V, "file_name": "b"}, "audio_url": V},
            None,
            [("audio", {"files": [{"url": V, "filename": "b"}]})],
            id="audio, once",
        ),
        pytest.param(
            {"model_mesh": {"url": V, "content_type": "model/gltf-binary"}, "textures": [{"url": P, "file_size": 1}]},
            None,
            [
                ("image", {"images": [{"url": P, "mediaType": "image/png"}]}),
                ("file", {"files": [{"url": V, "mediaType": "model/gltf-binary"}]}),
            ],
            id="a mesh and its pictures",
        ),
        pytest.param(
            {"diffusers_lora_file": {"url": V, "file_name": "l.safetensors"}},
            "file",
            [("file", {"files": [{"url": V, "filename": "l.safetensors"}]})],
            id="a file",
        ),
        pytest.param(
            {"data": {"url": "https://f.example/x", "file_size": 1}},
            "audio",
            [("audio", {"files": [{"url": "https://f.example/x"}]})],
            id="by what the tool makes",
        ),
        pytest.param(
            {"frames": {"mask": [["data:image/png;base64,AAAA"]]}},
            None,
            [("image", {"images": [{"url": "data:image/png;base64,AAAA", "mediaType": "image/png"}]})],
            id="a bare address, deep",
        ),
        pytest.param(
            {"output": V, "image": {"url": P}},
            "image",
            [("image", {"images": [{"url": P, "mediaType": "image/png"}]})],
            id="an address is no text",
        ),
        pytest.param(
            {"a": [[[[[[[[{"image": {"url": P}}]]]]]]]], "text": "t"},
            None,
            None,
            id="too deep",
        ),
        pytest.param({"output": "Once upon a time"}, "text", [("text", {"text": "Once upon a time"})], id="a text"),
        pytest.param(
            {"text": "hello", "chunks": [{"text": "hello", "timestamp": [0, 1]}]},
            "text",
            [
                (
                    "text",
                    {
                        "text": "hello",
                        "result": {"text": "hello", "chunks": [{"text": "hello", "timestamp": [0, 1]}]},
                    },
                )
            ],
            id="a text and more",
        ),
        pytest.param(
            {"images": [{"url": P}], "description": "A fox."},
            "image",
            [("image", {"images": [{"url": P, "mediaType": "image/png"}]}), ("text", {"text": "A fox."})],
            id="a picture and words",
        ),
        pytest.param("Hi.", None, [("text", {"text": "Hi."})], id="nothing but a text"),
        pytest.param(
            {"nsfw_probability": 0.25},
            "text",
            [("text", {"text": '{"nsfw_probability":0.25}', "result": {"nsfw_probability": 0.25}})],
            id="other JSON",
        ),
        pytest.param(
            {"output": "see the source", "sources": [{"url": "https://a.example", "title": "A"}]},
            "text",
            [
                (
                    "text",
                    {
                        "text": "see the source",
                        "result": {
                            "output": "see the source",
                            "sources": [{"url": "https://a.example", "title": "A"}],
                        },
                    },
                )
            ],
            id="a link is no file",
        ),
        pytest.param([1, 2], None, [("text", {"text": "[1,2]", "result": [1, 2]})], id="a list"),
        pytest.param({"image": {"url": "javascript:x"}, "text": "t"}, None, None, id="no address"),
    ],
)
def test_outputs(
    adapter: Adapter, provider: Any, tool: CatalogTool, result: Any, output_type: str | None, payload: Any
) -> None:
    made = poll(
        adapter,
        provider,
        tool("fal-flux-dev", outputType=output_type),
        httpx.Response(200, json=result),
        status="COMPLETED",
    )
    assert made.status == "succeeded"
    found = [(element["type"], element["data"]) for element in made.payload]
    assert found == (payload or [("text", {"text": "t", "result": result})])


@pytest.mark.parametrize("result", [{}, {"images": [], "seed": 7}, {"images": None}, "", []])
def test_a_success_without_an_output_is_a_failure_that_is_paid_for(
    adapter: Adapter, provider: Any, tool: CatalogTool, result: Any
) -> None:
    for tool_id, cost in (("fal-flux-dev", "0.025"), ("fal-esrgan", "0.00222")):
        answer = httpx.Response(200, json=result)
        ended = poll(adapter, provider, tool(tool_id), answer, status="COMPLETED", metrics={"inference_time": 2})
        assert ended.failure is not None
        assert (ended.failure.code, ended.failure.message) == ("JOB_FAILED", "fal ended the job without an output")
        assert ended.cost_usd == Decimal(cost)


@pytest.mark.parametrize("metrics", [None, {}, [], {"inference_time": None}, {"inference_time": True}])
@pytest.mark.parametrize("tool_id", ["fal-flux-dev", "fal-esrgan"])
def test_metrics_that_are_none(adapter: Adapter, provider: Any, tool: CatalogTool, metrics: Any, tool_id: str) -> None:
    answer = httpx.Response(200, json={"image": {"url": P}})
    result = poll(adapter, provider, tool(tool_id), answer, status="COMPLETED", metrics=metrics)
    assert (result.status, result.duration_ms) == ("succeeded", None)


# --- Callbacks ---


def signed(body: bytes, at: datetime = NOW, key: Ed25519PrivateKey = KEY) -> dict[str, str]:
    timestamp = str(int(at.timestamp()))
    message = "\n".join([ID, "user-1", timestamp, hashlib.sha256(body).hexdigest()])
    return {
        "x-fal-webhook-request-id": ID,
        "x-fal-webhook-user-id": "user-1",
        "x-fal-webhook-timestamp": timestamp,
        "x-fal-webhook-signature": key.sign(message.encode()).hex(),
    }


def callback(**told: Any) -> bytes:
    return json.dumps({"request_id": ID, "gateway_request_id": ID, **told}).encode()


def keys(*published: Ed25519PrivateKey) -> httpx.Response:
    return httpx.Response(200, json={"keys": [jwk(key) for key in published]})


DONE = callback(status="OK", payload={"images": [{"url": P}]}, error=None)


def test_a_signed_callback_is_read(adapter: Adapter, provider: Any, flux: Request) -> None:
    other = {"kty": "RSA", "n": "x", "e": "y"}
    broken = [{"kty": "OKP", "crv": "Ed25519", "x": x} for x in (None, 5, "é", "AAAA", "A")]
    another_curve = jwk(Ed25519PrivateKey.generate()) | {"crv": "X25519"}
    published = ["x", other, *broken, another_curve, jwk(Ed25519PrivateKey.generate()), jwk(KEY)]
    provider.answers(httpx.Response(200, json={"keys": published}))
    result = adapter.parse_webhook(signed(DONE), DONE, flux.tool, NOW)
    assert result.payload == ({"type": "image", "data": {"images": [{"url": P, "mediaType": "image/png"}]}},)
    (asked,) = provider.requests
    assert str(asked.url) == "https://rest.fal.ai/.well-known/jwks.json"
    assert "authorization" not in asked.headers


@pytest.mark.parametrize(("gateway_id", "told"), [(ID, ID), ("first-id", "first-id"), (None, ID), ("", ID)])
def test_a_callback_says_of_which_job_it_is(
    adapter: Adapter, provider: Any, flux: Request, gateway_id: str | None, told: str
) -> None:
    """Where fal repeats a request by itself, by the id under which it was taken."""
    provider.answers(keys(KEY))
    body = callback(status="OK", payload={"images": [{"url": P}]}, gateway_request_id=gateway_id)
    assert adapter.parse_webhook(signed(body), body, flux.tool, NOW).run_id == told


@pytest.mark.parametrize("seconds", [-301, -300, 0, 300, 301, -86400])
def test_only_a_fresh_callback_is_taken(adapter: Adapter, provider: Any, flux: Request, seconds: int) -> None:
    provider.answers(keys(KEY))
    headers = signed(DONE, NOW + timedelta(seconds=seconds))
    if abs(seconds) <= 300:
        assert adapter.parse_webhook(headers, DONE, flux.tool, NOW).status == "succeeded"
    else:
        with pytest.raises(InvalidSignature, match="too old, or from the future"):
            adapter.parse_webhook(headers, DONE, flux.tool, NOW)
        assert provider.requests == []


@pytest.mark.parametrize("missing", ["request-id", "user-id", "timestamp", "signature"])
def test_a_callback_without_a_header_is_refused(adapter: Adapter, provider: Any, flux: Request, missing: str) -> None:
    headers = signed(DONE)
    del headers[f"x-fal-webhook-{missing}"]
    with pytest.raises(InvalidSignature, match="no signature"):
        adapter.parse_webhook(headers, DONE, flux.tool, NOW)
    assert provider.requests == []


def test_a_callback_with_a_wrong_signature_is_refused(adapter: Adapter, provider: Any, flux: Request) -> None:
    provider.answers(keys(KEY))
    good = signed(DONE)
    for wrong in (
        {"x-fal-webhook-request-id": "other"},
        {"x-fal-webhook-user-id": "other"},
        {"x-fal-webhook-timestamp": str(int(NOW.timestamp()) + 1)},
        {"x-fal-webhook-timestamp": "soon"},
        {"x-fal-webhook-timestamp": "9" * 400},
        {"x-fal-webhook-signature": "ab"},
        {"x-fal-webhook-signature": "zz" * 64},
        {"x-fal-webhook-signature": "é" * 128},
        {"x-fal-webhook-signature": "00" * 64},
        signed(DONE, key=Ed25519PrivateKey.generate()),
    ):
        with pytest.raises(InvalidSignature):
            adapter.parse_webhook(good | wrong, DONE, flux.tool, NOW)
    with pytest.raises(InvalidSignature):
        adapter.parse_webhook(good, DONE + b" ", flux.tool, NOW)
    upper = good | {"x-fal-webhook-signature": good["x-fal-webhook-signature"].upper()}
    assert adapter.parse_webhook(upper, DONE, flux.tool, NOW).status == "succeeded"


def test_keys_are_kept_for_a_day_and_looked_for_once_more_where_none_fits(
    adapter: Adapter, provider: Any, flux: Request
) -> None:
    def take(seconds: float, key: Ed25519PrivateKey = KEY) -> None:
        now = NOW + timedelta(seconds=seconds)
        adapter.parse_webhook(signed(DONE, now, key), DONE, flux.tool, now)

    forged, fresh = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    provider.answers(keys(KEY))
    take(0)
    take(86_399)
    assert len(provider.requests) == 1
    take(86_400)
    assert len(provider.requests) == 2, "they are a day old"
    with pytest.raises(InvalidSignature):
        take(86_410, forged)
    assert len(provider.requests) == 2, "they were read a moment ago"
    with pytest.raises(InvalidSignature):
        take(86_460, forged)
    assert len(provider.requests) == 3, "it might have been a new one"
    for _ in range(3):
        with pytest.raises(InvalidSignature):
            take(86_470, forged)
    assert len(provider.requests) == 3, "forged callbacks do not make us ask each time"
    provider.answers(keys(KEY, fresh))
    take(86_520, fresh)
    take(86_521, KEY)
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.ConnectError("x"), ProviderUnavailable),
        (httpx.ReadTimeout("x"), ProviderUnavailable),
        (httpx.Response(503), ProviderUnavailable),
        (httpx.Response(302, headers={"location": "https://elsewhere.example"}), ProviderUnavailable),
        (httpx.Response(200, json={"keys": [jwk(KEY)], "more": "x" * 65_537}), ProviderAnswerInvalid),
        (httpx.Response(200, html="<html>"), ProviderAnswerInvalid),
        (httpx.Response(200, json=[]), ProviderAnswerInvalid),
        (httpx.Response(200, json={"keys": 5}), ProviderAnswerInvalid),
        (httpx.Response(200, json={"keys": []}), ProviderAnswerInvalid),
    ],
)
def test_without_keys_no_callback_is_taken_and_the_next_one_asks_again(
    adapter: Adapter, provider: Any, flux: Request, answer: Any, error: type[StepFailed]
) -> None:
    provider.answers(answer, keys(KEY))
    with pytest.raises(error, match=r"public key|publishes no key"):
        adapter.parse_webhook(signed(DONE), DONE, flux.tool, NOW)
    assert adapter.parse_webhook(signed(DONE), DONE, flux.tool, NOW).status == "succeeded"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b"[" * 100_000, b"\xff", b'{"status": NaN}', b"{}"])
def test_a_signed_callback_of_nonsense(adapter: Adapter, provider: Any, flux: Request, body: bytes) -> None:
    provider.answers(keys(KEY))
    with pytest.raises(ProviderAnswerInvalid):
        adapter.parse_webhook(signed(body), body, flux.tool, NOW)


@pytest.mark.parametrize("request_id", [None, 5, "", "a/b", ".."])
def test_a_callback_that_names_no_job(adapter: Adapter, provider: Any, flux: Request, request_id: Any) -> None:
    provider.answers(keys(KEY))
    body = json.dumps({"request_id": request_id, "status": "OK", "payload": {"image": {"url": P}}}).encode()
    with pytest.raises(ProviderAnswerInvalid, match="names no job"):
        adapter.parse_webhook(signed(body), body, flux.tool, NOW)


@pytest.mark.parametrize(
    ("told", "code", "message", "retryable"),
    [
        (
            {"error": "Invalid status code: 422", "payload": {"detail": [REFUSED_INPUT]}},
            "JOB_FAILED",
            "fal: loras.0.path: Could not be read (422)",
            False,
        ),
        (
            {"error": "Invalid status code: 503", "payload": {"detail": "Gone", "error_type": "runner_disconnected"}},
            "JOB_FAILED",
            "fal: Gone (runner_disconnected)",
            True,
        ),
        (
            {"error": "x", "payload": {"detail": "Late", "error_type": "request_timeout"}},
            "TIMED_OUT",
            "fal: Late (request_timeout)",
            True,
        ),
        (
            {"error": "x", "payload": {"detail": "Stopped", "error_type": "client_cancelled"}},
            "JOB_CANCELLED",
            "The job was cancelled at fal",
            False,
        ),
        ({"error": "It broke", "payload": None}, "JOB_FAILED", "fal: It broke", False),
        ({"error": {}, "payload": "words"}, "JOB_FAILED", "fal: the job failed", False),
    ],
)
def test_a_callback_of_a_failure(
    adapter: Adapter, provider: Any, flux: Request, told: dict[str, Any], code: str, message: str, retryable: bool
) -> None:
    provider.answers(keys(KEY))
    body = callback(status="ERROR", **told)
    failure = adapter.parse_webhook(signed(body), body, flux.tool, NOW).failure
    assert failure is not None
    assert (failure.code, failure.message, failure.retryable) == (code, message, retryable)
    assert len(provider.requests) == 1


def test_a_result_that_did_not_fit_into_its_callback_is_fetched(adapter: Adapter, provider: Any, flux: Request) -> None:
    body = callback(status="OK", payload=None, payload_error="Response payload is not JSON serializable.")
    completed = httpx.Response(200, json={"status": "COMPLETED", "metrics": {"inference_time": 2}})
    provider.answers(keys(KEY), completed, httpx.Response(200, json={"image": {"url": P}}))
    result = adapter.parse_webhook(signed(body), body, flux.tool, NOW)
    assert (result.status, result.duration_ms) == ("succeeded", 2000)
    place = f"/fal-ai/flux/requests/{ID}"
    assert provider.lines[1:] == [f"GET {place}/status", f"GET {place}"]
    provider.answers(httpx.Response(202, json={"status": "IN_PROGRESS"}))
    with pytest.raises(ProviderUnavailable, match="before it had the result"):
        adapter.parse_webhook(signed(body), body, flux.tool, NOW)


def test_what_is_paid_by_the_second_asks_how_long_it_took(adapter: Adapter, provider: Any, tool: CatalogTool) -> None:
    upscaler = tool("fal-esrgan")
    body = callback(status="OK", payload={"image": {"url": P}})
    completed = httpx.Response(200, json={"status": "COMPLETED", "metrics": {"inference_time": 2.5}})
    provider.answers(keys(KEY), completed)
    assert adapter.parse_webhook(signed(body), body, upscaler, NOW).duration_ms == 2500
    assert provider.lines[1:] == [f"GET /fal-ai/esrgan/requests/{ID}/status"]
    for answer in (httpx.Response(503), httpx.Response(404), httpx.ReadTimeout("x"), httpx.Response(200, text="{")):
        provider.answers(answer)
        result = adapter.parse_webhook(signed(body), body, upscaler, NOW)
        assert (result.status, result.duration_ms) == ("succeeded", None), "the result is not lost for its price"
    provider.answers(completed)
    failed = callback(status="ERROR", error="Invalid status code: 422", payload={"detail": "No picture"})
    assert adapter.parse_webhook(signed(failed), failed, upscaler, NOW).cost_usd == Decimal("0.002775")
    failed = callback(status="ERROR", error="Invalid status code: 500", payload={"detail": "Boom"})
    assert adapter.parse_webhook(signed(failed), failed, upscaler, NOW).cost_usd is None


@pytest.mark.parametrize(
    ("address", "allow_loopback", "is_taken"),
    [
        ("", False, True),
        ("https://rest.alpha.fal.ai/.well-known/jwks.json", False, True),
        ("http://127.0.0.1:4600/jwks.json", True, True),
        ("http://127.0.0.1:4600/jwks.json", False, False),
        ("http://keys.example/jwks.json", True, False),
        ("whsec_c2VjcmV0", True, False),
        ("http://[", True, False),
    ],
)
def test_the_address_of_the_keys(provider: Any, address: str, allow_loopback: bool, is_taken: bool) -> None:
    config = ProviderConfig("", "key", address)
    if is_taken:
        fal.build(config, provider.client, allow_loopback)
    else:
        with pytest.raises(ProviderNotConfigured, match="public keys"):
            fal.build(config, provider.client, allow_loopback)


# --- Cancellation ---


@pytest.mark.parametrize("status", [200, 202, 400, 404])
def test_cancelling(adapter: Adapter, provider: Any, status: int) -> None:
    provider.answers(httpx.Response(status))
    adapter.cancel_job(RUN)
    assert provider.lines == [f"PUT /fal-ai/flux/requests/{ID}/cancel"]


def test_cancelling_that_fails(adapter: Adapter, provider: Any) -> None:
    for answer in (httpx.ConnectError("x"), httpx.Response(500)):
        provider.answers(answer)
        with pytest.raises(ProviderUnavailable):
            adapter.cancel_job(RUN)
    provider.answers(httpx.Response(401))
    with pytest.raises(ProviderRefused):
        adapter.cancel_job(RUN)


def test_the_client_does_not_log_the_address_with_the_token(
    caplog: pytest.LogCaptureFixture, ask: Ask, tool: CatalogTool
) -> None:
    caplog.set_level(logging.DEBUG)
    service = Fal()
    with serving(service.app()) as url, provider_client() as client:
        adapter = fal.build(ProviderConfig(url, "id:secret"), lambda: client, True)
        adapter.start_job(ask(tool("fal-flux-dev"), callback_url="http://127.0.0.1:1/v1/completions/tok", prompt="x"))
    assert service.counts["submits"] == 1
    assert service.submits[0][1]["user-agent"] == "spellcast"
    for secret in ("completions", "id:secret"):
        assert secret not in caplog.text
