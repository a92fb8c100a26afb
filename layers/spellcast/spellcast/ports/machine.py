"""The state machine: what starts a cast, what polls a job, and what a waiting segment is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from spellcast.domain.casts import Cast
from spellcast.domain.results import Failure
from spellcast.domain.segments import Segment


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a cast's machine. `code` and `message` say how one ended that did not succeed.

    `was_cut_off`: nothing of its own ended it, but the end of what ran it; it can be followed by another.
    """

    is_running: bool
    code: str | None = None
    message: str = ""
    was_cut_off: bool = False


class Machine(Protocol):
    """Every call may be repeated: starting twice is harmless, and an answered token stays answered."""

    def start_cast(self, cast: Cast, segments: Sequence[Segment]) -> None:
        """Starts the cast's current execution."""

    def stop_cast(self, cast: Cast) -> None:
        """Stops the cast's current execution; harmless where it has ended or never begun."""

    def find_execution(self, name: str) -> Execution | None:
        """The execution of a cast that has this name; it may lag a moment behind."""

    def list_running(self) -> frozenset[str]:
        """The names of all executions of casts that run; it may lag a moment behind."""

    def start_polling(self, generation_id: str, execution: int) -> None:
        """Starts to ask after the generation's job, once in each execution of its cast."""

    def answer(self, task_token: str, generation_id: str) -> None:
        """Tells the waiting segment that the generation's result is stored."""

    def refuse(self, task_token: str, failure: Failure) -> None:
        """Tells the waiting segment that it cannot go on."""
