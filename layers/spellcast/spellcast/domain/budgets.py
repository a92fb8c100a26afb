"""What may be spent: a cast's own budget, and an account's of a day (UTC), for which expected costs are held.

A cast counts for the day on which it was started, or resumed, however long it runs: what belongs to a day is then known
without a clock, and repeating a write finds the same row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from spellcast.domain import money
from spellcast.domain.money import ZERO


@dataclass(frozen=True, slots=True)
class DailyBudget:
    """What an account may spend on a day, `2026-01-31`, in US dollars."""

    day: str
    most_usd: Decimal


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a step was expected to cost, in US dollars, and the day for which that is held."""

    day: str
    amount_usd: Decimal


@dataclass(frozen=True, slots=True)
class Day:
    """What counts for an account's day, in US dollars.

    `held` is the part of casts that are not closed, by generation: what it is expected to cost, or has cost.
    """

    total_usd: Decimal = ZERO
    held: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def held_usd(self) -> Decimal:
        """What is held for casts that are not closed."""
        return money.total(self.held.values())

    @property
    def spent_usd(self) -> Decimal:
        """What closed casts have cost."""
        return money.total([self.total_usd, -self.held_usd])

    def of_cast(self, cast_id: str) -> dict[str, Decimal]:
        """What is held for one cast's generations."""
        return {holder: amount for holder, amount in self.held.items() if holder.startswith(f"{cast_id}.")}


def day_of(moment: datetime) -> str:
    """`2026-01-31`, in UTC."""
    return moment.astimezone(UTC).date().isoformat()


def daily_budget(own: Decimal | None, default: Decimal | None, now: datetime) -> DailyBudget | None:
    """Today's budget: the account's own, else the platform's; None where neither is set."""
    most = default if own is None else own
    return None if most is None else DailyBudget(day_of(now), most)
