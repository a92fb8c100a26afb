"""What the outcome of a submit proves, and what its provider asks of whoever would try again."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from spellcast.adapters.exchange import MAX_ANSWER_BYTES, Answer, Provider
from spellcast.domain.errors import OutcomeUnknown, ProviderAnswerInvalid, ProviderUnavailable


@pytest.fixture
def service(provider: Any) -> Provider:
    client = provider.client()
    return Provider("Fal", "https://fal.example", {"Authorization": "Key secret"}, lambda: client)


def explain(answer: Answer) -> str:
    return "told why"


def unavailable(service: Provider) -> ProviderUnavailable:
    with pytest.raises(ProviderUnavailable) as raised:
        service.submit("/run", {}, explain=explain)
    return raised.value


@pytest.mark.parametrize(
    ("headers", "retry_after"),
    [
        ({}, None),
        ({"Retry-After": "30"}, 30.0),
        ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25),
        ({"Retry-After": "Mon, 23 Nov 2026 12:00:30 GMT", "Date": "Mon, 23 Nov 2026 12:00:00 GMT"}, 30.0),
        ({"Retry-After": "Mon, 23 Nov 2020 12:00:30 GMT"}, 0.0),
        ({"Retry-After": "whenever"}, None),
    ],
    ids=str,
)
def test_a_429_has_begun_nothing(
    service: Provider, provider: Any, headers: dict[str, str], retry_after: float | None
) -> None:
    provider.answers(httpx.Response(429, headers=headers))
    error = unavailable(service)
    assert (error.nothing_started, error.retry_after) == (True, retry_after)
    assert error.message == "Fal takes no more jobs at the moment (429)"
    assert len(provider.requests) == 1


@pytest.mark.parametrize("error", [httpx.ConnectError("x"), httpx.ConnectTimeout("x"), httpx.PoolTimeout("x")])
def test_a_connection_that_was_never_made_has_begun_nothing(service: Provider, provider: Any, error: Exception) -> None:
    provider.answers(error)
    assert unavailable(service).nothing_started


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_what_may_have_begun_stays_unknown_whatever_it_asks_for(service: Provider, provider: Any, status: int) -> None:
    provider.answers(httpx.Response(status, headers={"Retry-After": "1"}))
    with pytest.raises(OutcomeUnknown) as raised:
        service.submit("/run", {}, explain=explain, run_id="r1")
    assert raised.value.run_id == "r1"
    assert len(provider.requests) == 1


def test_an_adapter_may_know_of_other_answers_that_nothing_was_begun(service: Provider) -> None:
    error = service.busy(Answer(503, b"loading", {"retry-after": "2"}))
    assert (error.nothing_started, error.retry_after) == (True, 2.0)
    assert error.message == "Fal takes no more jobs at the moment (503)"


@pytest.mark.parametrize("answer", [httpx.Response(429), httpx.Response(503), httpx.ConnectError("x")], ids=str)
def test_a_question_that_may_be_repeated_proves_nothing_of_a_job(service: Provider, provider: Any, answer: Any) -> None:
    """An adapter that asks about, or fetches, what it has started must not lead to a second start."""
    provider.answers(answer)
    with pytest.raises(ProviderUnavailable) as raised:
        service.ask("GET", "/result")
    assert not raised.value.nothing_started


def answer_of(size: int) -> httpx.Response:
    return httpx.Response(200, content=b'{"text":"' + b"x" * (size - 11) + b'"}')


def test_an_answer_of_10_mib_is_read(service: Provider, provider: Any) -> None:
    provider.answers(answer_of(MAX_ANSWER_BYTES), answer_of(MAX_ANSWER_BYTES))
    assert len(service.submit("/run", {}, explain=explain)["text"]) == MAX_ANSWER_BYTES - 11
    assert service.read("GET", "/job").document() is not None


@pytest.mark.parametrize("size", [MAX_ANSWER_BYTES + 1, 25_000_000])
def test_a_larger_one_is_not_and_what_may_have_cost_money_is_not_asked_for_again(
    service: Provider, provider: Any, size: int
) -> None:
    """A text of that size has to come as a file, which is streamed into the bucket."""
    provider.answers(answer_of(size), answer_of(size))
    with pytest.raises(OutcomeUnknown):
        service.submit("/run", {}, explain=explain)
    with pytest.raises(ProviderAnswerInvalid, match="more than 10485760 bytes"):
        service.read("GET", "/job")
    assert len(provider.requests) == 2
