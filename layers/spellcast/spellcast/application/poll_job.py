"""Asks a provider for a job once, and says when to ask again."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.application import ask_provider
from spellcast.application.complete_job import CompleteJob
from spellcast.application.give_up_job import GiveUpJob
from spellcast.application.pass_on_progress import pass_on_progress
from spellcast.domain import results
from spellcast.domain.errors import JobLost, StepFailed
from spellcast.domain.generations import Generation
from spellcast.domain.polling import MISSES_BEFORE_LOST, Polling
from spellcast.domain.results import ToolResult
from spellcast.observability import logger
from spellcast.ports.adapter import Adapter, Adapters
from spellcast.ports.announcer import Announcer
from spellcast.ports.clock import Clock
from spellcast.ports.store import CastStore, ToolStore


@dataclass(frozen=True, slots=True)
class PollJob:
    """A poll that fails is a poll without news; only the step's deadline ends the asking."""

    casts: CastStore
    tools: ToolStore
    adapters: Adapters
    announcer: Announcer
    complete_job: CompleteJob
    give_up_job: GiveUpJob
    clock: Clock

    def __call__(self, polling: Polling) -> Polling:
        """The machine's next state; finished where the result is stored, by this poll or by anybody else."""
        generation = self.casts.get_generation(polling.generation_id)
        if generation is None or generation.is_terminal or generation.run_id is None:
            return polling.ended()
        if generation.result is not None:
            self.complete_job(generation.generation_id, generation.result)
            return polling.ended()
        misses = 0
        try:
            adapter = self.adapters.get(generation.service_name)
            state = self._ask(adapter, generation, generation.run_id)
        except JobLost as lost:
            misses = polling.misses + 1
            if misses >= MISSES_BEFORE_LOST:
                self.complete_job(generation.generation_id, results.failed(lost))
                return polling.ended()
        except StepFailed as error:
            logger().warning("A poll brought no news", code=error.code, generationId=generation.generation_id)
        else:
            if state.is_final:
                self.complete_job(generation.generation_id, state)
                return polling.ended()
            pass_on_progress(self.announcer, generation, state, self.clock.now())
        now = self.clock.now()
        if generation.is_overdue(now):
            self.give_up_job(generation)
            return polling.ended()
        return polling.next(misses, generation.deadline_at, now)

    def _ask(self, adapter: Adapter, generation: Generation, run_id: str) -> ToolResult:
        tool = self.tools.recall_tool(generation.account_id, generation.tool_id)
        if tool is None:
            raise JobLost(f"There is no tool {generation.tool_id!r} any more.")
        return ask_provider.poll_job(adapter, run_id, tool)
