"""When a job is asked after again: the state of the polling machine between two polls."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from spellcast.domain.documents import Document

# Seconds before each poll, the last one for all that follow (contract §3 row 11).
WAITS = (2, 3, 5, 7, 10, 15, 23, 30)
# A job that was submitted a moment ago may not be visible yet: it is lost when it is missed this often in a row.
MISSES_BEFORE_LOST = 3


@dataclass(frozen=True, slots=True)
class Polling:
    """How often the job was polled, how often in a row it was missed, and the seconds until the next poll."""

    generation_id: str
    polls: int = 0
    misses: int = 0
    wait_seconds: int = WAITS[0]
    finished: bool = False

    def ended(self) -> Polling:
        """Nothing is left to ask."""
        return Polling(self.generation_id, self.polls + 1, 0, 0, finished=True)

    def next(self, misses: int, deadline_at: datetime, now: datetime) -> Polling:
        """The wait for the next poll; the last poll comes at the deadline."""
        polls = self.polls + 1
        scheduled = WAITS[min(polls, len(WAITS) - 1)]
        remaining = int((deadline_at - now).total_seconds()) + 1
        return Polling(self.generation_id, polls, misses, max(1, min(scheduled, remaining)))

    def to_document(self) -> Document:
        """As it travels through the machine."""
        return {
            "generationId": self.generation_id,
            "polls": self.polls,
            "misses": self.misses,
            "waitSeconds": self.wait_seconds,
            "finished": self.finished,
        }

    @classmethod
    def parse(cls, document: Document) -> Polling:
        """The inverse of `to_document`."""
        return cls(document["generationId"], document["polls"], document["misses"], document["waitSeconds"])
