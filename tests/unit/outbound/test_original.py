"""Passing a request on: as it came, under the original's key, and once."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from spellcast.domain.errors import OriginalUnanswered, OriginalUnavailable, SpellcastError
from spellcast.outbound.original import MAX_ANSWER_BYTES, HttpOriginal, original_client
from spellcast.ports.adapter import ProviderConfig
from spellcast.ports.original import PASSED_ON, OriginalAnswer, PassedRequest

CAST = PassedRequest("POST", "/internal/v1/data/spells/cast", body=b'{"slug": "cats"}')
READ = PassedRequest("GET", "/internal/v1/data/generations/65f0a1b2c3d4e5f60718293a")
CONFIG = ProviderConfig("https://node.example/", "the original's key")


class Service:
    """The original behind a transport that a test leads."""

    def __init__(self, answer: httpx.Response | Exception) -> None:
        self.requests: list[httpx.Request] = []
        self._answer = answer

    def ask(self, request: PassedRequest, config: ProviderConfig = CONFIG) -> OriginalAnswer:
        client = httpx.Client(transport=httpx.MockTransport(self._handle))
        return HttpOriginal(lambda: config, lambda: client).ask(request)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def test_a_request_is_passed_on_as_it_came_under_the_originals_key() -> None:
    service = Service(httpx.Response(200, json={"status": "running"}))
    service.ask(PassedRequest("PUT", "/internal/v1/data/generations/65f0", "a=1&b=%20x", b'{"b": 1.50}'))
    (sent,) = service.requests
    assert str(sent.url) == "https://node.example/internal/v1/data/generations/65f0?a=1&b=%20x"
    assert (sent.method, sent.content) == ("PUT", b'{"b": 1.50}')
    assert sent.headers["x-internal-client-key"] == "the original's key"
    assert sent.headers["content-type"] == "application/json"


def test_what_is_no_part_of_an_address_is_encoded() -> None:
    service = Service(httpx.Response(200))
    service.ask(PassedRequest("GET", "/internal/v1/data/users/a?b#c\n%20é", "q=é\x00&r=%20+1"))
    (sent,) = service.requests
    assert sent.url.raw_path == b"/internal/v1/data/users/a%3Fb%23c%0A%20%C3%A9?q=%C3%A9%00&r=%20+1"


def test_a_request_goes_round_once() -> None:
    service = Service(httpx.Response(200))
    service.ask(READ)
    assert PASSED_ON in service.requests[0].headers
    with pytest.raises(OriginalUnavailable, match="leads back here"):
        service.ask(replace(READ, was_passed_on=True))
    assert len(service.requests) == 1


def test_a_read_has_neither_body_nor_question_mark() -> None:
    service = Service(httpx.Response(200))
    service.ask(READ)
    (sent,) = service.requests
    assert (str(sent.url), sent.content) == (f"https://node.example{READ.path}", b"")


@pytest.mark.parametrize("status", [200, 202, 302, 404, 500, 503])
def test_every_answer_is_passed_back_as_it_is(status: int) -> None:
    answer = httpx.Response(status, content=b'{"a" : 1}', headers={"Content-Type": "application/json; charset=utf-8"})
    service = Service(answer)
    assert service.ask(CAST) == OriginalAnswer(status, "application/json; charset=utf-8", b'{"a" : 1}')
    assert len(service.requests) == 1


@pytest.mark.parametrize("request_", [CAST, READ])
@pytest.mark.parametrize("error", [httpx.ConnectError("x"), httpx.ConnectTimeout("x")])
def test_where_no_connection_was_made_nothing_was_changed(request_: PassedRequest, error: Exception) -> None:
    assert refusal(Service(error), request_) is OriginalUnavailable


LOST = [
    httpx.ReadTimeout("x"),
    httpx.RemoteProtocolError("x"),
    httpx.WriteError("x"),
    httpx.Response(200, content=b"x" * (MAX_ANSWER_BYTES + 1)),
]


@pytest.mark.parametrize("answer", LOST)
def test_a_post_without_an_answer_may_have_been_carried_out(answer: httpx.Response | Exception) -> None:
    assert refusal(Service(answer), CAST) is OriginalUnanswered


@pytest.mark.parametrize("answer", LOST)
def test_a_read_without_an_answer_may_be_repeated(answer: httpx.Response | Exception) -> None:
    assert refusal(Service(answer), READ) is OriginalUnavailable


def refusal(service: Service, request: PassedRequest) -> type[SpellcastError]:
    """What was raised, after one request and without a word of address or key."""
    with pytest.raises(SpellcastError) as raised:
        service.ask(request)
    assert len(service.requests) == 1
    assert "node.example" not in raised.value.message
    return type(raised.value)


def test_an_address_that_is_none() -> None:
    service = Service(httpx.Response(200))
    with pytest.raises(OriginalUnavailable):
        service.ask(CAST, ProviderConfig("http://node.example:port", "k"))
    assert service.requests == []


@pytest.mark.parametrize(("url", "configured"), [("https://node.example", True), ("", False)])
def test_an_empty_secret_means_that_there_is_no_original(url: str, configured: bool) -> None:
    assert HttpOriginal(lambda: ProviderConfig(url), original_client).is_configured() is configured


def test_redirects_and_proxies_are_not_followed() -> None:
    with original_client() as client:
        assert (client.follow_redirects, client.trust_env) == (False, False)


def test_nothing_of_a_request_shows_in_a_representation() -> None:
    assert "cats" not in repr(CAST)
    assert "secret" not in repr(OriginalAnswer(200, "application/json", b"secret"))
