"""Stops what a cancelled cast still has going on: the machine's execution, and the jobs at its providers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from spellcast.application import ask_provider
from spellcast.domain.casts import Cast
from spellcast.domain.errors import StepFailed
from spellcast.domain.generations import Generation
from spellcast.domain.results import ToolResult
from spellcast.observability import logger
from spellcast.ports.adapter import Adapters
from spellcast.ports.machine import Machine
from spellcast.ports.store import ToolStore


@dataclass(frozen=True, slots=True)
class StopCast:
    """Every part may be repeated, and a provider that cannot be asked holds up nothing.

    The machine is stopped first: what it would begin otherwise would have to be stopped, too.
    """

    tools: ToolStore
    adapters: Adapters
    machine: Machine

    def __call__(self, cast: Cast, generations: Iterable[Generation]) -> Mapping[str, ToolResult]:
        """What the providers say of the jobs that are over now, by generation: they may name what they billed."""
        self.machine.stop_cast(cast)
        told: dict[str, ToolResult] = {}
        for generation in generations:
            if generation.is_terminal or generation.result is not None or generation.delivery_mode == "immediate":
                continue
            if (state := self._stop_job(generation)) is not None and state.is_final:
                told[generation.generation_id] = state
        return told

    def _stop_job(self, generation: Generation) -> ToolResult | None:
        """The job's state after it was asked to stop; None where there is no job to name, or no news of it."""
        try:
            adapter = self.adapters.get(generation.service_name)
            run_id = generation.run_id or adapter.derived_run_id(generation.generation_id)
            tool = self.tools.recall_tool(generation.account_id, generation.tool_id)
            if run_id is None:
                return None
            ask_provider.cancel_job(self.adapters, generation.service_name, run_id)
            return None if tool is None else ask_provider.poll_job(adapter, run_id, tool)
        except StepFailed as error:
            logger().warning("Of a cancelled job there is no news", code=error.code)
            return None
