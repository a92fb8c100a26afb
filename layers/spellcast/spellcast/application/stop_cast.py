"""Stops what a cast that is being closed still has going on: its jobs, and of a cancelled one the machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from spellcast.application import ask_provider
from spellcast.domain.casts import Cast
from spellcast.domain.generations import Generation
from spellcast.domain.results import ToolResult
from spellcast.ports.adapter import Adapters
from spellcast.ports.machine import Machine
from spellcast.ports.store import ToolStore


@dataclass(frozen=True, slots=True)
class StopCast:
    """Every part may be repeated, and a provider that cannot be asked holds up nothing.

    A cancelled cast's machine is stopped first: what it would begin otherwise would have to be stopped, too. Any other
    cast is closed because its machine has ended, or is on its way to the end.
    """

    tools: ToolStore
    adapters: Adapters
    machine: Machine

    def __call__(self, cast: Cast, generations: Iterable[Generation]) -> Mapping[str, ToolResult]:
        """What the providers say of the jobs that are over now, by generation: they may name what they billed."""
        if cast.is_cancelling:
            self.machine.stop_cast(cast)
        told: dict[str, ToolResult] = {}
        for generation in generations:
            is_open = not generation.is_terminal and generation.result is None
            if generation.delivery_mode == "immediate" or not (is_open or generation.may_run_on):
                continue
            recall_tool = partial(self.tools.recall_tool, generation.account_id, generation.tool_id)
            _, end = ask_provider.look_up_job(self.adapters, generation, recall_tool, cancel=True)
            if end is not None:
                told[generation.generation_id] = end
        return told
