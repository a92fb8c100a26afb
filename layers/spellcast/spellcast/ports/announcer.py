"""Telling the world: messages to an account's WebSockets, events on the bus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from spellcast.domain.documents import Document


@dataclass(frozen=True, slots=True)
class Event:
    """One entry on the bus; `detail` is a resource."""

    detail_type: str
    detail: Document


class Announcer(Protocol):
    """Delivers at least once: raises where a delivery should be tried again."""

    def push(self, account_id: str, message: Document) -> None:
        """Posts a message to every open connection of the account, and forgets the connections that are gone.

        A connection that does not take it has missed it; that is logged, and no error.
        """

    def greet(self, connection_id: str, message: Document) -> None:
        """Posts the first message of a connection, which may open a moment later than its row is announced.

        Where the connection does not take it, that is logged, and no error.
        """

    def send(self, connection_id: str, message: Document) -> None:
        """Posts a message to one connection; one that is gone is not an error."""

    def publish(self, events: Sequence[Event]) -> None:
        """Puts events on the bus."""
