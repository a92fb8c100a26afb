"""A queue that delivers one message as SQS does: until it is done, or was received as often as the queue allows."""

from __future__ import annotations

from collections.abc import Callable

from spellcast.domain.documents import Document
from spellcast.domain.errors import SpellcastError
from spellcast.ports.queue import Message
from tests.fakes.clock import FakeClock
from tests.fakes.crash import Crash

# Seconds after which a message comes again that nobody postponed (template.yaml, WebhookQueue).
VISIBILITY = 180


class FakeQueue:
    """Implements `ports.queue.Queue`. `waits` are the seconds after which the message came again, or died.

    What is put in is in `bodies`, and is delivered by nobody.
    """

    def __init__(self, clock: FakeClock, most_receives: int = 3) -> None:
        self.waits: list[int] = []
        self.bodies: list[Document] = []
        self._clock = clock
        self._most_receives = most_receives
        self._wait = VISIBILITY
        self._current: Message | None = None

    def put(self, body: Document) -> None:
        self.bodies.append(body)

    def postpone(self, message: Message, seconds: int) -> None:
        assert message == self._current, "only the latest receipt of a message is good"
        self._wait = seconds

    def deliver(self, receive: Callable[[Message], object]) -> bool:
        """Whether the message was done with; otherwise it is a dead letter now."""
        for attempt in range(1, self._most_receives + 1):
            self._wait = VISIBILITY
            self._current = Message(f"receipt-{attempt}", attempt)
            try:
                receive(self._current)
            except (SpellcastError, Crash):
                self.waits.append(self._wait)
                self._clock.advance(self._wait)
            else:
                return True
        return False
