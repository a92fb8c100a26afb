from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from spellcast.adapters.replicate import ReplicateAdapter
from spellcast.domain.errors import (
    InvalidSignature,
    InvalidStepInput,
    JobLost,
    OutcomeUnknown,
    ProviderAnswerInvalid,
    ProviderRefused,
    ProviderUnavailable,
    StepFailed,
)
from spellcast.domain.results import Usage
from spellcast.domain.standard_webhooks import sign
from spellcast.domain.tools import Tool, parse_tool
from spellcast.ports.adapter import Adapter, ProviderConfig, Request

SECRET = "whsec_" + base64.b64encode(b"a shared secret of some length").decode()
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CREATED = {"id": "p1", "status": "starting"}

Ask = Callable[..., Request]
CatalogTool = Callable[..., Tool]


def make(provider: Any, url: str = "", secret: str = SECRET) -> Adapter:
    client = provider.client()
    return ReplicateAdapter(ProviderConfig(url, "r8_key", secret), lambda: client)


@pytest.fixture
def adapter(provider: Any) -> Adapter:
    return make(provider)


@pytest.fixture
def flux(ask: Ask, tool: CatalogTool) -> Request:
    return ask(tool("replicate-flux-schnell"), prompt="a fox", seed=None, aspect_ratio="1:1")


@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_prediction_is_created(adapter: Adapter, provider: Any, flux: Request, status: int) -> None:
    provider.answers(httpx.Response(status, json=CREATED))
    assert adapter.start_job(flux).run_id == "p1"
    assert str(provider.requests[0].url) == (
        "https://api.replicate.com/v1/models/black-forest-labs/flux-schnell/predictions"
    )
    assert provider.requests[0].headers["authorization"] == "Bearer r8_key"
    assert provider.body() == {
        "input": {"prompt": "a fox", "aspect_ratio": "1:1"},
        "webhook": flux.callback_url,
        "webhook_events_filter": ["start", "completed"],
    }
    assert adapter.derived_run_id("c.1.1") is None


@pytest.mark.parametrize(
    ("metadata", "path", "version"),
    [
        ({"version": "abc"}, "/v1/predictions", "abc"),
        ({"model": None, "deployment": "me/mine"}, "/v1/deployments/me/mine/predictions", None),
        ({"model": "a b/../c"}, "/v1/models/a%20b/..%2Fc/predictions", None),
    ],
)
def test_versions_and_deployments(
    adapter: Adapter, provider: Any, ask: Ask, tool: CatalogTool, metadata: dict[str, Any], path: str, version: Any
) -> None:
    provider.answers(httpx.Response(201, json=CREATED))
    adapter.start_job(ask(tool("replicate-flux-schnell", **metadata), prompt="x"))
    assert provider.lines == [f"POST {path}"]
    assert provider.body().get("version") == version


def test_a_tool_without_a_model(adapter: Adapter, ask: Ask, tool: CatalogTool) -> None:
    with pytest.raises(InvalidStepInput, match="names no model"):
        adapter.start_job(ask(tool("replicate-flux-schnell", model=None), prompt="x"))


@pytest.mark.parametrize(
    ("url", "callback", "is_sent"),
    [
        ("", "https://a.example/x", True),
        ("", "http://127.0.0.1:4599/x", False),
        ("http://127.0.0.1:4600/replicate", "http://127.0.0.1:4599/x", True),
        ("http://localhost:4600", "http://127.0.0.1:4599/x", True),
        ("http://localhost:4600", "", False),
    ],
)
def test_the_callback_is_sent_where_it_can_be_called(
    provider: Any, ask: Ask, tool: CatalogTool, url: str, callback: str, is_sent: bool
) -> None:
    provider.answers(httpx.Response(201, json=CREATED))
    make(provider, url).start_job(ask(tool("replicate-flux-schnell"), callback_url=callback, prompt="x"))
    assert ("webhook" in provider.body()) is is_sent


@pytest.mark.parametrize(
    ("mode", "secret", "is_sent"), [("webhook", SECRET, True), ("async", SECRET, False), ("webhook", "", False)]
)
def test_a_callback_that_nobody_waits_for_or_could_check_is_not_asked_for(
    provider: Any, ask: Ask, bare_tool: Callable[..., Tool], mode: str, secret: str, is_sent: bool
) -> None:
    provider.answers(httpx.Response(201, json=CREATED))
    job = make(provider, secret=secret).start_job(
        ask(bare_tool("replicate", deliveryMode=mode, metadata={"model": "a/b"}), prompt="x")
    )
    assert job.calls_back is is_sent
    assert ("webhook" in provider.body()) is ("webhook_events_filter" in provider.body()) is is_sent


