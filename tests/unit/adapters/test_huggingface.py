from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from spellcast.adapters import huggingface
from spellcast.adapters.exchange import provider_client
from spellcast.adapters.huggingface import HuggingFaceAdapter
from spellcast.application import ask_provider
from spellcast.domain.cost import cost_of
from spellcast.domain.errors import (
    AddressRefused,
    FileUnavailable,
    InvalidSignature,
    InvalidStepInput,
    JobFailed,
    OutcomeUnknown,
    ProviderRefused,
    ProviderUnavailable,
    StepFailed,
)
from spellcast.domain.results import Usage
from spellcast.domain.tools import Tool
from spellcast.outbound.guard import guarded_client
from spellcast.ports.adapter import Adapter, ProviderConfig, Request
from tests.providers.huggingface import DRAWS, MODELS, HuggingFace, picture
from tests.providers.serving import serving

KEY = "hf_key"
PNG = picture(4, 4, 7)
PICTURE = httpx.Response(200, content=PNG, headers={"content-type": "image/png"})
REPLY = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "A fox."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
}

Ask = Callable[..., Request]
CatalogTool = Callable[..., Tool]


def make(provider: Any, files: Callable[[httpx.Request], httpx.Response] | None = None, **config: Any) -> Adapter:
    client = provider.client()
    guarded = httpx.Client(transport=httpx.MockTransport(files or (lambda _: httpx.Response(404))))
    return HuggingFaceAdapter(ProviderConfig(key=KEY, **config), lambda: client, lambda: guarded)


@pytest.fixture
def adapter(provider: Any) -> Adapter:
    return make(provider)


@pytest.fixture
def drawing(ask: Ask, tool: CatalogTool) -> Request:
    return ask(tool("huggingface-flux-schnell"), prompt="a fox", seed=None, num_inference_steps=4)


@pytest.fixture
def chat(ask: Ask, tool: CatalogTool) -> Request:
    return ask(tool("huggingface-chat"), prompt="What is it?", temperature=0.7, instructions=None)


@pytest.fixture
def caption(ask: Ask, bare_tool: Callable[..., Tool]) -> Callable[..., Request]:
    def request(task: str = "image-to-text", **inputs: Any) -> Request:
        kind = "image" if task == "image-to-text" else "audio"
        fields = {kind: {"type": kind}, "top_k": {"type": "integer", "required": False}}
        metadata = {"task": task, "model": "owner/model"}
        return ask(bare_tool("huggingface", inputSchema=fields, metadata=metadata), **inputs)

    return request


# --- What is asked, and what is made of the answer ---


def test_a_picture(adapter: Adapter, provider: Any, drawing: Request) -> None:
    provider.answers(PICTURE)
    result = adapter.execute(drawing)
    image = {"b64_json": base64.b64encode(PNG).decode(), "mediaType": "image/png"}
    assert (result.status, result.payload) == ("succeeded", ({"type": "image", "data": {"images": [image]}},))
    [sent] = provider.requests
    assert str(sent.url) == "https://router.huggingface.co/hf-inference/models/black-forest-labs/FLUX.1-schnell"
    assert (sent.headers["authorization"], sent.headers["accept"]) == ("Bearer hf_key", "image/png")
    assert "x-hf-bill-to" not in sent.headers
    assert provider.body() == {"inputs": "a fox", "parameters": {"num_inference_steps": 4}}
    assert not adapter.is_repeatable(drawing)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
        (b"RIFF\x0a\x00\x00\x00WEBPVP8 ", "image/webp"),
    ],
)
def test_a_picture_is_what_its_bytes_say(
    adapter: Adapter, provider: Any, drawing: Request, content: bytes, kind: str
) -> None:
    provider.answers(httpx.Response(200, content=content, headers={"content-type": "image/png"}))
    assert adapter.execute(drawing).payload[0]["data"]["images"][0]["mediaType"] == kind


