"""What a spell will probably cost and take, before it is cast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from spellcast.domain import money
from spellcast.domain.cost import USUAL_SECONDS, Basis, Expected, expected_cost, stated_seconds
from spellcast.domain.documents import Document
from spellcast.domain.history import Run, mean_cost, mean_duration
from spellcast.domain.pricing import PricingPolicy
from spellcast.domain.tools import Tool

_IMMEDIATE_SECONDS = 1


@dataclass(frozen=True, slots=True)
class StepQuote:
    """One step, in US dollars, points and milliseconds; `basis` says what the cost rests on."""

    step_index: int
    tool_id: str
    cost_usd: Decimal
    points: int
    runtime_ms: int
    basis: Basis


@dataclass(frozen=True, slots=True)
class Quote:
    """A spell's steps; its totals are their exact sums."""

    breakdown: Sequence[StepQuote]

    def document(self) -> Document:
        """As the API answers it."""
        return {
            "totalCostUsd": money.to_text(money.total(step.cost_usd for step in self.breakdown)),
            "totalPoints": sum(step.points for step in self.breakdown),
            "totalRuntimeMs": sum(step.runtime_ms for step in self.breakdown),
            "breakdown": [
                {
                    "stepIndex": step.step_index,
                    "toolId": step.tool_id,
                    "costUsd": money.to_text(step.cost_usd),
                    "points": step.points,
                    "runtimeMs": step.runtime_ms,
                    "basis": step.basis,
                }
                for step in self.breakdown
            ],
        }


def expected(tool: Tool, inputs: Document, runs: Sequence[Run]) -> Expected:
    """What a run will probably cost: what earlier runs did, or what the definition says where it depends on inputs."""
    # A price that hangs on the inputs is known from them; other runs may have had other inputs.
    if runs and not (tool.costing and tool.costing.table):
        return Expected(mean_cost(runs), "history")
    return expected_cost(tool, inputs)


def quote_step(step_index: int, tool: Tool, inputs: Document, runs: Sequence[Run], pricing: PricingPolicy) -> StepQuote:
    """`inputs` are those that are known before the cast, `runs` the tool's history."""
    cost_usd, basis = expected(tool, inputs, runs)
    return StepQuote(
        step_index, tool.tool_id, cost_usd, pricing.charge(tool.service, cost_usd), _runtime_ms(tool, runs), basis
    )


def _runtime_ms(tool: Tool, runs: Sequence[Run]) -> int:
    if runs:
        return mean_duration(runs)
    usual = _IMMEDIATE_SECONDS if tool.is_immediate else USUAL_SECONDS
    return int((stated_seconds(tool) or usual) * 1000)
