"""Books what a closed cast has cost: on its account's day, and in the ledgers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spellcast.domain import money
from spellcast.domain.casts import Cast
from spellcast.domain.errors import WriteConflict
from spellcast.domain.generations import Generation
from spellcast.domain.ledger import closing_rows, cost_at_closing, late_rows
from spellcast.domain.money import ZERO
from spellcast.domain.pricing import PricingPolicy
from spellcast.ports.store import BudgetStore, CastStore, LedgerStore


@dataclass(frozen=True, slots=True)
class KeepAccounts:
    """Everything follows from the records as they are stored: whoever repeats it mends what was left undone."""

    casts: CastStore
    days: BudgetStore
    ledger: LedgerStore
    pricing: PricingPolicy

    def __call__(self, cast: Cast, generations: Sequence[Generation]) -> None:
        """Of a cast that is closed, with all of its generations."""
        days = {generation.reservation.day for generation in generations if generation.reservation}
        # An invocation may have died between what it held and the record that says so.
        for day in sorted(days | ({cast.daily_budget.day} if cast.daily_budget else set())):
            self._close_day(cast, day, generations)
        for row in closing_rows(cast, generations, self.pricing):
            self.ledger.put_row(row)
        self.of_late_bills(cast, generations)

    def of_late_bills(self, cast: Cast, generations: Sequence[Generation]) -> None:
        """Of bills that came after a closing; those that came before are part of it."""
        for generation in generations:
            for row in late_rows(cast, generation, self.pricing):
                if row.day is None:
                    self.ledger.put_row(row)
                else:
                    self.ledger.put_late_row(row, row.day)

    def _close_day(self, cast: Cast, day: str, generations: Sequence[Generation]) -> None:
        costs = {generation.generation_id: cost_at_closing(cast, generation) for generation in generations}
        while held := self.days.get_day(cast.account_id, day).of_cast(cast.cast_id):
            # What a cast holds that was resumed in the meantime is closed with it.
            now = self.casts.get_cast(cast.cast_id)
            if now is None or now.execution != cast.execution:
                return
            # Held by a process that died before its record was written: nothing was asked.
            cost = money.total(costs.get(holder, ZERO) for holder in held)
            try:
                self.days.close(cast.account_id, day, held, cost)
            except WriteConflict:
                continue
            return
