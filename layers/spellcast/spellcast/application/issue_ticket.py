"""Tickets let an account's WebSocket in: short-lived, and good for one connection."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta

from spellcast.ports.clock import Clock
from spellcast.ports.store import AccessStore, Ticket

TICKET_LIFETIME = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class IssueTicket:
    """Called with credentials over HTTP, since a browser's WebSocket can send none."""

    access: AccessStore
    clock: Clock

    def __call__(self, account_id: str) -> Ticket:
        """A fresh ticket, good for 60 seconds."""
        ticket = Ticket(secrets.token_urlsafe(32), account_id, self.clock.now() + TICKET_LIFETIME)
        self.access.put_ticket(ticket)
        return ticket
