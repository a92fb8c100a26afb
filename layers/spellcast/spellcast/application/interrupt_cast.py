"""Ends a cast that must not go on: its jobs are looked up and given up, its record is closed, its machine stopped."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from spellcast.application import ask_provider
from spellcast.application.complete_job import CompleteJob
from spellcast.application.finalize_cost import FinalizeCost
from spellcast.application.give_up_job import GiveUpJob
from spellcast.domain.casts import Cast
from spellcast.domain.errors import CastNotFound, DocumentLost
from spellcast.domain.generations import Generation
from spellcast.domain.results import Failure
from spellcast.ports.adapter import Adapters
from spellcast.ports.machine import Machine
from spellcast.ports.store import CastStore, ToolStore


@dataclass(frozen=True, slots=True)
class InterruptCast:
    """May be repeated from its beginning: jobs come first, since a closed cast is not looked for again."""

    casts: CastStore
    tools: ToolStore
    adapters: Adapters
    complete_job: CompleteJob
    give_up_job: GiveUpJob
    finalize_cost: FinalizeCost
    machine: Machine

    def __call__(self, cast_id: str, reason: Failure) -> Cast:
        """The closed cast: completed where its last job turns out to be done. Raises CastNotFound."""
        loaded = self.casts.load_cast(cast_id, whole=False)
        if loaded is None:
            raise CastNotFound(f"There is no cast {cast_id}.")
        cast, generations = loaded
        for generation in generations:
            is_waited_for = not generation.is_terminal and generation.result is None
            if is_waited_for and generation.delivery_mode != "immediate":
                with suppress(DocumentLost):  # Of a record that cannot be read nobody can take the end; it is closed.
                    self._end_job(generation)
        closed = self.finalize_cost(cast_id, reason, cast.execution_name)
        self.machine.stop_cast(cast)
        return closed

    def _end_job(self, generation: Generation) -> None:
        recall_tool = partial(self.tools.recall_tool, generation.account_id, generation.tool_id)
        _, end = ask_provider.look_up_job(self.adapters, generation, recall_tool)
        if end is not None:
            self.complete_job(generation.generation_id, end)
        else:
            self.give_up_job(generation)