def test_the_time_of_the_request_is_what_costs(
    adapter: Adapter, provider: Any, drawing: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.answers(PICTURE)
    ticks = iter((0.0, 0.5, 10.5))
    monkeypatch.setattr("spellcast.adapters.huggingface.time.monotonic", lambda: next(ticks, 10.5))
    result = adapter.execute(drawing)
    assert result.duration_ms == 10_000
    assert cost_of(drawing.tool, result, 10_000, drawing.inputs) == Decimal("0.00444")


def test_an_organisation_pays(provider: Any, drawing: Request) -> None:
    provider.answers(PICTURE)
    make(provider, bill_to="an-org", url="https://proxy.example/hf/").execute(drawing)
    assert provider.requests[0].headers["x-hf-bill-to"] == "an-org"
    assert str(provider.requests[0].url).startswith("https://proxy.example/hf/hf-inference/")


def test_a_chat(adapter: Adapter, provider: Any, chat: Request) -> None:
    provider.answers(httpx.Response(200, json=REPLY))
    result = adapter.execute(chat)
    assert result.payload == ({"type": "text", "data": {"text": "A fox."}},)
    assert result.usage == Usage(11, 3)
    assert cost_of(chat.tool, result, 900, chat.inputs) == Decimal("0.00000345")
    assert provider.lines == ["POST /v1/chat/completions"]
    assert provider.body() == {
        "temperature": 0.7,
        "model": "openai/gpt-oss-120b",
        "messages": [{"role": "user", "content": "What is it?"}],
        "stream": False,
    }


def test_instructions_come_first_and_lines_are_joined(
    adapter: Adapter, provider: Any, ask: Ask, tool: CatalogTool
) -> None:
    provider.answers(httpx.Response(200, json={**REPLY, "usage": None}))
    adapter.execute(ask(tool("huggingface-chat"), prompt=["one", "two"], instructions="Be brief."))
    assert provider.body()["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one\ntwo"},
    ]


def test_joycaption_asks_a_vision_model(adapter: Adapter, provider: Any, ask: Ask, tool: CatalogTool) -> None:
    provider.answers(httpx.Response(200, json=REPLY))
    request = ask(tool("joycaption"), imageUrl="https://x.example/a.png", captionType="Booru tag list")
    assert adapter.execute(request).payload[0]["data"] == {"text": "A fox."}
    body = provider.body()
    assert body.keys() == {"model", "messages", "stream"}
    image, text = body["messages"][0]["content"]
    assert image == {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}
    assert "“Booru tag list”" in text["text"]


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ({**REPLY, "choices": [{"message": {"content": ""}, "finish_reason": "length"}]}, "nothing; it was cut off$"),
        ({**REPLY, "choices": [{"message": {"content": None, "reasoning": "hm"}}]}, "nothing$"),
    ],
)
def test_an_empty_reply_is_a_failure_that_is_paid_for(
    adapter: Adapter, provider: Any, chat: Request, reply: Any, message: str
) -> None:
    provider.answers(httpx.Response(200, json=reply))
    result = adapter.execute(chat)
    assert result.failure is not None
    assert (result.status, result.failure.code) == ("failed", JobFailed.code)
    assert result.cost_usd == Decimal("0.00000345")
    assert re.search(message, result.failure.message)


@pytest.mark.parametrize(
    "usage", [None, [], {}, {"prompt_tokens": "11"}, {"prompt_tokens": True, "completion_tokens": -1}]
)
def test_what_is_no_count_is_not_counted(adapter: Adapter, provider: Any, chat: Request, usage: Any) -> None:
    provider.answers(httpx.Response(200, json={**REPLY, "usage": usage}))
    assert adapter.execute(chat).usage is None