AMBIGUOUS = {
    "timeout": httpx.ReadTimeout("x"),
    "reset after send": httpx.ReadError("reset"),
    "closed without an answer": httpx.RemoteProtocolError("closed"),
    "502 html": httpx.Response(502, html="<html>"),
    "503": httpx.Response(503, json={"detail": "x"}),
    "truncated json": httpx.Response(201, content=b'{"id": "p'),
    "200 with garbage": httpx.Response(200, content=b"\x00\xff"),
    "without an id": httpx.Response(201, json={"status": "starting"}),
    "an id of another type": httpx.Response(201, json={"id": 5}),
}
CERTAIN: dict[str, tuple[Any, type[StepFailed], str]] = {
    "refused connection": (httpx.ConnectError("x"), ProviderUnavailable, "reached"),
    "429": (httpx.Response(429, json={"detail": "throttled"}), ProviderUnavailable, "429"),
    "401": (httpx.Response(401, json={"detail": "r8_key is wrong"}), ProviderRefused, "our credentials"),
    "404": (httpx.Response(404, json={"detail": "no such model"}), ProviderRefused, "no such model"),
    "402": (httpx.Response(402, json={"title": "Insufficient credit"}), ProviderRefused, "Insufficient credit"),
    "422": (httpx.Response(422, json={"detail": "- input:\n prompt"}), ProviderRefused, "- input: prompt$"),
    "400 html": (httpx.Response(400, html="<p>"), ProviderRefused, "no reason given"),
}


