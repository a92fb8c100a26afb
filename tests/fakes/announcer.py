"""Remembers what was announced."""

from __future__ import annotations

from collections.abc import Sequence

from spellcast.domain.documents import Document
from spellcast.ports.announcer import Event


class FakeAnnouncer:
    """Implements `ports.announcer.Announcer`."""

    def __init__(self) -> None:
        self.pushed: list[tuple[str, Document]] = []
        self.sent: list[tuple[str, Document]] = []
        self.published: list[Event] = []

    def push(self, account_id: str, message: Document) -> None:
        self.pushed.append((account_id, message))

    def greet(self, connection_id: str, message: Document) -> None:
        self.sent.append((connection_id, message))

    def send(self, connection_id: str, message: Document) -> None:
        self.sent.append((connection_id, message))

    def publish(self, events: Sequence[Event]) -> None:
        self.published.extend(events)
