"""The queue whose messages ask for something to be done, again and again until it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from spellcast.domain.documents import Document


@dataclass(frozen=True, slots=True)
class Message:
    """One receipt of a message; `attempt` is how often it has been received, this time included."""

    receipt: str
    attempt: int


class Queue(Protocol):
    """A message that is neither done nor postponed comes again by itself, when its reader must be dead."""

    def put(self, body: Document) -> None:
        """One more message."""

    def postpone(self, message: Message, seconds: int) -> None:
        """The message comes again after so many seconds, or is a dead letter then if it came often enough."""
