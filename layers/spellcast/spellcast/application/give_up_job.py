"""Gives up a job whose deadline has passed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from spellcast.application import ask_provider
from spellcast.application.complete_job import CompleteJob
from spellcast.domain import results
from spellcast.domain.errors import JobCancelled, OutcomeUnknown, StepTimedOut
from spellcast.domain.generations import Generation
from spellcast.domain.results import Failure, ToolResult
from spellcast.ports.adapter import Adapters
from spellcast.ports.store import ToolStore


@dataclass(frozen=True, slots=True)
class GiveUpJob:
    """The verdict is a result like any other: what came before it wins, and what comes after it only adds its bill."""

    tools: ToolStore
    adapters: Adapters
    complete_job: CompleteJob

    def __call__(self, generation: Generation) -> None:
        """Asks a job that can be named to stop, and completes the step: as timed out with what was billed, or unknown.

        A job that was over before it heard of it completes the step by its own end.
        """
        recall_tool = partial(self.tools.recall_tool, generation.account_id, generation.tool_id)
        run_id, end = ask_provider.look_up_job(self.adapters, generation, recall_tool, cancel=True)
        self.complete_job(generation.generation_id, _verdict(generation.service_name, run_id, end))


def _verdict(service: str, run_id: str | None, end: ToolResult | None) -> ToolResult:
    if run_id is None:
        lost = OutcomeUnknown(f"{service} did not answer the submission, and no job was heard of by its deadline.")
        return results.failed(lost)
    late = StepTimedOut("Job did not complete within timeout period")
    if end is None:
        return results.failed(late)
    was_stopped = end.failure is not None and end.failure.code == JobCancelled.code
    return replace(end, failure=Failure.of(late)) if was_stopped else end
