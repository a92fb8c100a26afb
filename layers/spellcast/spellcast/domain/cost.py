"""What a step costs: the provider's own figure where there is one, otherwise the tool's rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal

from spellcast.domain import money
from spellcast.domain.money import ZERO
from spellcast.domain.results import ToolResult
from spellcast.domain.tools import Tool

_PER_SECOND = frozenset({"second", "seconds"})


@dataclass(frozen=True, slots=True)
class PointsPolicy:
    """The platform's price in points; the figures are the original's (original-system.md §3.5)."""

    usd_per_point: Decimal = Decimal("0.000337")
    floor_usd: Decimal = Decimal("0.001")
    multipliers: Mapping[str, Decimal] = field(default_factory=lambda: {"comfyui": Decimal(4)})

    def points(self, service: str, cost_usd: Decimal) -> int:
        """Whole points for a compute cost; what costs nothing takes no points."""
        if cost_usd == 0:
            return 0
        price = max(cost_usd * self.multipliers.get(service, Decimal(1)), self.floor_usd)
        return max(1, int((price / self.usd_per_point).to_integral_value(ROUND_HALF_UP)))


def expected_cost(tool: Tool) -> Decimal:
    """US dollars that a run will cost as far as the tool's definition tells; per-second rates by its usual duration."""
    if tool.costing is None:
        return ZERO
    if tool.costing.unit in _PER_SECOND:
        return tool.costing.amount * Decimal(str(tool.metadata.get("estimatedDurationSeconds") or 0))
    return tool.costing.amount


def cost_of(tool: Tool, result: ToolResult, duration_ms: int) -> Decimal:
    """US dollars, exact. `duration_ms` is the time that a per-second rate is taken of.

    A failed run costs only what the provider says that it billed.
    """
    if result.cost_usd is not None:
        return result.cost_usd
    if result.status == "failed" or tool.costing is None:
        return ZERO
    if tool.costing.unit in _PER_SECOND:
        return money.times(tool.costing.amount, Decimal(duration_ms).scaleb(-3))
    return tool.costing.amount
