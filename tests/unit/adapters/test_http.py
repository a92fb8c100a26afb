from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from spellcast.adapters.http import HttpAdapter
from spellcast.domain.errors import (
    AddressRefused,
    InvalidStepInput,
    OutcomeUnknown,
    ProviderRefused,
    ProviderUnavailable,
    StepFailed,
)
from spellcast.domain.tools import Tool
from spellcast.outbound.guard import guarded_client
from spellcast.ports.adapter import Adapter, Request

URL = "https://api.example/things"
Run = Callable[..., Any]


def resolve(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
    address = "10.0.0.1" if host == "internal.example" else "93.184.216.34"
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]


@pytest.fixture
def adapter(provider: Any) -> Adapter:
    return HttpAdapter(guarded_client(False, resolve, httpx.MockTransport(provider.handle)))


@pytest.fixture
def run(adapter: Adapter, ask: Callable[..., Request], tool: Callable[..., Tool]) -> Run:
    def execute(**inputs: Any) -> Any:
        result = adapter.execute(ask(tool("http-request"), **{"url": URL, **inputs}))
        (element,) = result.payload
        assert element["type"] == "text"
        return element["data"]

    return execute


def test_only_a_get_is_repeatable(adapter: Adapter, ask: Callable[..., Request], tool: Callable[..., Tool]) -> None:
    definition = tool("http-request")
    assert adapter.is_repeatable(ask(definition, url=URL))
    assert adapter.is_repeatable(ask(definition, url=URL, method="get"))
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert not adapter.is_repeatable(ask(definition, url=URL, method=method))


@pytest.mark.parametrize(
    ("answer", "data"),
    [
        (httpx.Response(200, json={"a": [1]}), {"text": '{"a":[1]}', "statusCode": 200, "result": {"a": [1]}}),
        (httpx.Response(200, text="plain é"), {"text": "plain é", "statusCode": 200}),
        (httpx.Response(204), {"text": "", "statusCode": 204}),
        (
            httpx.Response(200, headers={"content-type": "text/plain; charset=latin-1"}, content=b"\xe9"),
            {"text": "é", "statusCode": 200},
        ),
        (httpx.Response(200, content=b"NaN"), {"text": "NaN", "statusCode": 200}),
        (httpx.Response(200, content=b"null"), {"text": "null", "statusCode": 200, "result": None}),
    ],
)
def test_answers(run: Run, provider: Any, answer: httpx.Response, data: dict[str, Any]) -> None:
    provider.answers(answer)
    assert run() == data


def test_what_is_sent(run: Run, provider: Any) -> None:
    provider.answers(httpx.Response(200))
    run(method="post", query={"q": "a b", "n": 1}, headers={"X-Key": "k", "X-N": 1}, body={"a": "é"})
    sent = provider.requests[0]
    assert provider.lines == ["POST /things?q=a+b&n=1"]
    assert sent.headers["host"] == "api.example"
    assert sent.headers["x-key"] == "k"
    assert sent.headers["x-n"] == "1"
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["accept-encoding"] == "identity"
    assert json.loads(sent.content) == {"a": "é"}


@pytest.mark.parametrize(
    ("inputs", "content", "content_type"),
    [
        ({"body": "text é"}, "text é".encode(), "text/plain; charset=utf-8"),
        ({"body": "<a/>", "headers": {"content-type": "text/xml"}}, b"<a/>", "text/xml"),
        ({"body": [1], "headers": '{"Content-Type": "application/ld+json"}'}, b"[1]", "application/ld+json"),
        ({"body": 0}, b"0", "application/json"),
        ({"body": ""}, b"", None),
        ({}, b"", None),
    ],
)
def test_bodies(run: Run, provider: Any, inputs: dict[str, Any], content: bytes, content_type: str | None) -> None:
    provider.answers(httpx.Response(200))
    run(method="PUT", **inputs)
    assert provider.requests[0].content == content
    assert provider.requests[0].headers.get("content-type") == content_type


def test_the_urls_own_query_is_kept(run: Run, provider: Any) -> None:
    provider.answers(httpx.Response(200))
    run(url=f" {URL}?a=1 ", query='{"b": "2"}')
    assert provider.lines == ["GET /things?a=1&b=2"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"url": ""}, "url is required"),
        ({"url": None}, "url is required"),
        ({"url": 5}, "url is required"),
        ({"url": "https://[::1"}, "cannot be sent"),
        ({"url": "https://a.example/\x00"}, "cannot be sent"),
        ({"method": "TRACE"}, "method must be one of"),
        ({"method": "GET\r\nX: y"}, "method must be one of"),
        ({"headers": "no"}, "headers must be a JSON object"),
        ({"headers": ["no"]}, "headers must be a JSON object"),
        ({"headers": {"Host": "internal"}}, "Host cannot be set"),
        ({"headers": {"transfer-encoding": "chunked"}}, "cannot be set"),
        ({"headers": {"X-A": "a\r\nX-B: b"}}, "printable ASCII"),
        ({"headers": {"X A\n": "a"}}, "printable ASCII"),
        ({"headers": {"X": "é"}}, "printable ASCII"),
        ({"query": "[1]"}, "query must be a JSON object"),
    ],
)
def test_wrong_inputs_are_told_before_a_call(run: Run, provider: Any, inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidStepInput, match=message):
        run(**inputs)
    assert provider.requests == []


