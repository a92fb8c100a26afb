"""What counts for accounts' days: one row a day, with a total and what is held of it for each open generation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from spellcast.aws.table import Table, Update
from spellcast.domain import money
from spellcast.domain.budgets import Day, Reservation
from spellcast.domain.money import ZERO

DAY = "DAY"
# An attribute for each generation: no map has to be made before the first, and each can be a condition.
_HELD = "held:"


@dataclass(frozen=True, slots=True)
class DynamoBudgetStore:
    """Implements `ports.store.BudgetStore`. Every change is one conditional update."""

    table: Table

    def get_day(self, account_id: str, day: str) -> Day:
        """One read."""
        row = self.table.get(*_key(account_id, day)) or {}
        held = {name.removeprefix(_HELD): Decimal(row[name]) for name in row if name.startswith(_HELD)}
        return Day(Decimal(row.get("total", 0)), held)

    def reserve(
        self,
        account_id: str,
        generation_id: str,
        reservation: Reservation,
        most_usd: Decimal,
        before: Decimal | None = None,
    ) -> None:
        """Raises WriteConflict where not `before` is held for it, or the day would be over `most_usd`."""
        more = money.total([reservation.amount_usd, -(before or ZERO)])
        held = "attribute_not_exists(#held)" if before is None else "#held = :before"
        self.table.update(
            Update(
                *_key(account_id, reservation.day),
                "SET #entity = :entity, #total = if_not_exists(#total, :zero) + :more, #held = :amount",
                {"#entity": "entity", "#total": "total", "#held": _HELD + generation_id},
                {
                    ":entity": DAY,
                    ":zero": ZERO,
                    ":amount": reservation.amount_usd,
                    ":more": more,
                    ":room": money.total([most_usd, -more]),
                    **({} if before is None else {":before": before}),
                },
                # Of a row that is not there nothing can be taken but what fits into the whole.
                f"{held} AND ((attribute_not_exists(#total) AND :room >= :zero) OR #total <= :room)",
            )
        )

    def settle(self, account_id: str, generation_id: str, reservation: Reservation, cost_usd: Decimal) -> None:
        """Raises WriteConflict where that is not what is held for it any more."""
        self.table.update(
            Update(
                *_key(account_id, reservation.day),
                "SET #total = #total + :change, #held = :cost",
                {"#total": "total", "#held": _HELD + generation_id},
                {
                    ":change": money.total([cost_usd, -reservation.amount_usd]),
                    ":cost": cost_usd,
                    ":reserved": reservation.amount_usd,
                },
                "#held = :reserved",
            )
        )

    def close(self, account_id: str, day: str, held: Mapping[str, Decimal], cost_usd: Decimal) -> None:
        """Raises WriteConflict where that is not what is held for these generations any more."""
        names = {f"#held{number}": _HELD + holder for number, holder in enumerate(held)}
        amounts = {f":held{number}": amount for number, amount in enumerate(held.values())}
        self.table.update(
            Update(
                *_key(account_id, day),
                f"SET #total = #total + :change REMOVE {', '.join(names)}",
                {"#total": "total", **names},
                {":change": money.total([cost_usd, -money.total(held.values())]), **amounts},
                " AND ".join(f"{name} = {amount}" for name, amount in zip(names, amounts, strict=True)),
            )
        )


def settled_late(account_id: str, day: str, cost_usd: Decimal) -> Update:
    """A bill of a generation for which nothing is held any more."""
    return Update(
        *_key(account_id, day),
        "SET #entity = :entity, #total = if_not_exists(#total, :zero) + :cost",
        {"#entity": "entity", "#total": "total"},
        {":entity": DAY, ":zero": ZERO, ":cost": cost_usd},
    )


def _key(account_id: str, day: str) -> tuple[str, str]:
    return f"{DAY}#{account_id}", day
