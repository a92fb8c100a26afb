"""What completed runs of a tool cost and took: a small sample, on which quotes rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Context, Decimal

from spellcast.domain import money
from spellcast.domain.generations import Generation
from spellcast.domain.identifiers import fingerprint

# A run overwrites an earlier one that fell into the same slot: the sample stays small and fresh, and no write of it
# ever waits for another.
SLOTS = 10
_PLACES = Decimal("1E-12")
_WIDE = Context(prec=60, rounding=ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class Run:
    """One completed run of a tool, in US dollars and milliseconds."""

    tool_id: str
    slot: int
    cost_usd: Decimal
    duration_ms: int
    at: datetime


def runs_of(generations: Iterable[Generation]) -> list[Run]:
    """The completed runs that cost something, one a slot; the same generations always fill the same slots."""
    runs: dict[tuple[str, int], Run] = {}
    for item in generations:
        if (
            item.status == "completed"
            and item.cost_usd > 0
            and item.response_timestamp
            and item.duration_ms is not None
        ):
            slot = int(fingerprint(item.generation_id), 16) % SLOTS
            runs[item.tool_id, slot] = Run(item.tool_id, slot, item.cost_usd, item.duration_ms, item.response_timestamp)
    return list(runs.values())


def mean_cost(runs: Sequence[Run]) -> Decimal:
    """US dollars, rounded to 12 places."""
    mean = _WIDE.divide(money.total(run.cost_usd for run in runs), Decimal(len(runs)))
    return mean.quantize(_PLACES, context=_WIDE)


def mean_duration(runs: Sequence[Run]) -> int:
    """Whole milliseconds."""
    return (2 * sum(run.duration_ms for run in runs) + len(runs)) // (2 * len(runs))