@pytest.mark.parametrize(
    ("task", "answer", "text"),
    [
        ("image-to-text", [{"generated_text": "a fox"}], "a fox"),
        ("image-to-text", {"generated_text": "a fox"}, "a fox"),
        ("automatic-speech-recognition", {"text": "hello", "chunks": []}, "hello"),
    ],
)
def test_a_file_is_sent_as_it_is(
    provider: Any, caption: Callable[..., Request], task: str, answer: Any, text: str
) -> None:
    asked: list[str] = []

    def files(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        assert "authorization" not in request.headers
        if request.url.path == "/moved":
            return httpx.Response(302, headers={"location": "/a"})
        return httpx.Response(200, content=b"a file", headers={"content-type": "image/webp; q=1"})

    provider.answers(httpx.Response(200, json=answer))
    key = "image" if task == "image-to-text" else "audio"
    result = make(provider, files).execute(caption(task, **{key: "https://x.example/moved"}))
    assert result.payload == ({"type": "text", "data": {"text": text}},)
    assert asked == ["https://x.example/moved", "https://x.example/a"]
    assert (provider.requests[0].content, provider.requests[0].headers["content-type"]) == (b"a file", "image/webp")


def test_with_parameters_a_file_is_sent_in_a_document(
    adapter: Adapter, provider: Any, caption: Callable[..., Request]
) -> None:
    provider.answers(httpx.Response(200, json=[{"generated_text": "x"}]))
    adapter.execute(caption(image="data:image/png;base64,YSBmaWxl", top_k=5))
    assert provider.body() == {"inputs": "YSBmaWxl", "parameters": {"top_k": 5}}
    adapter.execute(caption(image="data:,a%20file"))
    assert provider.requests[1].content == b"a file"


# --- What keeps the request from being sent ---


@pytest.mark.parametrize(
    ("file", "error", "message"),
    [
        (httpx.Response(404), InvalidStepInput, "answered 404"),
        (httpx.Response(302, headers={"location": "https://x.example/a"}), InvalidStepInput, "answered 302"),
        (httpx.Response(200, content=b""), InvalidStepInput, "empty"),
        (httpx.Response(200, content=b" " * (10 * 1024 * 1024 + 1)), InvalidStepInput, "more than"),
        (httpx.Response(200, html="<html>"), InvalidStepInput, "text/html, which is no image"),
        (httpx.Response(503), FileUnavailable, "answered 503"),
        (httpx.ConnectError("x"), FileUnavailable, "could not be reached"),
        (httpx.ReadTimeout("x"), FileUnavailable, "could not be reached"),
    ],
)
def test_a_file_that_cannot_be_had(
    provider: Any, caption: Callable[..., Request], file: Any, error: type[StepFailed], message: str
) -> None:
    def files(_: httpx.Request) -> httpx.Response:
        if isinstance(file, Exception):
            raise file
        return httpx.Response(file.status_code, headers=file.headers, content=file.content)

    with pytest.raises(error, match=message):
        make(provider, files).execute(caption(image="https://x.example/a"))
    assert provider.requests == []


@pytest.mark.parametrize(
    "image", [None, " ", 5, "ftp://x.example/a", "http://[", "data:image/png;base64,a", "data:image/png;base64,"]
)
def test_what_is_no_file(adapter: Adapter, provider: Any, caption: Callable[..., Request], image: Any) -> None:
    with pytest.raises(InvalidStepInput):
        adapter.execute(caption(image=image))
    assert provider.requests == []


def test_a_file_at_a_private_address_is_refused(provider: Any, caption: Callable[..., Request]) -> None:
    client = provider.client()
    adapter = huggingface.build(ProviderConfig(key=KEY), lambda: client, False)
    for url in ("https://127.0.0.1/a", "http://x.example/a", "https://169.254.169.254/latest"):
        with pytest.raises(AddressRefused):
            adapter.execute(caption(image=url))
    assert provider.requests == []


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"task": "text-to-video"}, "no task that is known: 'text-to-video'"),
        ({"task": None}, "no task"),
        ({"model": None}, "names no model"),
        ({"model": "../../v1/chat"}, "is no model"),
        ({"model": "a/b/c"}, "is no model"),
        ({"model": "a/.."}, "is no model"),
        ({"model": "a?b"}, "is no model"),
    ],
)
def test_a_tool_that_asks_for_what_there_is_not(
    adapter: Adapter, provider: Any, ask: Ask, tool: CatalogTool, metadata: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidStepInput, match=message):
        adapter.execute(ask(tool("huggingface-flux-schnell", **metadata), prompt="x"))
    assert provider.requests == []


@pytest.mark.parametrize("tool_id", ["huggingface-flux-schnell", "huggingface-chat"])
def test_a_prompt_is_required(adapter: Adapter, provider: Any, ask: Ask, tool: CatalogTool, tool_id: str) -> None:
    for prompt in (None, "", " \n"):
        with pytest.raises(InvalidStepInput, match="prompt is required"):
            adapter.execute(ask(tool(tool_id), prompt=prompt))
    assert provider.requests == []