@pytest.mark.parametrize("answer", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_a_lost_answer_leaves_the_outcome_unknown(adapter: Adapter, provider: Any, flux: Request, answer: Any) -> None:
    provider.answers(answer)
    with pytest.raises(OutcomeUnknown) as caught:
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
    assert "r8_key" not in caught.value.message


# --- States ---


def poll(adapter: Adapter, provider: Any, tool: Tool, **prediction: Any) -> Any:
    provider.answers(httpx.Response(200, json={"id": "p1", **prediction}))
    return adapter.poll_job("p1", tool)


@pytest.mark.parametrize("status", ["starting", "processing"])
def test_a_prediction_under_way(adapter: Adapter, provider: Any, tool: CatalogTool, status: str) -> None:
    result = poll(adapter, provider, tool("replicate-flux-schnell"), status=status)
    assert (result.status, result.live_status) == ("processing", status)
    assert result.is_queued is (status == "starting")
    assert provider.lines == ["GET /v1/predictions/p1"]


P, V = "https://r.example/a.png", "https://r.example/b.mp4?x=1"


@pytest.mark.parametrize(
    ("output", "output_type", "payload"),
    [
        (P, None, [("image", {"images": [{"url": P, "mediaType": "image/png"}]})]),
        (
            [P, "https://r.example/c.webp"],
            None,
            [
                (
                    "image",
                    {
                        "images": [
                            {"url": P, "mediaType": "image/png"},
                            {"url": "https://r.example/c.webp", "mediaType": "image/webp"},
                        ]
                    },
                )
            ],
        ),
        (V, None, [("video", {"files": [{"url": V, "mediaType": "video/mp4"}]})]),
        ("https://r.example/x", "image", [("image", {"images": [{"url": "https://r.example/x"}]})]),
        ("https://r.example/x", "text", [("file", {"files": [{"url": "https://r.example/x"}]})]),
        ("https://r.example/x.zip", None, [("image", {"images": [{"url": "https://r.example/x.zip"}]})]),
        (
            "data:image/png;base64,AAAA",
            "video",
            [("image", {"images": [{"url": "data:image/png;base64,AAAA", "mediaType": "image/png"}]})],
        ),
        (["Once", " upon", " a time"], None, [("text", {"text": "Once upon a time"})]),
        ("see https://r.example", None, [("text", {"text": "see https://r.example"})]),
        (42, None, [("text", {"text": "42", "result": 42})]),
        ([], None, [("text", {"text": "[]", "result": []})]),
        (
            {"image": P, "score": 0.5},
            None,
            [
                ("image", {"images": [{"url": P, "mediaType": "image/png"}]}),
                ("text", {"text": f'{{"image":"{P}","score":0.5}}', "result": {"image": P, "score": 0.5}}),
            ],
        ),
    ],
)
def test_outputs(
    adapter: Adapter, provider: Any, tool: CatalogTool, output: Any, output_type: str | None, payload: Any
) -> None:
    definition = tool("replicate-flux-schnell", **({"outputType": output_type} if output_type else {}))
    result = poll(adapter, provider, definition, status="succeeded", output=output, metrics={"predict_time": 1.2345})
    assert result.status == "succeeded"
    assert [(element["type"], element["data"]) for element in result.payload] == payload
    assert result.duration_ms == 1235
    assert result.cost_usd is None


@pytest.mark.parametrize(
    ("metrics", "usage"),
    [
        pytest.param(
            {"input_token_count": 25, "output_token_count": 20, "tokens_per_second": 9.5}, Usage(25, 20), id="a chat's"
        ),
        pytest.param({"output_token_count": 20}, Usage(0, 20), id="what is counted"),
        pytest.param({"predict_time": 2.5}, None, id="a picture's"),
        pytest.param({"input_token_count": "25", "output_token_count": -1}, None, id="no counts"),
        pytest.param({"input_token_count": True, "output_token_count": 2.5}, None, id="no whole numbers"),
        pytest.param(None, None, id="no metrics"),
    ],
)
def test_a_language_models_tokens_are_kept(
    adapter: Adapter, provider: Any, tool: CatalogTool, metrics: Any, usage: Usage | None
) -> None:
    chat = tool("replicate-flux-schnell")
    assert poll(adapter, provider, chat, status="succeeded", output=["Hi."], metrics=metrics).usage == usage


def test_tokens_of_a_lost_output_are_paid_for(adapter: Adapter, provider: Any, tool: CatalogTool) -> None:
    prices = {"dear": {"input": 1, "output": 2}, "default": {"input": "0.1", "output": "0.2"}}
    chat = parse_tool({**tool("replicate-flux-schnell").document, "metadata": {"tokenPrices": prices}})
    told = {"status": "succeeded", "output": None, "metrics": {"input_token_count": 500, "output_token_count": 250}}
    assert poll(adapter, provider, chat, **told, input={"model": "dear"}).cost_usd == Decimal(1)
    assert poll(adapter, provider, chat, **told, input=None).cost_usd == Decimal("0.1")


def test_a_success_whose_output_is_gone_is_a_failure_that_is_paid_for(
    adapter: Adapter, provider: Any, tool: CatalogTool
) -> None:
    by_run = tool("replicate-flux-schnell")
    result = poll(adapter, provider, by_run, status="succeeded", output=None, metrics={"predict_time": 1.2})
    assert result.failure is not None
    assert (result.status, result.failure.code) == ("failed", "JOB_FAILED")
    assert result.cost_usd == Decimal("0.003")


@pytest.mark.parametrize(
    ("status", "error", "code", "message"),
    [
        ("failed", "CUDA out\nof memory", "JOB_FAILED", "Replicate: CUDA out of memory"),
        ("failed", None, "JOB_FAILED", "Replicate: the prediction failed"),
        ("canceled", None, "JOB_CANCELLED", "The prediction was cancelled at Replicate"),
        ("aborted", None, "JOB_CANCELLED", "The prediction was cancelled at Replicate"),
    ],
)
def test_predictions_that_end_badly(
    adapter: Adapter, provider: Any, tool: CatalogTool, status: str, error: str | None, code: str, message: str
) -> None:
    by_run, by_second = tool("replicate-flux-schnell"), tool("replicate-clarity-upscaler")
    result = poll(adapter, provider, by_run, status=status, error=error, metrics={"predict_time": 2.5})
    assert result.status == "failed"
    assert (result.failure.code, result.failure.message) == (code, message)
    assert (result.duration_ms, result.cost_usd) == (2500, None)
    billed = poll(adapter, provider, by_second, status=status, error=error, metrics={"predict_time": 2.5})
    assert billed.cost_usd == Decimal("0.0035"), "what ran is billed by the second"
    unbilled = poll(adapter, provider, by_second, status=status, error=error, metrics={})
    assert (unbilled.duration_ms, unbilled.cost_usd) == (None, None)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(404, json={"detail": "x"}), JobLost),
        (httpx.Response(401), ProviderRefused),
        (httpx.Response(429), ProviderUnavailable),
        (httpx.Response(502, html="<html>"), ProviderUnavailable),
        (httpx.ConnectError("x"), ProviderUnavailable),
        (httpx.ReadTimeout("x"), ProviderUnavailable),
        (httpx.Response(200, content=b'{"id"'), ProviderAnswerInvalid),
        (httpx.Response(200, json=[]), ProviderAnswerInvalid),
        (httpx.Response(200, json={"id": "p1", "status": "surprised"}), ProviderAnswerInvalid),
        (httpx.Response(200, json={"id": "p1"}), ProviderAnswerInvalid),
    ],
)
def test_polls_that_fail(adapter: Adapter, provider: Any, flux: Request, answer: Any, error: type[StepFailed]) -> None:
    provider.answers(answer)
    with pytest.raises(error):
        adapter.poll_job("p1", flux.tool)


