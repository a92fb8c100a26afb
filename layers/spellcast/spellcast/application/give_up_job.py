"""Gives up a job whose deadline has passed."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.application import ask_provider
from spellcast.application.complete_job import CompleteJob
from spellcast.domain import results
from spellcast.domain.errors import OutcomeUnknown, StepTimedOut
from spellcast.domain.generations import Generation
from spellcast.ports.adapter import Adapters


@dataclass(frozen=True, slots=True)
class GiveUpJob:
    """The verdict is a result like any other: what came before it wins, and what comes after it only adds its bill."""

    adapters: Adapters
    complete_job: CompleteJob

    def __call__(self, generation: Generation, run_id: str | None) -> None:
        """Asks for cancellation where there is a job to name, and completes the step as timed out, or as unknown."""
        if run_id is None:
            service = generation.service_name
            lost = OutcomeUnknown(f"{service} did not answer the submission, and no job was heard of by its deadline.")
            self.complete_job(generation.generation_id, results.failed(lost))
            return
        ask_provider.cancel_job(self.adapters, generation.service_name, run_id)
        late = StepTimedOut("Job did not complete within timeout period")
        self.complete_job(generation.generation_id, results.failed(late))
