from __future__ import annotations

import pytest

from spellcast.application.authorize import Authorize
from spellcast.application.issue_ticket import IssueTicket
from spellcast.domain.errors import Unauthorized
from tests.fakes.clock import FakeClock
from tests.fakes.store import FakeStore


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def test_a_ticket_lets_its_account_in_once(store: FakeStore, clock: FakeClock) -> None:
    ticket = IssueTicket(store, clock)("alice")
    authorize = Authorize(store, clock)
    assert authorize(ticket.secret) == "alice"
    with pytest.raises(Unauthorized):
        authorize(ticket.secret)


@pytest.mark.parametrize(("seconds", "good"), [(0, True), (59.9, True), (60, False), (3600, False)])
def test_a_ticket_expires(store: FakeStore, clock: FakeClock, seconds: float, good: bool) -> None:
    ticket = IssueTicket(store, clock)("alice")
    clock.advance(seconds)
    if good:
        assert Authorize(store, clock)(ticket.secret) == "alice"
    else:
        with pytest.raises(Unauthorized):
            Authorize(store, clock)(ticket.secret)


@pytest.mark.parametrize("ticket", ["", "nope"])
def test_an_unknown_ticket_is_refused(store: FakeStore, clock: FakeClock, ticket: str) -> None:
    IssueTicket(store, clock)("alice")
    with pytest.raises(Unauthorized):
        Authorize(store, clock)(ticket)
