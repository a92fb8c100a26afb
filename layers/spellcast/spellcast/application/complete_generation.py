"""Applies a result that somebody outside wrote down as a record: the original's `continueExecution`, and its PUT."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.application.complete_job import CompleteJob
from spellcast.domain.errors import GenerationNotFound, IllegalTransition
from spellcast.domain.generations import Generation
from spellcast.domain.results import ToolResult
from spellcast.ports.store import CastStore


@dataclass(frozen=True, slots=True)
class CompleteGeneration:
    """The same transition as every completion; a repeat is harmless, and a contradiction changes nothing."""

    casts: CastStore
    complete_job: CompleteJob

    def __call__(self, generation_id: str, result: ToolResult, account_id: str | None = None) -> Generation:
        """The generation with its result. `account_id` says whose it must be, where that is known.

        Raises GenerationNotFound, and IllegalTransition where the generation has another result.
        """
        generation = self.casts.get_generation(generation_id)
        if generation is None or account_id not in (None, generation.account_id):
            raise GenerationNotFound(f"There is no generation {generation_id!r}.")
        _check(generation, result)
        if generation.is_terminal:
            return generation
        completed = self.complete_job(generation_id, result)
        # Somebody else's result may have come in between.
        _check(completed, result)
        return completed


def _check(generation: Generation, result: ToolResult) -> None:
    stored = generation.result
    if stored is None and not generation.is_terminal:
        return
    ended = "completed" if result.status == "succeeded" else "failed"
    has_ended = generation.status if generation.is_terminal else stored and _ended(stored)
    if ended != has_ended or (stored and result.status == "succeeded" and result.payload != stored.payload):
        raise IllegalTransition(f"{generation.generation_id} is {has_ended} with another result, which stays.")


def _ended(result: ToolResult) -> str:
    return "completed" if result.status == "succeeded" else "failed"