@pytest.mark.parametrize(
    "url", ["http://api.example/", "https://127.0.0.1/", "https://internal.example/", "https://localhost/", "file:///x"]
)
def test_the_guard_stands_before_it(run: Run, provider: Any, url: str) -> None:
    with pytest.raises((AddressRefused, InvalidStepInput)):
        run(url=url)
    assert provider.requests == []


OUTCOMES: dict[str, tuple[Any, type[StepFailed], type[StepFailed]]] = {
    "refused connection": (httpx.ConnectError("x"), ProviderUnavailable, ProviderUnavailable),
    "connect timeout": (httpx.ConnectTimeout("x"), ProviderUnavailable, ProviderUnavailable),
    "timeout": (httpx.ReadTimeout("x"), ProviderUnavailable, OutcomeUnknown),
    "reset after send": (httpx.ReadError("x"), ProviderUnavailable, OutcomeUnknown),
    "closed": (httpx.RemoteProtocolError("x"), ProviderUnavailable, OutcomeUnknown),
    "502 html": (httpx.Response(502, html="<p>"), ProviderUnavailable, OutcomeUnknown),
    "408": (httpx.Response(408), ProviderUnavailable, OutcomeUnknown),
    "429": (httpx.Response(429), ProviderUnavailable, ProviderUnavailable),
    "400": (httpx.Response(400), ProviderRefused, ProviderRefused),
    "401": (httpx.Response(401), ProviderRefused, ProviderRefused),
    "404": (httpx.Response(404), ProviderRefused, ProviderRefused),
    "too large": (httpx.Response(200, content=b"x" * (1024 * 1024 + 1)), ProviderRefused, OutcomeUnknown),
    "an image": (httpx.Response(200, content=b"\x89PNG\xff"), ProviderRefused, OutcomeUnknown),
    "created, in no charset": (
        httpx.Response(201, headers={"content-type": "text/plain; charset=none"}, content=b"x"),
        ProviderRefused,
        OutcomeUnknown,
    ),
    "300": (httpx.Response(300), ProviderRefused, OutcomeUnknown),
    "303 to nowhere": (httpx.Response(303), ProviderRefused, OutcomeUnknown),
    "304": (httpx.Response(304), ProviderRefused, OutcomeUnknown),
    "307 to nowhere": (httpx.Response(307), ProviderRefused, ProviderRefused),
}


@pytest.mark.parametrize(("answer", "of_get", "of_post"), OUTCOMES.values(), ids=OUTCOMES.keys())
def test_outcomes(run: Run, provider: Any, answer: Any, of_get: type[StepFailed], of_post: type[StepFailed]) -> None:
    for method, error in (("GET", of_get), ("POST", of_post), ("DELETE", of_post)):
        provider.answers(answer)
        with pytest.raises(error) as caught:
            run(method=method)
        assert type(caught.value) is error
        assert "api.example" not in caught.value.message
        assert len(provider.requests) == 1


# --- Redirects ---


def redirect(location: str, status: int = 302) -> httpx.Response:
    return httpx.Response(status, headers={"location": location})


def test_a_get_follows_three_redirects(run: Run, provider: Any) -> None:
    provider.answers(redirect("/a"), redirect("/b", 307), redirect("https://api.example/c", 301), httpx.Response(200))
    run(headers={"X-Key": "k"})
    assert provider.lines == ["GET /things", "GET /a", "GET /b", "GET /c"]
    assert all(request.headers["x-key"] == "k" for request in provider.requests)
    provider.answers(redirect("/again"))
    with pytest.raises(ProviderRefused, match="redirects more than 3 times"):
        run()
    assert len(provider.requests) == 4


def test_another_origin_does_not_see_the_headers(run: Run, provider: Any) -> None:
    provider.answers(redirect("https://other.example/x"), httpx.Response(200))
    run(headers={"X-Key": "k", "Authorization": "Bearer k"})
    sent = provider.requests[1]
    assert sent.headers["host"] == "other.example"
    assert "x-key" not in sent.headers
    assert "authorization" not in sent.headers


@pytest.mark.parametrize("location", ["https://internal.example/", "https://169.254.169.254/", "http://api.example/"])
def test_a_redirect_to_a_private_address_is_refused(run: Run, provider: Any, location: str) -> None:
    provider.answers(redirect(location), httpx.Response(200))
    with pytest.raises(AddressRefused):
        run()
    assert len(provider.requests) == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (301, OutcomeUnknown),
        (302, OutcomeUnknown),
        (303, OutcomeUnknown),
        (307, ProviderRefused),
        (308, ProviderRefused),
    ],
)
def test_only_a_get_follows_and_what_is_told_where_to_look_may_be_done(
    run: Run, provider: Any, method: str, status: int, error: type[StepFailed]
) -> None:
    provider.answers(redirect("/orders/1", status))
    with pytest.raises(error, match=f"answered {status}") as caught:
        run(method=method)
    assert (type(caught.value), caught.value.retryable) == (error, False)
    assert len(provider.requests) == 1
