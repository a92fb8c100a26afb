from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from spellcast.adapters.openai import OpenAIAdapter
from spellcast.catalog import built_in_tools
from spellcast.domain.cost import cost_of, expected_cost
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
from spellcast.domain.payloads import normalise
from spellcast.domain.results import ToolResult, Usage
from spellcast.domain.standard_webhooks import sign
from spellcast.domain.tools import Tool
from spellcast.ports.adapter import Adapter, ProviderConfig, Request

KEY = "sk-the-key"
SECRET = "whsec_" + base64.b64encode(b"a shared secret of some length").decode()
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
USAGE = {"input_tokens": 25, "output_tokens": 20, "total_tokens": 45}

Ask = Callable[..., Request]
CatalogTool = Callable[..., Tool]


def make(provider: Any, url: str = "", secret: str = SECRET) -> Adapter:
    client = provider.client()
    return OpenAIAdapter(ProviderConfig(url, KEY, secret), lambda: client)


@pytest.fixture
def adapter(provider: Any) -> Adapter:
    return make(provider)


@pytest.fixture
def chat(ask: Ask, tool: CatalogTool) -> Request:
    return ask(tool("chatgpt-free"), prompt="a fox", instructions=None, temperature=0.7)


@pytest.fixture
def job(ask: Ask, tool: CatalogTool) -> Request:
    return ask(tool("openai-response"), prompt="a fox", model="gpt-6.1-terra")


@pytest.fixture
def picture(ask: Ask, tool: CatalogTool) -> Request:
    return ask(tool("openai-image"), prompt="a fox", model="m", size="1024x1024", quality="low")


def said(*texts: str, kind: str = "output_text", key: str = "text") -> list[dict[str, Any]]:
    content = [{"type": kind, key: text} for text in texts]
    return [{"type": "reasoning", "summary": []}, {"type": "message", "role": "assistant", "content": content}]


def response(status: str = "completed", **more: Any) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "status": status, "output": said("Hi."), "usage": USAGE, **more}


# --- Texts at once ---


def test_a_chat(adapter: Adapter, provider: Any, chat: Request) -> None:
    provider.answers(httpx.Response(200, json=response(output=said("One ", "fox."))))
    result = adapter.execute(chat)
    assert result.payload == ({"type": "text", "data": {"text": "One fox."}},)
    assert result.usage == Usage(25, 20)
    assert result.cost_usd is None
    assert str(provider.requests[0].url) == "https://api.openai.com/v1/responses"
    assert provider.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert provider.body() == {
        "model": "gpt-6-luna",
        "input": "a fox",
        "temperature": 0.7,
        "reasoning": {"effort": "none"},
        "store": False,
    }
    assert not adapter.is_repeatable(chat)
    assert adapter.derived_run_id("c.1.1") is None


def test_another_server_at_the_configured_address(provider: Any, chat: Request) -> None:
    provider.answers(httpx.Response(200, json=response()))
    make(provider, "http://127.0.0.1:9/v1/").execute(chat)
    assert str(provider.requests[0].url) == "http://127.0.0.1:9/v1/responses"


@pytest.mark.parametrize(
    ("inputs", "sent"),
    [
        ({"prompt": "x", "instructions": "y"}, {"input": "x", "instructions": "y"}),
        ({"input_prompt": "x", "input_instructions": "y"}, {"input": "x", "instructions": "y"}),
        ({"prompt": " ", "input_prompt": "x"}, {"input": "x"}),
        ({"prompt": ["one", "", "two", 3]}, {"input": "one\ntwo\n3"}),
        ({"prompt": "x", "temperature": "0.5"}, {"temperature": 0.5}),
        ({"prompt": "x", "temperature": "1"}, {"temperature": 1}),
        ({"prompt": "x", "temperature": 0}, {"temperature": 0}),
        ({"prompt": "x", "model": "another"}, {"model": "another"}),
        ({"prompt": "x", "reasoning": {"effort": "high"}}, {"reasoning": {"effort": "high"}}),
        ({"prompt": "x", "top_p": 0.1}, {"top_p": 0.1}),
        # What would change the protocol does not pass.
        (
            {
                "prompt": "x",
                "stream": True,
                "background": True,
                "store": True,
                "metadata": {"a": "b"},
                "action": "chat",
            },
            {"stream": None, "background": None, "store": False, "metadata": None, "action": None},
        ),
    ],
)
def test_what_is_sent(
    adapter: Adapter, provider: Any, ask: Ask, tool: CatalogTool, inputs: dict[str, Any], sent: dict[str, Any]
) -> None:
    provider.answers(httpx.Response(200, json=response()))
    adapter.execute(ask(tool("chatgpt-free"), **inputs))
    body = provider.body()
    assert {key: body.get(key) for key in sent} == sent
    assert not body.keys() & {"prompt", "input_prompt", "input_instructions"}