def test_there_are_no_jobs(adapter: Adapter, drawing: Request) -> None:
    with pytest.raises(InvalidStepInput, match="must be immediate"):
        adapter.start_job(drawing)
    with pytest.raises(InvalidStepInput, match="no jobs"):
        adapter.poll_job("x", drawing.tool)
    assert adapter.derived_run_id("c.1.1") is None
    adapter.cancel_job("x")


@pytest.mark.parametrize("headers", [{}, {"webhook-signature": "v1,x", "webhook-timestamp": "1"}])
def test_whatever_claims_to_be_a_callback_is_forged(
    adapter: Adapter, drawing: Request, headers: dict[str, str]
) -> None:
    with pytest.raises(InvalidSignature):
        adapter.parse_webhook(headers, b"{}", drawing.tool, datetime(2026, 11, 23, tzinfo=UTC))


# --- What an outcome proves ---

AMBIGUOUS: dict[str, Any] = {
    "timeout": httpx.ReadTimeout("x"),
    "reset after send": httpx.ReadError("reset"),
    "closed without an answer": httpx.RemoteProtocolError("closed"),
    "500": httpx.Response(500, json={"error": "x"}),
    "502 html": httpx.Response(502, html="<html>"),
    "503 of a proxy": httpx.Response(503, html="<html>"),
    "503 without an estimate": httpx.Response(503, json={"error": "x", "estimated_time": "soon"}),
    "504": httpx.Response(504),
    "408": httpx.Response(408),
    "truncated json": httpx.Response(200, content=b'{"choices": [{"mess'),
    "200 with garbage": httpx.Response(200, content=b"\x00\xff"),
    "200 and empty": httpx.Response(200),
    "200 of another kind": httpx.Response(200, json={"choices": [5]}),
    "200 with an error": httpx.Response(200, json={"error": "x"}),
    "larger than an answer may be": httpx.Response(200, content=b" " * (10 * 1024 * 1024 + 1)),
}
CERTAIN: dict[str, tuple[Any, type[StepFailed], str]] = {
    "refused connection": (httpx.ConnectError("x"), ProviderUnavailable, "reached"),
    "429": (
        httpx.Response(429, json={"error": "x"}, headers={"RateLimit": '"api";r=0;t=55'}),
        ProviderUnavailable,
        "429.*resets in 55 s",
    ),
    "429 without its headers": (httpx.Response(429), ProviderUnavailable, r"\(429\)$"),
    "503 loading": (
        httpx.Response(503, json={"error": "Model x is currently loading", "estimated_time": 20.5}),
        ProviderUnavailable,
        "loading the model .*20 s",
    ),
    "402": (httpx.Response(402, json={"error": "x"}), ProviderRefused, "credits are used up"),
    "401": (httpx.Response(401, json={"error": "hf_key is wrong"}), ProviderRefused, "our credentials"),
    "403": (httpx.Response(403), ProviderRefused, "our credentials"),
    "404": (httpx.Response(404, json={"error": "Model x is not supported"}), ProviderRefused, "x is not supported"),
    "400 list": (httpx.Response(400, json={"error": ["a", "b"]}), ProviderRefused, "a; b$"),
    "400 object": (
        httpx.Response(400, json={"error": {"message": "no such\nmodel"}}),
        ProviderRefused,
        "no such model$",
    ),
    "422": (
        httpx.Response(422, json={"detail": [{"loc": ["x"], "msg": "too wide", "input": "a secret"}]}),
        ProviderRefused,
        "too wide$",
    ),
    "400 html": (httpx.Response(400, html="<p>"), ProviderRefused, "no reason given"),
    "302": (httpx.Response(302, headers={"location": "/login"}), ProviderRefused, "redirects"),
}


@pytest.fixture(params=["drawing", "chat", "caption"])
def any_request(request: pytest.FixtureRequest) -> Request:
    found = request.getfixturevalue(request.param)
    return found if isinstance(found, Request) else found(image="data:,x")