def test_an_id_cannot_leave_its_path(adapter: Adapter, provider: Any, flux: Request) -> None:
    provider.answers(httpx.Response(404))
    with pytest.raises(JobLost):
        adapter.poll_job("../models?x", flux.tool)
    assert provider.lines == ["GET /v1/predictions/..%2Fmodels%3Fx"]


# --- Callbacks ---


def callback(prediction: Any, sent_at: datetime = NOW, secret: str = SECRET) -> tuple[dict[str, str], bytes]:
    body = prediction if isinstance(prediction, bytes) else json.dumps(prediction).encode()
    return sign(secret, "msg_1", sent_at, body), body


def test_a_signed_callback_is_read(adapter: Adapter, flux: Request) -> None:
    headers, body = callback({"id": "p1", "status": "succeeded", "output": [P]})
    result = adapter.parse_webhook(headers, body, flux.tool, NOW)
    assert result.run_id == json.loads(body)["id"]
    assert result.payload[0]["data"]["images"][0]["url"] == P
    headers, body = callback({"id": "p1", "status": "processing"})
    assert adapter.parse_webhook(headers, body, flux.tool, NOW).status == "processing"


@pytest.mark.parametrize("seconds", [-300, -299, 0, 299, 300])
def test_a_fresh_callback_is_taken(adapter: Adapter, flux: Request, seconds: int) -> None:
    headers, body = callback({"status": "starting"}, NOW + timedelta(seconds=seconds))
    assert adapter.parse_webhook(headers, body, flux.tool, NOW).status == "processing"


@pytest.mark.parametrize("seconds", [-301, 301, -86400])
def test_a_stale_callback_is_refused(adapter: Adapter, flux: Request, seconds: int) -> None:
    headers, body = callback({"status": "starting"}, NOW + timedelta(seconds=seconds))
    with pytest.raises(InvalidSignature, match="too old, or from the future"):
        adapter.parse_webhook(headers, body, flux.tool, NOW)


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_callback_without_a_header_is_refused(adapter: Adapter, flux: Request, missing: str) -> None:
    headers, body = callback({"status": "succeeded"})
    del headers[missing]
    with pytest.raises(InvalidSignature, match="no signature"):
        adapter.parse_webhook(headers, body, flux.tool, NOW)


def test_a_callback_with_a_wrong_signature_is_refused(adapter: Adapter, flux: Request) -> None:
    headers, body = callback({"status": "succeeded"})
    other = callback({"status": "succeeded"}, secret="whsec_" + base64.b64encode(b"other").decode())[0]
    for wrong, content in (
        (headers, body + b" "),
        ({**headers, "webhook-id": "msg_2"}, body),
        (other, body),
        ({**headers, "webhook-signature": headers["webhook-signature"].replace("v1,", "v2,")}, body),
        ({**headers, "webhook-signature": "v1,é"}, body),
        ({**headers, "webhook-timestamp": "soon"}, body),
        ({**headers, "webhook-timestamp": "9" * 400}, body),
        ({**headers, "webhook-timestamp": "²"}, body),
    ):
        with pytest.raises(InvalidSignature):
            adapter.parse_webhook(wrong, content, flux.tool, NOW)


def test_without_a_secret_every_callback_is_refused(provider: Any, flux: Request) -> None:
    headers, body = callback({"status": "succeeded"}, secret="whsec_")
    with pytest.raises(InvalidSignature, match="not configured"):
        make(provider, secret="").parse_webhook(headers, body, flux.tool, NOW)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b"[" * 100_000, b"\xff", b'{"status": NaN}', b"{}"])
def test_a_signed_callback_of_nonsense(adapter: Adapter, flux: Request, body: bytes) -> None:
    headers, _ = callback(body)
    with pytest.raises(ProviderAnswerInvalid):
        adapter.parse_webhook(headers, body, flux.tool, NOW)


# --- Cancellation ---


@pytest.mark.parametrize("status", [200, 202, 404, 409, 422])
def test_cancelling(adapter: Adapter, provider: Any, status: int) -> None:
    provider.answers(httpx.Response(status))
    adapter.cancel_job("p1")
    assert provider.lines == ["POST /v1/predictions/p1/cancel"]


def test_cancelling_that_fails(adapter: Adapter, provider: Any) -> None:
    for answer in (httpx.ConnectError("x"), httpx.Response(500)):
        provider.answers(answer)
        with pytest.raises(ProviderUnavailable):
            adapter.cancel_job("p1")
    provider.answers(httpx.Response(401))
    with pytest.raises(ProviderRefused):
        adapter.cancel_job("p1")