@pytest.mark.parametrize("prompt", [None, "", "  ", [], ["", " "]])
def test_an_empty_prompt_is_refused_before_anybody_is_asked(
    adapter: Adapter, provider: Any, ask: Ask, tool: CatalogTool, prompt: Any
) -> None:
    provider.answers(httpx.Response(200, json=response()))
    for tool_id in ("chatgpt-free", "openai-image"):
        with pytest.raises(InvalidStepInput, match="prompt is required"):
            adapter.execute(ask(tool(tool_id), prompt=prompt))
    assert provider.requests == []


def test_a_tool_without_a_model(adapter: Adapter, ask: Ask, bare_tool: CatalogTool) -> None:
    with pytest.raises(InvalidStepInput, match="bare names no model"):
        adapter.execute(ask(bare_tool("openai"), prompt="x"))


# The original's figures (original-system.md §9, S4).
@pytest.mark.parametrize(
    ("model", "read", "written", "cost"),
    [
        ("gpt-3.5-turbo", 25, 20, "0.0000425"),
        ("gpt-4o-mini", 1000, 500, "0.00125"),
        ("gpt-4", 1000, 500, "0.06"),
        ("gpt-6-luna", 1000, 500, "0.00035"),
    ],
)
def test_a_chat_costs_what_its_tokens_do(
    adapter: Adapter, provider: Any, ask: Ask, tool: CatalogTool, model: str, read: int, written: int, cost: str
) -> None:
    usage = {"input_tokens": read, "output_tokens": written}
    provider.answers(httpx.Response(200, json=response(usage=usage)))
    request = ask(tool("chatgpt-free"), prompt="x", model=model)
    result = adapter.execute(request)
    assert cost_of(request.tool, result, 0, request.inputs) == Decimal(cost)


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": 25}, {"input_tokens": -1, "output_tokens": True}, [1]])
def test_tokens_that_are_not_counted_are_no_usage(adapter: Adapter, provider: Any, chat: Request, usage: Any) -> None:
    provider.answers(httpx.Response(200, json=response(usage=usage)))
    assert adapter.execute(chat).usage is None


