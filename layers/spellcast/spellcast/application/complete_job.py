"""The one way in which a job's result enters: a webhook, an event on the bus, a poll, or the step itself."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.application.finalize_cost import FinalizeCost
from spellcast.application.keep_outputs import KeepOutputs
from spellcast.application.slots import Slots
from spellcast.domain.errors import GenerationNotFound, WriteConflict
from spellcast.domain.generations import Generation
from spellcast.domain.results import ToolResult
from spellcast.ports.clock import Clock
from spellcast.ports.machine import Machine
from spellcast.ports.store import CastStore


@dataclass(frozen=True, slots=True)
class CompleteJob:
    """Stores the result once, and answers the waiting segment however often it is asked to."""

    casts: CastStore
    machine: Machine
    finalize_cost: FinalizeCost
    keep_outputs: KeepOutputs
    slots: Slots
    clock: Clock

    def __call__(self, generation_id: str, result: ToolResult) -> Generation:
        """Applies a final result. Raises GenerationNotFound; a later result changes nothing but a missing bill."""
        while True:
            generation = self.casts.get_generation(generation_id)
            if generation is None:
                raise GenerationNotFound(f"There is no generation {generation_id}.")
            try:
                if generation.result is None and not generation.is_terminal:
                    # Base64 goes to the bucket before the record is written.
                    result = self.keep_outputs.take_in(generation_id, result)
                    received = generation.received(result, self.clock.now())
                    self.casts.save_generation(received, generation)
                    generation = received
                else:
                    self.finalize_cost.add_late_bill(generation, result)
            except WriteConflict:
                continue
            self.slots.give_back(generation_id, generation.slots)
            if generation.task_token:
                self.machine.answer(generation.task_token, generation_id)
            return generation
