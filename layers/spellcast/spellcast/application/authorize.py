"""Says whose WebSocket is knocking."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.domain.errors import Unauthorized
from spellcast.ports.clock import Clock
from spellcast.ports.store import AccessStore


@dataclass(frozen=True, slots=True)
class Authorize:
    """A ticket is taken by the first who brings it."""

    access: AccessStore
    clock: Clock

    def __call__(self, ticket: str) -> str:
        """The account id. Raises Unauthorized for a ticket that is unknown, used or expired."""
        account_id = self.access.take_ticket(ticket, self.clock.now())
        if account_id is None:
            raise Unauthorized("The ticket is unknown, used or expired.")
        return account_id
