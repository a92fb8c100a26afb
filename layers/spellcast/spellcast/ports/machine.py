"""The state machine: what starts a cast, what polls a job, and what a waiting segment is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from spellcast.domain.casts import Cast
from spellcast.domain.results import Failure
from spellcast.domain.segments import Segment


class Machine(Protocol):
    """Every call may be repeated: starting twice is harmless, and an answered token stays answered."""

    def start_cast(self, cast: Cast, segments: Sequence[Segment]) -> None:
        """Starts the cast's current execution."""

    def start_polling(self, generation_id: str) -> None: ...

    def answer(self, task_token: str, generation_id: str) -> None:
        """Tells the waiting segment that the generation's result is stored."""

    def refuse(self, task_token: str, failure: Failure) -> None:
        """Tells the waiting segment that it cannot go on."""