ENDINGS: list[tuple[dict[str, Any], str, str]] = [
    ({"output": []}, "JOB_FAILED", "OpenAI answered without a text"),
    ({"output": said("", " \n")}, "JOB_FAILED", "OpenAI answered without a text"),
    ({"output": None}, "JOB_FAILED", "OpenAI answered without a text"),
    (
        {"output": said("I can't.", kind="refusal", key="refusal")},
        "JOB_FAILED",
        "OpenAI's model declined: I can't.",
    ),
    (
        {"status": "failed", "error": {"code": "server_error", "message": "Some\nthing."}},
        "JOB_FAILED",
        "OpenAI: server_error: Some thing.",
    ),
    ({"status": "failed", "error": None}, "JOB_FAILED", "OpenAI: the response failed"),
    (
        {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
        "JOB_FAILED",
        "OpenAI stopped before the end: content_filter",
    ),
    (
        {"status": "incomplete", "incomplete_details": None},
        "JOB_FAILED",
        "OpenAI stopped before the end: no reason given",
    ),
    ({"status": "cancelled"}, "JOB_CANCELLED", "The response was cancelled at OpenAI"),
]


@pytest.mark.parametrize(("change", "code", "message"), ENDINGS)
def test_responses_that_end_badly_are_paid_for(
    adapter: Adapter, provider: Any, chat: Request, job: Request, change: dict[str, Any], code: str, message: str
) -> None:
    provider.answers(httpx.Response(200, json=response(**change)))
    result = adapter.execute(chat)
    assert result.failure is not None
    assert (result.status, result.failure.code, result.failure.message) == ("failed", code, message)
    assert result.cost_usd == Decimal("0.0000125"), "what was written is billed"
    asked_for = {"spellcast_model": "gpt-6-luna"}
    provider.answers(httpx.Response(200, json=response(**change, model="gpt-6-luna-2026-09-22", metadata=asked_for)))
    assert adapter.poll_job("resp_1", job.tool) == result, "by the price of the model that was asked for"
    provider.answers(httpx.Response(200, json=response(**{**change, "usage": None})))
    assert adapter.execute(chat).cost_usd is None


AMBIGUOUS = {
    "timeout": httpx.ReadTimeout("x"),
    "reset after send": httpx.ReadError("reset"),
    "closed without an answer": httpx.RemoteProtocolError("closed"),
    "502 html": httpx.Response(502, html="<html>"),
    "500": httpx.Response(500, json={"error": {"message": "x", "type": "server_error"}}),
    "503 that says to retry": httpx.Response(503, json={"error": {}}, headers={"x-should-retry": "true"}),
    "408": httpx.Response(408),
    "truncated json": httpx.Response(200, content=b'{"id": "resp_'),
    "200 with garbage": httpx.Response(200, content=b"\x00\xff"),
    "200 with another document": httpx.Response(200, json={"hello": "there"}),
    "200 with a list": httpx.Response(200, json=[]),
}
ANSWERED_LATE = {
    "a response that is queued": httpx.Response(200, json=response("queued")),
    "an unknown status": httpx.Response(200, json=response("surprised")),
}


@pytest.mark.parametrize("answer", {**AMBIGUOUS, **ANSWERED_LATE}.values(), ids=[*AMBIGUOUS, *ANSWERED_LATE])
def test_an_answer_that_cannot_be_used_leaves_the_outcome_unknown(
    adapter: Adapter, provider: Any, chat: Request, answer: Any
) -> None:
    provider.answers(answer)
    with pytest.raises(OutcomeUnknown, match="OpenAI"):
        adapter.execute(chat)
    assert len(provider.requests) == 1


@pytest.mark.parametrize("answer", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_and_so_it_does_of_jobs_and_pictures(
    adapter: Adapter, provider: Any, job: Request, picture: Request, answer: Any
) -> None:
    for ask_for in (lambda: adapter.start_job(job), lambda: adapter.execute(picture)):
        provider.answers(answer)
        with pytest.raises(OutcomeUnknown, match="OpenAI") as caught:
            ask_for()
        assert caught.value.run_id is None
        assert len(provider.requests) == 1


def refusal(status: int, code: str | None, message: str = "m", kind: str = "t", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": code, "message": message, "type": kind}}, headers=headers)


RATE = "rate_limit_exceeded"
CERTAIN: dict[str, tuple[Any, type[StepFailed], str]] = {
    "refused connection": (httpx.ConnectError("x"), ProviderUnavailable, "^OpenAI could not be reached$"),
    "rate limit": (refusal(429, RATE, kind="requests"), ProviderUnavailable, r"moment \(429 rate_limit_exceeded\)$"),
    "rate limit with a time": (
        refusal(429, RATE, **{"retry-after": "20"}),
        ProviderUnavailable,
        "; ask again in 20 s$",
    ),
    "and in milliseconds": (
        refusal(429, RATE, **{"retry-after": "1", "retry-after-ms": "820.5"}),
        ProviderUnavailable,
        "; ask again in 0.8205 s$",
    ),
    "and as a date": (refusal(429, RATE, **{"retry-after": "Mon, 1 Jan"}), ProviderUnavailable, r"exceeded\)$"),
    "429 html": (httpx.Response(429, html="<p>"), ProviderUnavailable, r"\(429\)$"),
    "no quota": (refusal(429, "insufficient_quota", "Check your plan."), ProviderRefused, "quota: Check your plan.$"),
    "no quota, by type": (refusal(429, None, kind="insufficient_quota"), ProviderRefused, "insufficient_quota"),
    "a 429 not to be retried": (refusal(429, RATE, **{"x-should-retry": "false"}), ProviderRefused, r"\(429\): rate"),
    "moderation": (
        refusal(400, "moderation_blocked", "Rejected by the safety system."),
        ProviderRefused,
        "by its content policy: moderation_blocked: Rejected by the safety system.$",
    ),
    "policy": (refusal(400, "content_policy_violation"), ProviderRefused, "content policy"),
    "401": (refusal(401, "invalid_api_key", f"Incorrect API key: {KEY}"), ProviderRefused, r"our credentials \(401\)$"),
    "403": (refusal(403, None), ProviderRefused, r"our credentials \(403\)$"),
    "404": (refusal(404, "model_not_found", "No such model."), ProviderRefused, "model_not_found: No such model.$"),
    "400": (refusal(400, None, "Unknown\nparameter."), ProviderRefused, "t: Unknown parameter.$"),
    "400 html": (httpx.Response(400, html="<p>"), ProviderRefused, "no reason given$"),
    "400 with odd errors": (
        httpx.Response(400, json={"error": {"code": {}, "type": []}}),
        ProviderRefused,
        "no reason",
    ),
    "400 with a text": (httpx.Response(400, json={"error": "no"}), ProviderRefused, "no reason given$"),
    "301": (httpx.Response(301), ProviderRefused, "redirects elsewhere"),
}


@pytest.mark.parametrize(("answer", "error", "message"), CERTAIN.values(), ids=CERTAIN.keys())
def test_what_proves_that_nothing_was_started(
    adapter: Adapter,
    provider: Any,
    chat: Request,
    job: Request,
    picture: Request,
    answer: Any,
    error: type[StepFailed],
    message: str,
) -> None:
    for ask_for in (
        lambda: adapter.execute(chat),
        lambda: adapter.start_job(job),
        lambda: adapter.execute(picture),
    ):
        provider.answers(answer)
        with pytest.raises(error, match=message) as caught:
            ask_for()
        assert len(provider.requests) == 1
        assert KEY not in caught.value.message
        assert caught.value.retryable is (error is ProviderUnavailable)
        assert getattr(caught.value, "nothing_started", False) is caught.value.retryable


def test_a_rate_limit_says_when_it_ends(adapter: Adapter, provider: Any, job: Request) -> None:
    provider.answers(refusal(429, RATE, **{"retry-after": "1", "retry-after-ms": "820.5"}))
    with pytest.raises(ProviderUnavailable) as caught:
        adapter.start_job(job)
    assert caught.value.retry_after == 0.8205


# --- Pictures ---


def test_a_picture(adapter: Adapter, provider: Any, picture: Request) -> None:
    provider.answers(httpx.Response(200, json={"data": [{"b64_json": "AAAA"}], "usage": USAGE}))
    result = adapter.execute(picture)
    assert result.payload == ({"type": "image", "data": {"images": [{"b64_json": "AAAA", "mediaType": "image/png"}]}},)
    assert normalise(list(result.payload)) == result.payload, "it is in the one form of an output"
    assert result.usage == Usage(25, 20)
    assert provider.lines == ["POST /v1/images/generations"]
    assert provider.body() == {"model": "m", "prompt": "a fox", "size": "1024x1024", "quality": "low"}


@pytest.mark.parametrize(
    ("answer", "asked", "items"),
    [
        (
            {"data": [{"b64_json": "A"}, {"b64_json": "B"}], "output_format": "webp"},
            None,
            [("A", "webp"), ("B", "webp")],
        ),
        ({"data": [{"b64_json": "A"}]}, "jpeg", [("A", "jpeg")]),
        ({"data": [{"b64_json": "A"}], "output_format": "svg"}, "svg", [("A", "svg+xml")]),
        ({"data": [{"b64_json": "A"}], "output_format": ["odd"]}, None, [("A", "png")]),
        ({"data": [{"b64_json": "A", "revised_prompt": "z"}, {}, 5]}, None, [("A", "png")]),
    ],
)
def test_pictures_of_every_format(
    adapter: Adapter, provider: Any, ask: Ask, tool: CatalogTool, answer: Any, asked: Any, items: Any
) -> None:
    provider.answers(httpx.Response(200, json=answer))
    result = adapter.execute(ask(tool("openai-image"), prompt="x", output_format=asked))
    images = result.payload[0]["data"]["images"]
    assert images == [{"b64_json": data, "mediaType": f"image/{kind}"} for data, kind in items]


def test_addresses_of_other_servers_are_kept(adapter: Adapter, provider: Any, picture: Request) -> None:
    provider.answers(httpx.Response(200, json={"data": [{"url": "https://o.example/a.png"}]}))
    assert adapter.execute(picture).payload[0]["data"] == {"images": [{"url": "https://o.example/a.png"}]}


@pytest.mark.parametrize("data", [None, [], [{}], [{"b64_json": ""}], [{"b64_json": 5}], "AAAA", {"b64_json": "A"}])
def test_a_picture_that_is_missing_may_have_been_paid_for(
    adapter: Adapter, provider: Any, picture: Request, data: Any
) -> None:
    provider.answers(httpx.Response(200, json={"data": data}))
    with pytest.raises(OutcomeUnknown, match="with no picture"):
        adapter.execute(picture)


def test_pictures_may_be_larger_than_other_answers(adapter: Adapter, provider: Any, picture: Request) -> None:
    large = "A" * 12_000_000
    provider.answers(httpx.Response(200, json={"data": [{"b64_json": large}]}))
    assert adapter.execute(picture).payload[0]["data"]["images"][0]["b64_json"] == large


def test_the_tools_deadline_is_how_long_is_waited(adapter: Adapter, provider: Any, picture: Request) -> None:
    provider.answers(httpx.Response(200, json={"data": [{"b64_json": "A"}]}))
    adapter.execute(picture)
    assert provider.requests[0].extensions["timeout"] == {"connect": 5.0, "read": 300.0, "write": 300.0, "pool": 300.0}


@pytest.mark.parametrize(
    ("inputs", "sent"),
    [
        (
            {"model": "dall-e-3", "quality": "hd", "size": "1024x1792", "responseFormat": "url"},
            {"model": "gpt-image-2.6-sunburst", "quality": "high", "size": "1024x1536"},
        ),
        (
            {"quality": "standard", "size": "1024x1024"},
            {"model": "gpt-image-2.6-sunburst", "quality": "medium", "size": "1024x1024"},
        ),
        ({"model": "another", "quality": "low"}, {"model": "another", "quality": "low"}),
    ],
)
def test_the_originals_words_stand_for_a_current_models(
    adapter: Adapter, provider: Any, ask: Ask, tool: CatalogTool, inputs: dict[str, Any], sent: dict[str, Any]
) -> None:
    provider.answers(httpx.Response(200, json={"data": [{"b64_json": "A"}]}))
    adapter.execute(ask(tool("dall-e-3-image"), prompt="x", **inputs))
    assert provider.body() == {"prompt": "x", **sent}


@pytest.mark.parametrize(
    ("inputs", "cost"),
    [
        ({"model": "dall-e-3", "size": "1024x1792", "quality": "hd"}, "0.12"),
        ({"model": "dall-e-3", "size": "1024x1024", "quality": "unknown"}, "0.04"),
        ({"model": "dall-e-3", "size": "unknown"}, "0"),
        ({"model": "dall-e-2", "size": "256x256"}, "0.016"),
        ({"model": "gpt-image-1", "size": "1536x1024", "quality": "high"}, "0.25"),
        ({}, "0.042"),
    ],
)
def test_the_originals_prices_of_pictures(inputs: dict[str, Any], cost: str) -> None:
    tool = built_in_tools()["dall-e-3-image"]
    assert cost_of(tool, ToolResult("succeeded"), 0, inputs) == Decimal(cost)
    assert expected_cost(tool, inputs).cost_usd == Decimal(cost)
    counted = ToolResult("succeeded", usage=Usage(100, 4000))
    assert cost_of(tool, counted, 0, inputs) == Decimal("0.1205"), "a model that counts tokens is paid by them"


def test_pictures_are_no_jobs(adapter: Adapter, provider: Any, picture: Request) -> None:
    with pytest.raises(InvalidStepInput, match="openai-image must be immediate"):
        adapter.start_job(picture)
    assert provider.requests == []


# --- Jobs ---


def test_a_response_in_the_background(adapter: Adapter, provider: Any, job: Request) -> None:
    provider.answers(httpx.Response(200, json=response("queued")))
    started = adapter.start_job(job)
    assert (started.run_id, started.calls_back) == ("resp_1", True)
    assert provider.body() == {
        "model": "gpt-6.1-terra",
        "input": "a fox",
        "background": True,
        "store": True,
        "metadata": {"spellcast_model": "gpt-6.1-terra", "spellcast_token": "token"},
    }


@pytest.mark.parametrize(
    ("secret", "mode", "calls_back"), [(SECRET, "webhook", True), ("", "webhook", False), (SECRET, "async", False)]
)
def test_without_a_webhook_of_the_project_it_is_polled(
    provider: Any, ask: Ask, bare_tool: CatalogTool, secret: str, mode: str, calls_back: bool
) -> None:
    provider.answers(httpx.Response(200, json=response("queued")))
    tool = bare_tool("openai", deliveryMode=mode, metadata={"model": "m"})
    assert make(provider, secret=secret).start_job(ask(tool, prompt="x")).calls_back is calls_back


@pytest.mark.parametrize("answer", [{"status": "queued"}, {"id": 5}, {"id": ""}])
def test_a_job_without_an_id(adapter: Adapter, provider: Any, job: Request, answer: Any) -> None:
    provider.answers(httpx.Response(200, json=answer))
    with pytest.raises(OutcomeUnknown, match="names none"):
        adapter.start_job(job)


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_a_response_under_way(adapter: Adapter, provider: Any, job: Request, status: str) -> None:
    provider.answers(httpx.Response(200, json=response(status, output=[], usage=None)))
    result = adapter.poll_job("resp_1", job.tool)
    assert (result.status, result.live_status, result.is_queued) == ("processing", status, status == "queued")
    assert provider.lines == ["GET /v1/responses/resp_1"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refusal(404, None), JobLost),
        (httpx.Response(401), ProviderRefused),
        (httpx.Response(429), ProviderUnavailable),
        (httpx.Response(502, html="<html>"), ProviderUnavailable),
        (httpx.ConnectError("x"), ProviderUnavailable),
        (httpx.ReadTimeout("x"), ProviderUnavailable),
        (httpx.Response(200, content=b'{"id"'), ProviderAnswerInvalid),
        (httpx.Response(200, json=[]), ProviderAnswerInvalid),
        (httpx.Response(200, json=response("surprised")), ProviderAnswerInvalid),
        (httpx.Response(200, json={"id": "resp_1", "status": {}}), ProviderAnswerInvalid),
    ],
)
def test_polls_that_fail(adapter: Adapter, provider: Any, job: Request, answer: Any, error: type[StepFailed]) -> None:
    provider.answers(answer)
    with pytest.raises(error):
        adapter.poll_job("resp_1", job.tool)


def test_an_id_cannot_leave_its_path(adapter: Adapter, provider: Any, job: Request) -> None:
    provider.answers(httpx.Response(404))
    with pytest.raises(JobLost):
        adapter.poll_job("../models?x", job.tool)
    adapter.cancel_job("a/b")
    assert provider.lines == ["GET /v1/responses/..%2Fmodels%3Fx", "POST /v1/responses/a%2Fb/cancel"]


@pytest.mark.parametrize("status", [200, 400, 404, 409])
def test_a_cancellation(adapter: Adapter, provider: Any, status: int) -> None:
    provider.answers(httpx.Response(status, json={}))
    adapter.cancel_job("resp_1")
    assert provider.lines == ["POST /v1/responses/resp_1/cancel"]


def test_a_cancellation_that_is_refused(adapter: Adapter, provider: Any) -> None:
    provider.answers(httpx.Response(401))
    with pytest.raises(ProviderRefused, match="did not cancel"):
        adapter.cancel_job("resp_1")


# --- Callbacks ---


def event(kind: str = "response.completed", **data: Any) -> bytes:
    return json.dumps({"object": "event", "id": "evt_1", "type": kind, "data": data or {"id": "resp_1"}}).encode()


def signed(body: bytes, sent_at: datetime = NOW, secret: str = SECRET) -> dict[str, str]:
    return sign(secret, "wh_1", sent_at, body)


@pytest.mark.parametrize("kind", ["completed", "failed", "cancelled", "incomplete"])
def test_an_event_is_a_reason_to_ask(adapter: Adapter, provider: Any, job: Request, kind: str) -> None:
    """What the event says is not taken for the response's state."""
    provider.answers(httpx.Response(200, json=response()))
    body = event(f"response.{kind}")
    result = adapter.parse_webhook(signed(body), body, job.tool, NOW)
    assert result.run_id == json.loads(body)["data"]["id"]
    assert result.payload == ({"type": "text", "data": {"text": "Hi."}},)
    assert provider.lines == ["GET /v1/responses/resp_1"]


@pytest.mark.parametrize(
    ("answer", "token"),
    [
        (httpx.Response(200, json=response(metadata={"spellcast_token": "t.t"})), "t.t"),
        (httpx.Response(200, json=response(metadata={})), None),
        (httpx.Response(200, json=response(metadata=None)), None),
        (httpx.Response(200, json=response(metadata={"spellcast_token": 5})), None),
        (httpx.Response(404), None),
    ],
)
def test_whose_an_event_is_says_the_response(adapter: Adapter, provider: Any, answer: Any, token: str | None) -> None:
    provider.answers(answer)
    assert adapter.callback_token(signed(event()), event(), NOW) == token


def test_events_of_other_things_are_nobodys(adapter: Adapter, provider: Any, job: Request) -> None:
    body = event("batch.completed")
    assert adapter.callback_token(signed(body), body, NOW) is None
    with pytest.raises(ProviderAnswerInvalid, match="of no response"):
        adapter.parse_webhook(signed(body), body, job.tool, NOW)
    assert provider.requests == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"{}", b'{"type": 5}', event(id=5), event(other="x")])
