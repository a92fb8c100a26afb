"""The providers' callbacks: always a 2xx or 4xx, and a result is applied once."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from spellcast.api.completions import MAX_CALLBACK_BYTES, answer_callback
from spellcast.domain import callback_tokens
from spellcast.domain.casts import Cast
from spellcast.domain.errors import (
    ProviderAnswerInvalid,
    ProviderNotConfigured,
    ProviderUnavailable,
    StorageUnavailable,
)
from spellcast.domain.results import Job, ToolResult
from tests.fakes.world import SIGNING_KEY, World

GOOD = {"x-signature": "good"}
DONE = {"status": "succeeded", "output": {"text": "done"}}


@pytest.fixture
def cast(world: World) -> Cast:
    """A cast whose provider has been asked and will call back."""
    cast = world.cast("called")
    world.execute(cast)
    return cast


@pytest.fixture
def token(world: World, cast: Cast) -> str:
    """The token that the provider was given."""
    return world.adapter.started[0].callback_url.rpartition("/")[2]


def answer(world: World, token: str, body: Any = DONE, headers: dict[str, str] = GOOD) -> tuple[int, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = answer_callback(world.receive_callback, token, headers, content)
    assert reply["headers"] == {"content-type": "application/json"}
    return reply["statusCode"], json.loads(reply["body"])


def refused(world: World, cast: Cast, reply: tuple[int, Any], status: int, code: str) -> None:
    """The refusal is as it should be, and nothing came of the callback."""
    assert (reply[0], reply[1]["error"]["code"]) == (status, code)
    assert world.generation(cast, 0).result is None
    assert world.machine.answers == {}


def test_a_good_callback_is_taken_and_answers_the_waiting_cast(world: World, cast: Cast, token: str) -> None:
    assert answer(world, token) == (200, {"generationId": f"{cast.cast_id}.0.1"})
    assert world.machine.answers == {"token": f"{cast.cast_id}.0.1"}
    result = world.generation(cast, 0).result
    assert result is not None
    assert result.payload == ({"type": "text", "data": {"text": "done"}},)


def test_the_same_callback_again_is_taken_and_changes_nothing(world: World, cast: Cast, token: str) -> None:
    answer(world, token)
    stored = world.generation(cast, 0)
    assert answer(world, token)[0] == 200
    assert answer(world, token, {"status": "failed", "error": "no"})[0] == 200
    assert world.generation(cast, 0) == stored


def test_a_late_callback_is_taken_and_changes_nothing(world: World, cast: Cast, token: str) -> None:
    world.settle(cast)
    settled = world.cast_of(cast)
    assert answer(world, token)[0] == 200
    assert world.cast_of(cast).status == settled.status == "failed"
    assert world.generation(cast, 0).status == "failed"


def test_progress_is_passed_on_and_not_stored(world: World, cast: Cast, token: str) -> None:
    writes = len(world.store.writes)
    assert answer(world, token, {"status": "processing", "progress": 0.5})[0] == 200
    assert len(world.store.writes) == writes
    assert [message["type"] for _, message in world.announcer.pushed] == ["generationProgress"]


@pytest.mark.parametrize("forged", ["", "x", ".", "a.b", "ünï.ünï", "a" * 100_000])
def test_a_token_that_was_not_signed_here_is_refused(world: World, cast: Cast, forged: str) -> None:
    refused(world, cast, answer(world, forged), 401, "INVALID_TOKEN")


def test_a_token_with_one_letter_changed_is_refused(world: World, cast: Cast, token: str) -> None:
    body, _, mac = token.partition(".")
    for changed in (f"{body}x.{mac}", f"{body}.{mac}x", f"{body}.{mac[:-1]}", f"{body[::-1]}.{mac}", body, f".{mac}"):
        refused(world, cast, answer(world, changed), 401, "INVALID_TOKEN")


def test_a_token_signed_with_another_key_is_refused(world: World, cast: Cast) -> None:
    deadline = world.generation(cast, 0).deadline_at
    forged = callback_tokens.sign(f"{cast.cast_id}.0.1", deadline, "another key")
    refused(world, cast, answer(world, forged), 401, "INVALID_TOKEN")


def test_a_token_of_an_unknown_generation_is_refused(world: World, cast: Cast) -> None:
    stale = callback_tokens.sign(f"{cast.cast_id}.7.1", world.clock.now(), SIGNING_KEY)
    refused(world, cast, answer(world, stale), 401, "INVALID_TOKEN")


def test_a_token_expires_a_day_after_the_deadline(world: World, cast: Cast, token: str) -> None:
    world.clock.moment = world.generation(cast, 0).deadline_at + timedelta(hours=24)
    refused(world, cast, answer(world, token), 401, "INVALID_TOKEN")
    world.clock.advance(-1)
    assert answer(world, token)[0] == 200


@pytest.mark.parametrize("headers", [{}, {"x-signature": "bad"}])
def test_a_wrong_signature_is_refused(world: World, cast: Cast, token: str, headers: dict[str, str]) -> None:
    refused(world, cast, answer(world, token, headers=headers), 401, "INVALID_SIGNATURE")


def test_a_bucket_that_does_not_answer_is_asked_again_by_the_sender(
    world: World, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(generation_id: str) -> None:
        raise StorageUnavailable("It did not answer; try again in a moment.")

    monkeypatch.setattr(world.store, "get_generation", fail)
    status, document = answer(world, token)
    assert (status, document["error"]["code"]) == (429, "STORAGE_UNAVAILABLE")


def test_a_body_over_a_megabyte_is_refused_before_its_token_is_read(world: World, cast: Cast, token: str) -> None:
    large = b" " * (MAX_CALLBACK_BYTES + 1)
    refused(world, cast, answer(world, token, large), 413, "PAYLOAD_TOO_LARGE")
    refused(world, cast, answer(world, "forged", large), 413, "PAYLOAD_TOO_LARGE")
    fits = json.dumps(DONE).encode()
    assert answer(world, token, fits + b" " * (MAX_CALLBACK_BYTES - len(fits)))[0] == 200


@pytest.mark.parametrize("error", [ProviderAnswerInvalid("not JSON"), ProviderNotConfigured("no key")])
def test_what_the_adapter_cannot_read_is_refused(
    world: World, cast: Cast, token: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(world.adapter, "parse_webhook", refuse)
    reply = answer(world, token, b"\xff garbage")
    assert reply[0] == 400
    refused(world, cast, reply, 400, reply[1]["error"]["code"])


def test_a_tool_that_went_is_a_4xx(world: World, cast: Cast, token: str) -> None:
    del world.store._catalog["called"]
    refused(world, cast, answer(world, token), 400, "TOOL_NOT_FOUND")


def test_what_cannot_be_checked_at_the_moment_is_to_be_sent_again(
    world: World, cast: Cast, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: Any) -> ToolResult:
        raise ProviderUnavailable("The run could not be read.")

    with monkeypatch.context() as patched:
        patched.setattr(world.adapter, "parse_webhook", unavailable)
        refused(world, cast, answer(world, token), 429, "PROVIDER_UNAVAILABLE")
    assert answer(world, token)[0] == 200


@pytest.mark.parametrize(
    ("known", "told", "status"),
    [
        ("fal-ai/flux/r1", "r1", 200),
        ("fal-ai/flux/r1", "flux/r1", 200),
        ("fal-ai/flux/r1", "1", 401),
        ("fal-ai/flux/r1", "r2", 401),
        ("r1", "fal-ai/flux/r1", 401),
    ],
)
def test_the_known_id_may_say_more_than_the_callback(
    world: World, monkeypatch: pytest.MonkeyPatch, known: str, told: str, status: int
) -> None:
    world.adapter.on_start = lambda request: Job(known, calls_back=True)
    cast = world.cast("called")
    world.execute(cast)
    result = ToolResult("succeeded", ({"type": "text", "data": {"text": "t"}},), run_id=told)
    monkeypatch.setattr(world.adapter, "parse_webhook", lambda *_: result)
    url = world.adapter.started[0].callback_url
    assert answer(world, url.rpartition("/")[2])[0] == status


@pytest.mark.parametrize("levels", [100, 101, 5_000])
def test_an_output_is_as_deep_as_can_be_read_again_anywhere(
    world: World, cast: Cast, token: str, monkeypatch: pytest.MonkeyPatch, levels: int
) -> None:
    deep: Any = "x"
    for _ in range(levels - 1):
        deep = [deep]
    result = ToolResult("succeeded", ({"type": "text", "data": {"deep": deep}},))
    monkeypatch.setattr(world.adapter, "parse_webhook", lambda *_: result)
    reply = answer(world, token)
    if levels > 100:
        refused(world, cast, reply, 400, "PROVIDER_ANSWER_INVALID")
    else:
        assert reply[0] == 200


@pytest.mark.parametrize(("run_id", "status"), [("job-1", 200), (None, 200), ("job-2", 401)])
def test_a_callback_speaks_of_the_generations_job(
    world: World, cast: Cast, token: str, monkeypatch: pytest.MonkeyPatch, run_id: str | None, status: int
) -> None:
    told = ToolResult("succeeded", ({"type": "text", "data": {"text": "t"}},), run_id=run_id)
    monkeypatch.setattr(world.adapter, "parse_webhook", lambda *_: told)
    reply = answer(world, token)
    assert reply[0] == status
    if status == 401:
        refused(world, cast, reply, 401, "INVALID_SIGNATURE")


# --- One address for all jobs of a service ---


def test_a_callback_at_the_services_address_says_whose_it_is(world: World, cast: Cast, token: str) -> None:
    assert answer(world, "fake", {**DONE, "token": token}) == (200, {"generationId": f"{cast.cast_id}.0.1"})
    assert world.machine.answers == {"token": f"{cast.cast_id}.0.1"}
    writes = len(world.store.writes)
    assert answer(world, "fake", {**DONE, "token": token})[0] == 200
    assert len(world.store.writes) == writes


@pytest.mark.parametrize("told", [None, "signed.elsewhere", "fake", "expired"])
def test_what_is_nobodys_here_is_taken_and_changes_nothing(
    world: World, cast: Cast, token: str, told: str | None
) -> None:
    """A refusal would only make the service send it again."""
    if told == "expired":
        world.clock.advance(25 * 3600)
        told = token
    writes = len(world.store.writes)
    assert answer(world, "fake", {**DONE, "token": told}) == (200, {"generationId": None})
    assert len(world.store.writes) == writes
    assert world.machine.answers == {}


def test_an_unsigned_callback_at_the_services_address(world: World, cast: Cast, token: str) -> None:
    refused(world, cast, answer(world, "fake", {**DONE, "token": token}, {}), 401, "INVALID_SIGNATURE")


def test_a_service_without_such_an_address_is_a_wrong_token(world: World, cast: Cast, token: str) -> None:
    refused(world, cast, answer(world, "other", {**DONE, "token": token}), 401, "INVALID_TOKEN")


def test_an_adapter_that_breaks_there_is_a_4xx(world: World, cast: Cast) -> None:
    refused(world, cast, answer(world, "fake", b"{"), 400, "ADAPTER_FAULT")
