"""What the original's callers log of their users, beside the records that they cause."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from spellcast.domain import times
from spellcast.domain.documents import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class UserEvent:
    """Written once and never changed; nothing here acts on it."""

    event_id: str
    account_id: str
    event_type: str
    event_data: Document
    source_platform: str
    timestamp: datetime
    session_id: str | None = None

    def document(self) -> Document:
        """In the original's shape."""
        return {
            "_id": self.event_id,
            "eventId": self.event_id,
            "masterAccountId": self.account_id,
            **({"sessionId": self.session_id} if self.session_id else {}),
            "eventType": self.event_type,
            "eventData": self.event_data,
            "sourcePlatform": self.source_platform,
            "timestamp": times.to_text(self.timestamp),
        }
