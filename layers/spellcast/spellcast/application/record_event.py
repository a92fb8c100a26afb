"""Logs and finds the events that the original's callers keep of their users."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from spellcast.domain import identifiers
from spellcast.domain.documents import Document
from spellcast.domain.errors import EventNotFound
from spellcast.domain.user_events import UserEvent
from spellcast.ports.clock import Clock
from spellcast.ports.store import EventStore


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """Nothing here acts on an event, so a repeat does no more than log it twice."""

    events: EventStore
    clock: Clock

    def __call__(
        self,
        account_id: str,
        event_type: str,
        event_data: Document,
        source_platform: str,
        timestamp: datetime | None = None,
        session_id: str | None = None,
    ) -> UserEvent:
        """The event, as of now where no time is given."""
        event = UserEvent(
            event_id=identifiers.new_id(),
            account_id=account_id,
            event_type=event_type,
            event_data=event_data,
            source_platform=source_platform,
            timestamp=timestamp or self.clock.now(),
            session_id=session_id,
        )
        self.events.create_event(event)
        return event

    def find(self, event_id: str, account_id: str | None) -> UserEvent:
        """Raises EventNotFound."""
        event = self.events.get_event(event_id) if identifiers.is_id(event_id) else None
        if event is None or account_id not in (None, event.account_id):
            raise EventNotFound(f"There is no event {event_id!r}.")
        return event
