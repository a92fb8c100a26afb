"""How long a run took, and what it has cost although it came to nothing."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from spellcast.domain.cost import cost_of
from spellcast.domain.errors import StepFailed
from spellcast.domain.results import ToolResult, failed
from spellcast.domain.tools import Tool

# Beyond it a provider's figure is a fault of its own, and costs stay exact in 38 digits.
_MOST_SECONDS = 10**6


def milliseconds(seconds: object) -> int | None:
    """A provider's figure of a run time, which it gives in seconds; None where it cannot be one."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= _MOST_SECONDS:
        return None
    return int((Decimal(str(seconds)) * 1000).to_integral_value(ROUND_HALF_UP))


def failed_after(error: StepFailed, tool: Tool, duration_ms: int | None) -> ToolResult:
    """What is paid by the second is paid for until it failed; what is paid by the run is not paid for."""
    if duration_ms is None or tool.costing is None or not tool.costing.is_per_second:
        return failed(error, duration_ms=duration_ms)
    return failed(error, cost_usd=cost_of(tool, ToolResult("succeeded"), duration_ms, {}), duration_ms=duration_ms)
