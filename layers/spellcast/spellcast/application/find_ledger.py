"""Finds what an account has spent and earned."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from spellcast.domain import money, times
from spellcast.domain.budgets import daily_budget
from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault, InvalidInput
from spellcast.domain.ledger import balances
from spellcast.ports.clock import Clock
from spellcast.ports.store import BudgetStore, LedgerStore, SettingsStore

# All rows of a period are read for its balances.
LONGEST_PERIOD = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class FindLedger:
    """Balances are computed of the rows whenever they are asked for: there is no second figure that could differ."""

    ledger: LedgerStore
    days: BudgetStore
    settings: SettingsStore
    clock: Clock
    daily_budget_usd: Decimal | None = None

    def __call__(
        self, account_id: str, *, start: datetime | None, end: datetime | None, limit: int, cursor: str | None
    ) -> Document:
        """Entries from `start`, before `end`, latest first, of at most `limit` closings; balances with the first part.

        Raises InvalidInput for a period that ends before it begins or has more than 31 days, or a wrong cursor.
        """
        latest = end or self.clock.now()
        begins = start or latest - LONGEST_PERIOD
        if not begins <= latest <= begins + LONGEST_PERIOD:
            wanted = f"is before `to`, by {LONGEST_PERIOD.days} days at most; without one `to` is now"
            raise InvalidInput([Fault("from", wanted)])
        first, last = times.to_text(begins), None if end is None else times.to_text(end)
        page = self.ledger.list_rows(account_id, start=first, end=last, limit=limit, cursor=cursor)
        return {
            "entries": [entry for row in page.items for entry in row.documents()],
            **({"cursor": page.cursor} if page.cursor else {}),
            **({} if cursor else {"balances": self._balances(account_id, first, last)}),
        }

    def _balances(self, account_id: str, start: str, end: str | None) -> Document:
        found = balances(self.ledger.all_rows(account_id, start=start, end=end))
        today = self._today(account_id)
        return {
            "spentUsd": money.to_text(found.spent_usd),
            "pointsSpent": found.points_spent,
            "pointsRefunded": found.points_refunded,
            "pointsEarned": found.points_earned,
            **({"today": today} if today else {}),
        }

    def _today(self, account_id: str) -> Document | None:
        own = self.settings.get_settings(account_id).daily_budget_usd
        budget = daily_budget(own, self.daily_budget_usd, self.clock.now())
        if budget is None:
            return None
        day = self.days.get_day(account_id, budget.day)
        return {
            "day": budget.day,
            "budgetUsd": money.to_text(budget.most_usd),
            "spentUsd": money.to_text(day.spent_usd),
            "reservedUsd": money.to_text(day.held_usd),
        }