@pytest.mark.parametrize("answer", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_a_lost_answer_leaves_the_outcome_unknown(
    adapter: Adapter, provider: Any, any_request: Request, answer: Any
) -> None:
    provider.answers(answer)
    with pytest.raises(OutcomeUnknown, match="Hugging Face") as caught:
        adapter.execute(any_request)
    assert caught.value.run_id is None
    assert len(provider.requests) == 1


@pytest.mark.parametrize(("answer", "error", "message"), CERTAIN.values(), ids=CERTAIN.keys())
def test_what_proves_that_nothing_was_run(
    adapter: Adapter, provider: Any, any_request: Request, answer: Any, error: type[StepFailed], message: str
) -> None:
    provider.answers(answer)
    with pytest.raises(error, match=message) as caught:
        adapter.execute(any_request)
    assert len(provider.requests) == 1
    assert KEY not in caught.value.message and "a secret" not in caught.value.message


# --- Over a real connection ---


@pytest.fixture
def fake() -> HuggingFace:
    return HuggingFace()


@pytest.fixture
def live(fake: HuggingFace) -> Iterator[Adapter]:
    client = provider_client()
    with serving(fake.app()) as url, client:
        yield HuggingFaceAdapter(ProviderConfig(url, KEY), lambda: client, lambda: guarded_client(True))


def test_the_tools_of_the_catalog_run(live: Adapter, fake: HuggingFace, ask: Ask, tool: CatalogTool) -> None:
    drawn = live.execute(ask(tool("huggingface-flux-schnell"), prompt="a fox", width=32, height=16))
    assert base64.b64decode(drawn.payload[0]["data"]["images"][0]["b64_json"]).startswith(b"\x89PNG")
    told = live.execute(ask(tool("huggingface-chat"), prompt="a fox"))
    assert told.payload[0]["data"]["text"] == "a fox? I saw 0 pictures."
    assert told.usage is not None and told.usage.input_tokens > 0
    seen = live.execute(ask(tool("joycaption"), imageUrl="https://x.example/a.png", captionType="Descriptive"))
    assert "I saw 1 pictures." in seen.payload[0]["data"]["text"]
    assert sum(fake.runs.values()) == 3


NOTHING_RAN: dict[str, type[StepFailed]] = {
    "refuse": ProviderRefused,
    "credits": ProviderRefused,
    "throttle": ProviderUnavailable,
    "loading": ProviderUnavailable,
}
RAN = ("overloaded", "broken", "cut", "garbage", "hang", "huge")


@pytest.mark.parametrize(
    ("tool_id", "fault"),
    [
        *((tool_id, fault) for tool_id in ("huggingface-flux-schnell", "huggingface-chat") for fault in NOTHING_RAN),
        *((tool_id, fault) for tool_id in ("huggingface-flux-schnell", "huggingface-chat") for fault in RAN),
        ("huggingface-chat", "truncated"),
    ],
)
def test_the_matrix(
    live: Adapter,
    fake: HuggingFace,
    ask: Ask,
    tool: CatalogTool,
    caplog: pytest.LogCaptureFixture,
    tool_id: str,
    fault: str,
) -> None:
    error = NOTHING_RAN.get(fault, OutcomeUnknown)
    hasty = replace(tool(tool_id), deadline_seconds=1)
    with caplog.at_level(logging.DEBUG, "spellcast"), pytest.raises(error, match="Hugging Face") as caught:
        ask_provider.execute(live, ask(hasty, prompt=f"a shy fox [fault:{fault}]"))
    assert len(fake.requests) == 1, "one POST, whatever came of it"
    assert sum(fake.runs.values()) == (fault not in NOTHING_RAN)
    told = caught.value.message + json.dumps([str(vars(record)) for record in caplog.records])
    assert KEY not in told and "shy fox" not in told


def test_an_empty_reply(live: Adapter, fake: HuggingFace, ask: Ask, tool: CatalogTool) -> None:
    result = live.execute(ask(tool("huggingface-chat"), prompt="a fox [fault:mute]"))
    assert result.failure is not None and result.failure.message.endswith("it was cut off")
    assert result.cost_usd is not None and result.cost_usd > 0


def test_every_model_of_the_catalog_is_one_that_the_fake_has(tool: CatalogTool) -> None:
    for tool_id in ("huggingface-flux-schnell", "huggingface-chat", "joycaption"):
        assert tool(tool_id).metadata["model"] in MODELS
    assert MODELS[tool("huggingface-flux-schnell").metadata["model"]] == DRAWS
