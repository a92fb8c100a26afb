"""The state machines in memory: what was started, what was answered, and a token that is answered once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from spellcast.domain.casts import Cast
from spellcast.domain.results import Failure
from spellcast.domain.segments import Segment


@dataclass
class FakeMachine:
    """Implements `ports.machine.Machine`. The first answer of a token counts; later ones are ignored, as on AWS."""

    casts: dict[str, list[Segment]] = field(default_factory=dict)
    polling: list[str] = field(default_factory=list)
    answers: dict[str, str | Failure] = field(default_factory=dict)

    def start_cast(self, cast: Cast, segments: Sequence[Segment]) -> None:
        self.casts.setdefault(cast.execution_name, list(segments))

    def start_polling(self, generation_id: str) -> None:
        if generation_id not in self.polling:
            self.polling.append(generation_id)

    def answer(self, task_token: str, generation_id: str) -> None:
        self.answers.setdefault(task_token, generation_id)

    def refuse(self, task_token: str, failure: Failure) -> None:
        self.answers.setdefault(task_token, failure)
