"""What a run has cost that came to nothing."""

from __future__ import annotations

from spellcast.domain.cost import cost_of
from spellcast.domain.errors import StepFailed
from spellcast.domain.results import ToolResult, failed
from spellcast.domain.tools import Tool


def failed_after(error: StepFailed, tool: Tool, duration_ms: int | None) -> ToolResult:
    """What is paid by the second is paid for until it failed; what is paid by the run is not paid for."""
    if duration_ms is None or tool.costing is None or not tool.costing.is_per_second:
        return failed(error, duration_ms=duration_ms)
    return failed(error, cost_usd=cost_of(tool, ToolResult("succeeded"), duration_ms, {}), duration_ms=duration_ms)
