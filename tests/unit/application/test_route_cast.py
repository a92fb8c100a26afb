"""Whose a request is: by its record where it is about one, otherwise by its account's flag."""

from __future__ import annotations

import pytest

from spellcast.application.route_cast import RouteCast
from spellcast.domain.errors import FlagsUnreadable, OriginalUnanswered
from spellcast.domain.identifiers import new_id
from spellcast.ports.original import PassedRequest
from tests.fakes.original import FakeFlags, FakeOriginal

OBJECT_ID = "65f0a1b2c3d4e5f60718293a"
CAST = PassedRequest("POST", "/internal/v1/data/spells/cast", body=b'{"slug":"cats"}')
READ = PassedRequest("GET", f"/internal/v1/data/spells/casts/{OBJECT_ID}")


@pytest.fixture
def original() -> FakeOriginal:
    return FakeOriginal()


@pytest.fixture
def flags() -> FakeFlags:
    return FakeFlags("moved")


@pytest.fixture
def route_cast(original: FakeOriginal, flags: FakeFlags) -> RouteCast:
    return RouteCast(original, flags)


def test_a_cast_of_an_account_that_has_not_moved_is_the_originals(
    route_cast: RouteCast, original: FakeOriginal
) -> None:
    answer = route_cast(CAST, account_id="waiting")
    assert answer is original.answer
    assert original.asked == [CAST]


def test_a_cast_of_an_account_that_has_moved_is_ours(route_cast: RouteCast, original: FakeOriginal) -> None:
    assert route_cast(CAST, account_id="moved") is None
    assert original.asked == []


@pytest.mark.parametrize("account", ["moved", "waiting", None])
@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("record", [OBJECT_ID, OBJECT_ID.upper()])
def test_a_record_of_the_originals_stays_with_it(
    route_cast: RouteCast, original: FakeOriginal, flags: FakeFlags, account: str | None, method: str, record: str
) -> None:
    request = PassedRequest(method, f"/internal/v1/data/generations/{record}", body=b"{}")
    assert route_cast(request, account_id=account, record_id=record) is original.answer
    assert (original.asked, flags.read) == ([request], [])


@pytest.mark.parametrize("account", ["moved", "waiting", None])
@pytest.mark.parametrize("record", [new_id(), f"{new_id()}.0.1", "an-own-name", OBJECT_ID[1:], OBJECT_ID + "0", ""])
def test_a_record_of_ours_stays_here_whatever_the_flag_says_by_now(
    route_cast: RouteCast, original: FakeOriginal, account: str | None, record: str
) -> None:
    assert route_cast(READ, account_id=account, record_id=record) is None
    assert original.asked == []


def test_without_an_account_the_request_is_ours_to_refuse(
    route_cast: RouteCast, original: FakeOriginal, flags: FakeFlags
) -> None:
    assert route_cast(CAST) is None
    assert (original.asked, flags.read) == ([], [])


@pytest.mark.parametrize("record", [None, OBJECT_ID])
def test_without_an_original_everything_is_ours_and_no_flag_is_read(record: str | None) -> None:
    original, flags = FakeOriginal(configured=False), FakeFlags()
    assert RouteCast(original, flags)(CAST, account_id="waiting", record_id=record) is None
    assert (original.asked, flags.read) == ([], [])


def test_a_flag_that_cannot_be_read_sends_the_request_nowhere(
    route_cast: RouteCast, original: FakeOriginal, flags: FakeFlags
) -> None:
    flags.here = None
    with pytest.raises(FlagsUnreadable):
        route_cast(CAST, account_id="waiting")
    assert original.asked == []


def test_what_was_passed_on_and_not_answered_is_not_sent_again(route_cast: RouteCast, original: FakeOriginal) -> None:
    original.answer = OriginalUnanswered("lost")
    with pytest.raises(OriginalUnanswered):
        route_cast(CAST, account_id="waiting")
    assert original.asked == [CAST]
