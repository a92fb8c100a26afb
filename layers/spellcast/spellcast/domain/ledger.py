"""The ledger: what every closing of a cast moved, from which every balance can be computed again.

Its rows are derived from the records alone, so that whoever writes them again writes the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Context, Decimal
from typing import Literal

from spellcast.domain import money, times
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.generations import Generation
from spellcast.domain.money import ZERO
from spellcast.domain.pricing import PricingPolicy

EntryKind = Literal["reserve", "settle", "release", "refund", "creatorShare"]

_WIDE = Context(prec=60, rounding=ROUND_FLOOR)


@dataclass(frozen=True, slots=True)
class Entry:
    """One movement, in US dollars and points; a creator's share is of a cast and names no generation.

    `reserve` = `settle` + `release` for every generation for which something was held. What a step cost beyond what was
    held for it was never free to be spent elsewhere either: it counts as reserved.
    """

    kind: EntryKind
    generation_id: str | None = None
    amount_usd: Decimal = ZERO
    points: int = 0


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """The entries of one closing of a cast, or of one late bill, in one account's ledger.

    `scope` is `<castId>#<execution>`, or the generation that was billed late. `day` is the one for whose budget the
    entries count, where the account had one.
    """

    account_id: str
    scope: str
    cast_id: str
    at: datetime
    entries: tuple[Entry, ...]
    day: str | None = None

    @property
    def row_id(self) -> str:
        """Sorts in the order of time."""
        return f"{times.to_text(self.at)}#{self.scope}"

    @property
    def settled_usd(self) -> Decimal:
        """What its generations cost, in US dollars."""
        return money.total(entry.amount_usd for entry in self.entries if entry.kind == "settle")

    def documents(self) -> list[Document]:
        """The entries as the API answers them."""
        day = {} if self.day is None else {"day": self.day}
        return [
            {
                "entryId": f"{entry.generation_id or self.scope}#{entry.kind}",
                "kind": entry.kind,
                "castId": self.cast_id,
                **({} if entry.generation_id is None else {"generationId": entry.generation_id}),
                "amountUsd": money.to_text(entry.amount_usd),
                "points": entry.points,
                "at": times.to_text(self.at),
                **day,
            }
            for entry in self.entries
        ]


@dataclass(frozen=True, slots=True)
class Balances:
    """What rows of one ledger add up to, in US dollars and points."""

    spent_usd: Decimal
    points_spent: int
    points_refunded: int
    points_earned: int


def is_late(cast: Cast, generation: Generation) -> bool:
    """Whether it was billed after the cast, or the part of it that it belongs to, had been closed."""
    closing = next((closing for closing in cast.closings if closing.execution >= generation.execution), None)
    return generation.billed_late and closing is not None and generation.generation_id not in closing.billed


def cost_at_closing(cast: Cast, generation: Generation) -> Decimal:
    """What the generation had cost when its part of the cast was closed, or has cost where that is still open."""
    return ZERO if is_late(cast, generation) else generation.cost_usd


def closing_rows(cast: Cast, generations: Iterable[Generation], pricing: PricingPolicy) -> list[LedgerRow]:
    """The rows of a closed cast's last closing; none where nothing was moved."""
    if not cast.closings or cast.ended_at is None:
        return []
    execution = cast.closings[-1].execution
    before = cast.closings[-2].execution if len(cast.closings) > 1 else 0
    entries = [
        entry
        for generation in generations
        if before < generation.execution <= execution
        for entry in _entries(generation, pricing, is_late=is_late(cast, generation))
    ]
    day = cast.daily_budget.day if cast.daily_budget else None
    return _rows(cast, f"{cast.cast_id}#{execution}", cast.ended_at, day, entries, pricing)


def late_rows(cast: Cast, generation: Generation, pricing: PricingPolicy) -> list[LedgerRow]:
    """The rows of a bill that came when its part of the cast had been closed; the caster's comes first."""
    if not is_late(cast, generation) or generation.billed_at is None:
        return []
    entries = _charged(generation, generation.cost_usd, generation.points_spent, pricing)
    day = generation.reservation.day if generation.reservation else None
    return _rows(cast, generation.generation_id, generation.billed_at, day, entries, pricing)


def balances(rows: Iterable[LedgerRow]) -> Balances:
    """The exact sums."""
    by_kind: dict[EntryKind, list[Entry]] = {}
    for row in rows:
        for entry in row.entries:
            by_kind.setdefault(entry.kind, []).append(entry)

    def points(kind: EntryKind) -> int:
        return sum(entry.points for entry in by_kind.get(kind, ()))

    spent = money.total(entry.amount_usd for entry in by_kind.get("settle", ()))
    return Balances(spent, points("settle"), points("refund"), points("creatorShare"))


def _entries(generation: Generation, pricing: PricingPolicy, *, is_late: bool) -> list[Entry]:
    cost, points = (ZERO, 0) if is_late else (generation.cost_usd, generation.points_spent)
    return [*_reserved(generation, cost), *_charged(generation, cost, points, pricing)]


def _reserved(generation: Generation, cost: Decimal) -> list[Entry]:
    held = generation.reservation.amount_usd if generation.reservation else ZERO
    if held == 0:
        return []
    reserved = max(held, cost)
    entries = [Entry("reserve", generation.generation_id, reserved)]
    if reserved > cost:
        entries.append(Entry("release", generation.generation_id, money.total([reserved, -cost])))
    return entries


def _charged(generation: Generation, cost: Decimal, points: int, pricing: PricingPolicy) -> list[Entry]:
    if cost == 0 and points == 0:
        return []
    entries = [Entry("settle", generation.generation_id, cost, points)]
    if pricing.refund_failed and generation.status != "completed" and points > 0:
        entries.append(Entry("refund", generation.generation_id, points=points))
    return entries


def _rows(
    cast: Cast, scope: str, at: datetime, day: str | None, entries: Sequence[Entry], pricing: PricingPolicy
) -> list[LedgerRow]:
    if not entries:
        return []
    rows = [LedgerRow(cast.account_id, scope, cast.cast_id, at, tuple(entries), day)]
    if cast.creator_id is not None:
        signs = {"settle": 1, "refund": -1}
        points = sum(signs.get(entry.kind, 0) * entry.points for entry in entries)
        share = int(_WIDE.multiply(pricing.creator_share, Decimal(points)).to_integral_value(ROUND_FLOOR))
        if share > 0:
            rows.append(LedgerRow(cast.creator_id, scope, cast.cast_id, at, (Entry("creatorShare", points=share),)))
    return rows
