"""The state machines in memory: what was started, what was answered, and a token that is answered once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from spellcast.domain.casts import Cast
from spellcast.domain.identifiers import polling_name
from spellcast.domain.results import Failure
from spellcast.domain.segments import Segment
from spellcast.ports.machine import Execution


@dataclass
class FakeMachine:
    """Implements `ports.machine.Machine`. The first answer of a token counts; later ones are ignored, as on AWS.

    An execution runs until a test says in `ended` how it ended. `polling` lists the generations that are polled.
    """

    casts: dict[str, list[Segment]] = field(default_factory=dict)
    polling: list[str] = field(default_factory=list)
    answers: dict[str, str | Failure] = field(default_factory=dict)
    ended: dict[str, Execution] = field(default_factory=dict)
    _polls: set[str] = field(default_factory=set)

    def start_cast(self, cast: Cast, segments: Sequence[Segment]) -> None:
        self.casts.setdefault(cast.execution_name, list(segments))

    def stop_cast(self, cast: Cast) -> None:
        if cast.execution_name in self.casts:
            self.ended.setdefault(cast.execution_name, Execution(False, "ABORTED"))

    @property
    def stopped(self) -> list[str]:
        """The names of the executions that somebody stopped."""
        return [name for name, execution in self.ended.items() if execution.code == "ABORTED"]

    def find_execution(self, name: str) -> Execution | None:
        return self.ended.get(name, Execution(True)) if name in self.casts else None

    def list_running(self) -> frozenset[str]:
        return frozenset(self.casts.keys() - self.ended.keys())

    def start_polling(self, generation_id: str, execution: int) -> None:
        name = polling_name(generation_id, execution)
        if name not in self._polls:
            self._polls.add(name)
            self.polling.append(generation_id)

    def forget_polling(self) -> None:
        """Nothing was ever polled."""
        self.polling.clear()
        self._polls.clear()

    def answer(self, task_token: str, generation_id: str) -> None:
        self.answers.setdefault(task_token, generation_id)

    def refuse(self, task_token: str, failure: Failure) -> None:
        self.answers.setdefault(task_token, failure)