def test_events_that_are_none(adapter: Adapter, provider: Any, job: Request, body: bytes) -> None:
    for read in (
        lambda: adapter.callback_token(signed(body), body, NOW),
        lambda: adapter.parse_webhook(signed(body), body, job.tool, NOW),
    ):
        with pytest.raises(ProviderAnswerInvalid, match=r"OpenAI's (callback|event)"):
            read()
    assert provider.requests == []


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_a_fresh_event_is_taken(adapter: Adapter, provider: Any, seconds: int) -> None:
    provider.answers(httpx.Response(404))
    assert adapter.callback_token(signed(event(), NOW + timedelta(seconds=seconds)), event(), NOW) is None


BAD_SIGNATURES = {
    "another secret": signed(event(), secret="whsec_" + base64.b64encode(b"another").decode()),
    "another body": signed(event() + b" "),
    "301 s old": signed(event(), NOW - timedelta(seconds=301)),
    "301 s ahead": signed(event(), NOW + timedelta(seconds=301)),
    "none": {},
    "another version": {**signed(event()), "webhook-signature": "v2,AAAA"},
}


@pytest.mark.parametrize("headers", BAD_SIGNATURES.values(), ids=BAD_SIGNATURES)
def test_an_event_that_is_not_openais_asks_nobody(
    adapter: Adapter, provider: Any, job: Request, headers: dict[str, str]
) -> None:
    for read in (
        lambda: adapter.callback_token(headers, event(), NOW),
        lambda: adapter.parse_webhook(headers, event(), job.tool, NOW),
    ):
        with pytest.raises(InvalidSignature):
            read()
    assert provider.requests == []


def test_without_a_secret_every_event_is_refused(provider: Any) -> None:
    with pytest.raises(InvalidSignature, match="not configured"):
        make(provider, secret="").callback_token(signed(event()), event(), NOW)
