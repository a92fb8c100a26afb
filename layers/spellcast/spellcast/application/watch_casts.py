"""An account's WebSocket: opened, asked, closed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from spellcast.application.find_casts import FindCasts
from spellcast.domain import documents, messages
from spellcast.domain.documents import Document
from spellcast.domain.errors import SpellcastError, TooManyConnections
from spellcast.ports.announcer import Announcer
from spellcast.ports.clock import Clock
from spellcast.ports.store import AccessStore, Connection

# API Gateway closes a WebSocket after two hours (API Gateway quotas).
CONNECTION_LIFETIME = timedelta(hours=2)
# Of an account at once: every message is posted to each of them, one after the other, before anybody else's.
MAX_CONNECTIONS = 100
USAGE = 'Send {"action": "subscribe", "castId": "…"} or {"action": "ping"}.'


@dataclass(frozen=True, slots=True)
class WatchCasts:
    """The acknowledgement is sent from the table's stream: a post inside `$connect` fails on AWS."""

    access: AccessStore
    find_casts: FindCasts
    announcer: Announcer
    clock: Clock

    def connect(self, account_id: str, connection_id: str) -> None:
        """Remembers the connection until it is closed, or for two hours. Raises TooManyConnections.

        Of several that open at once, some may be one too many.
        """
        now = self.clock.now()
        others = [each for each in self.access.list_connections(account_id) if each.connection_id != connection_id]
        if sum(each.expires_at > now for each in others) >= MAX_CONNECTIONS:
            raise TooManyConnections(f"The account has {MAX_CONNECTIONS} WebSockets open; close one of them first.")
        self.access.put_connection(Connection(connection_id, account_id, now, now + CONNECTION_LIFETIME))

    def disconnect(self, account_id: str, connection_id: str) -> None:
        """Forgets the connection."""
        self.access.delete_connection(account_id, connection_id)

    def receive(self, account_id: str, connection_id: str, text: str) -> None:
        """Answers `subscribe` with the cast as it is, `ping` with `pong`, everything else with an error."""
        self.announcer.send(connection_id, self._answer(account_id, text))

    def _answer(self, account_id: str, text: str) -> Document:
        now = self.clock.now()
        try:
            asked = documents.from_text(text)
        except (ValueError, RecursionError):
            asked = None
        match asked:
            case {"action": "ping"}:
                return messages.pong(now)
            case {"action": "subscribe", "castId": str(cast_id)}:
                try:
                    return messages.cast_snapshot(self.find_casts.get(account_id, cast_id), now)
                except SpellcastError as error:
                    return messages.error_message(error.code, error.message, now)
        return messages.error_message("INVALID_INPUT", USAGE, now)
