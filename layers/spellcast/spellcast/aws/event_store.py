"""Events that callers log of their users: one row each, found by its id."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.aws.documents import DocumentStore
from spellcast.aws.table import Table
from spellcast.domain import times
from spellcast.domain.user_events import UserEvent

EVENT = "EVENT"


@dataclass(frozen=True, slots=True)
class DynamoEventStore:
    """Implements `ports.store.EventStore`."""

    table: Table
    documents: DocumentStore

    def create_event(self, event: UserEvent) -> None:
        """Its id is fresh: there is no other."""
        self.table.put(
            {
                "pk": f"{EVENT}#{event.event_id}",
                "sk": EVENT,
                "entity": EVENT,
                "eventId": event.event_id,
                "accountId": event.account_id,
                "eventType": event.event_type,
                "sourcePlatform": event.source_platform,
                "timestamp": times.to_text(event.timestamp),
                "sessionId": event.session_id,
                **self.documents.pack(f"events/{event.event_id}", {"eventData": event.event_data or None}),
            }
        )

    def get_event(self, event_id: str) -> UserEvent | None:
        """By its id alone."""
        row = self.table.get(f"{EVENT}#{event_id}", EVENT)
        if row is None:
            return None
        return UserEvent(
            event_id=row["eventId"],
            account_id=row["accountId"],
            event_type=row["eventType"],
            event_data=self.documents.unpack(row, "eventData") or {},
            source_platform=row["sourcePlatform"],
            timestamp=times.from_text(row["timestamp"]),
            session_id=row.get("sessionId"),
        )
