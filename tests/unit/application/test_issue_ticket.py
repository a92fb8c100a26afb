from __future__ import annotations

from datetime import timedelta

from spellcast.application.issue_ticket import IssueTicket
from tests.fakes.clock import FakeClock
from tests.fakes.store import FakeStore


def test_a_ticket_is_the_accounts_for_a_minute() -> None:
    clock = FakeClock()
    ticket = IssueTicket(FakeStore(), clock)("alice")
    assert (ticket.account_id, ticket.expires_at) == ("alice", clock.now() + timedelta(seconds=60))


def test_every_ticket_is_another_and_long_enough_not_to_be_guessed() -> None:
    issue = IssueTicket(FakeStore(), FakeClock())
    secrets = {issue("alice").secret for _ in range(50)}
    assert len(secrets) == 50
    assert min(map(len, secrets)) >= 43


def test_its_representation_does_not_show_it() -> None:
    ticket = IssueTicket(FakeStore(), FakeClock())("alice")
    assert ticket.secret not in repr(ticket)
