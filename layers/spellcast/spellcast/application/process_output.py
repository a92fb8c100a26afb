"""Finishes a step: cost and terminal revision, from the stored result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from spellcast.application.budgets import Budgets
from spellcast.application.keep_outputs import KeepOutputs
from spellcast.domain import cost, identifiers, money
from spellcast.domain.errors import (
    CastCancelled,
    GenerationNotFound,
    IllegalTransition,
    JobCancelled,
    StepEndedInFailure,
    WriteConflict,
)
from spellcast.domain.generations import Generation
from spellcast.domain.pricing import PricingPolicy
from spellcast.domain.results import Failure, ToolResult
from spellcast.domain.segments import Segment
from spellcast.domain.times import milliseconds
from spellcast.ports.clock import Clock
from spellcast.ports.store import CastStore, ToolStore


@dataclass(frozen=True, slots=True)
class ProcessOutput:
    """The last step of a segment is finished here; `execute_step` finishes those before it in the same way."""

    casts: CastStore
    tools: ToolStore
    keep_outputs: KeepOutputs
    pricing: PricingPolicy
    budgets: Budgets
    clock: Clock

    def __call__(self, cast_id: str, segments: Sequence[Segment]) -> Sequence[Segment]:
        """Finishes the first segment's last step and answers the segments that are left.

        Raises StepEndedInFailure where the step failed, so that the machine settles the cast.
        """
        segment = segments[0]
        generation = self.finish_stored(identifiers.generation_id(cast_id, segment.last, segment.attempt))
        if generation.status != "completed":
            # The runtime logs an exception's text: a provider's message may quote a prompt.
            code = generation.failure.code if generation.failure else generation.status
            raise StepEndedInFailure(f"{generation.generation_id} ended with {code}.")
        return segments[1:]

    def finish_stored(self, generation_id: str) -> Generation:
        """The generation's terminal revision, written now or found. Raises IllegalTransition where it has no result."""
        kept: ToolResult | None = None
        while True:
            generation = self.casts.get_generation(generation_id)
            if generation is None:
                raise GenerationNotFound(f"There is no generation {generation_id}.")
            if generation.is_terminal:
                return generation
            if kept is None and (result := self.keep_outputs.due(generation)):
                kept = self.keep_outputs(generation, result)
            finished = self.finished(replace(generation, result=kept) if kept else generation)
            try:
                self.casts.save_generation(finished, generation)
            except WriteConflict:
                continue
            self.budgets.settle(finished)
            return finished

    def finished(self, generation: Generation, *, is_cancelled: bool = False) -> Generation:
        """The terminal revision that the stored result leads to, not yet written.

        Where the cast `is_cancelled`, so is a step whose job was cancelled at its provider, or not begun any more.
        """
        result = generation.result
        if result is None:
            raise IllegalTransition(f"{generation.generation_id} has no result to process")
        amount, points = self.price(generation, result)
        now = self.clock.now()
        if result.status == "succeeded":
            return generation.completed(cost_usd=amount, points=points, now=now)
        failure = result.failure or Failure("JOB_FAILED", "The provider gave no reason.")
        if is_cancelled and failure.code in (JobCancelled.code, CastCancelled.code):
            return generation.cancelled(cost_usd=amount, points=points, now=now)
        return generation.failed(failure, cost_usd=amount, points=points, now=now)

    def price(self, generation: Generation, result: ToolResult) -> tuple[Decimal, int]:
        """Cost in US dollars and points of this result of the generation."""
        tool = self.tools.recall_tool(generation.account_id, generation.tool_id)
        if tool is None:
            amount = result.cost_usd or money.ZERO
        else:
            amount = cost.cost_of(tool, result, self._measured_ms(generation, result), generation.request_payload)
        completed = result.status == "succeeded"
        return amount, self.pricing.charge(generation.service_name, amount, completed=completed)

    def _measured_ms(self, generation: Generation, result: ToolResult) -> int:
        if result.duration_ms is not None:
            return result.duration_ms
        # Where only our clocks say how long it took, a result that came late is not charged for its lateness.
        ended = min(generation.received_at or self.clock.now(), generation.deadline_at)
        return milliseconds(generation.request_timestamp, ended)
