"""What is told over the WebSocket, and how a listener misses nothing of it: whatever was not heard is looked up."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from spellcast_client.errors import SpellcastError
from spellcast_client.models import Cast
from spellcast_client.records import time_text

ENDED = ("completed", "failed", "cancelled")
# Seconds without a word after which is looked whether something was missed.
SILENCE = 20.0
# For how many seconds a connection that does not come back is waited for, and the longest wait before a new attempt.
PATIENCE, LONGEST_PAUSE = 300.0, 15.0
_FIRST_PAUSE = 0.25


@dataclass(frozen=True, slots=True)
class Message:
    """`castSnapshot`, `castUpdate`, `generationUpdate`, `generationProgress` or `tool-response`, and its payload."""

    type: str
    payload: dict[str, Any]
    at: datetime
    truncated: bool = False

    @classmethod
    def parse(cls, text: str | bytes) -> Message:
        """As it came over the WebSocket: ours, or API Gateway's own word of a function that failed."""
        message = json.loads(text)
        if "type" not in message:
            return cls("error", {"code": "INTERNAL_ERROR", "message": message.get("message", "")}, datetime.now(UTC))
        at = datetime.fromisoformat(message["at"])
        return cls(message["type"], message["payload"], at, message.get("truncated", False))

    @classmethod
    def of(cls, kind: str, cast: Cast) -> Message:
        """A cast that was looked up."""
        return cls(kind, cast.document(), datetime.now(UTC))

    def document(self) -> dict[str, Any]:
        """As it came over the WebSocket."""
        known = {"type": self.type, "payload": self.payload, "at": time_text(self.at)}
        return {**known, "truncated": True} if self.truncated else known

    @property
    def ends_a_cast(self) -> bool:
        """Whether it tells that a cast has ended."""
        return self.type in ("castUpdate", "castSnapshot") and self.payload.get("status") in ENDED


class Listening:
    """What a listener has been told: a revision of a record is told once, and what was missed is told later.

    With a `cast_id` the listener is told of that cast only, until it has ended: then the last message is a
    `castSnapshot`, the whole ended cast. `on_connection` is told that the connection is lost, and that it is back.
    """

    def __init__(
        self,
        cast_id: str | None = None,
        *,
        patience: float = PATIENCE,
        on_connection: Callable[[bool], None] | None = None,
        now: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.cast_id = cast_id
        self.is_over = False
        self._patience = patience
        self._on_connection = on_connection or (lambda is_there: None)
        self._now = now
        self._draw = draw
        self._told: dict[str, int] = {}
        self._has_looked = False
        self._failures = 0
        self._silent_since: float | None = None

    def must_look(self, message: Message | None) -> bool:
        """Whether to look up how things stand: once connected, and for one cast after a silence (None) and its end."""
        if self._failures:
            self._on_connection(True)
        self._failures, self._silent_since = 0, None
        if message is not None and message.type == "connection_ack":
            return True
        return self.cast_id is not None and (message is None or (self._is_watched(message) and message.ends_a_cast))

    def news(self, messages: Iterable[Message]) -> Iterator[Message]:
        """Those that the listener has not been told yet."""
        for message in messages:
            if self._is_watched(message) and self._is_new(message):
                yield message
                self.is_over = message.type == "castSnapshot" and message.ends_a_cast

    def found(self, casts: Iterable[Cast]) -> Iterator[Message]:
        """What was looked up: the watched cast, or the account's latest casts; those before the start are no news."""
        kind = "castSnapshot" if self.cast_id else "castUpdate"
        messages = list(self.news(Message.of(kind, found) for found in casts))
        if self.cast_id or self._has_looked:
            yield from reversed(messages)
        self._has_looked = True

    def pause(self, error: SpellcastError) -> float:
        """For how many seconds to wait before the next connection. Raises the error where waiting does not help."""
        if self._silent_since is None:
            self._silent_since = self._now()
        if not error.may_pass or self._now() - self._silent_since > self._patience:
            raise error
        if not self._failures:
            self._on_connection(False)
        self._failures += 1
        return min(_FIRST_PAUSE * 2.0 ** min(self._failures, 10), LONGEST_PAUSE) * (0.5 + self._draw() / 2)

    def _is_watched(self, message: Message) -> bool:
        subject = message.payload.get("castId")
        return subject is not None and self.cast_id in (None, subject)

    def _is_new(self, message: Message) -> bool:
        if message.type == "generationProgress":
            # Of a step whose end was told it is late.
            return bool(self._told.get(message.payload["generationId"], 0) <= message.payload["revision"])
        is_new = False
        for name, revision in _revisions(message):
            if revision > self._told.get(name, 0):
                self._told[name] = revision
                is_new = True
        return is_new or (message.ends_a_cast and message.type == "castSnapshot")


def _revisions(message: Message) -> Iterator[tuple[str, int]]:
    payload = message.payload
    if message.type in ("castUpdate", "castSnapshot"):
        yield payload["castId"], payload["revision"]
        for generation in payload.get("generations") or ():
            yield generation["generationId"], generation["revision"]
    elif "generationId" in payload:
        # An immediate tool's answer has the revision of the record that it comes with.
        subject = payload["generationId"] + ("/answer" if message.type == "tool-response" else "")
        yield subject, payload["revision"]
