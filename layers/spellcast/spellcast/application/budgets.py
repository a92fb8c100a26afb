"""What a step may spend: asked of its cast's budget and held of its account's day, before anything is reserved."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from spellcast.application.segment_run import SegmentRun
from spellcast.domain import money, quotes
from spellcast.domain.budgets import Reservation
from spellcast.domain.errors import BudgetExceeded, WriteConflict
from spellcast.domain.generations import Generation
from spellcast.domain.money import ZERO
from spellcast.domain.tools import Tool
from spellcast.observability import logger
from spellcast.ports.store import BudgetStore, HistoryStore


@dataclass(frozen=True, slots=True)
class Budgets:
    """Nothing is read or written for a cast without a budget whose account has none either."""

    days: BudgetStore
    history: HistoryStore

    def expect(self, run: SegmentRun, reserved: Generation, tool: Tool) -> Decimal:
        """US dollars that the step will probably cost; zero where there is no budget.

        Raises BudgetExceeded where that would pass the cast's budget with what it has cost, all attempts included.
        """
        budget = run.cast.budget_usd
        if budget is None and run.cast.daily_budget is None:
            return ZERO
        runs = self.history.list_runs(reserved.account_id, {tool.tool_id})[tool.tool_id]
        expected = quotes.expected(tool, reserved.request_payload, runs).cost_usd
        spent = money.total(generation.cost_usd for generation in run.generations.values())
        if budget is not None and money.total([spent, expected]) > budget:
            raise BudgetExceeded(
                f"${money.to_text(spent)} of the budget of ${money.to_text(budget)} are spent, "
                f"and {tool.display_name} is expected to cost ${money.to_text(expected)}."
            )
        return expected

    def hold(self, run: SegmentRun, reserved: Generation, tool: Tool, expected: Decimal) -> Generation:
        """The step, not yet written, with what is held for it of its account's day, if that has a budget.

        Raises BudgetExceeded. What is held for the step already, by an invocation that died or for its first tool, is
        held once: the amount is the newest expectation.
        """
        daily = run.cast.daily_budget
        if daily is None:
            return reserved
        account_id, holder = reserved.account_id, reserved.generation_id
        reservation = Reservation(daily.day, expected)
        before: Decimal | None = None
        while True:
            try:
                self.days.reserve(account_id, holder, reservation, daily.most_usd, before)
                return reserved.counting(reservation)
            except WriteConflict:
                day = self.days.get_day(account_id, daily.day)
            before = day.held.get(holder)
            if before == expected:
                return reserved.counting(reservation)
            others = money.total([day.held_usd, -(before or ZERO)])
            if money.total([day.spent_usd, others, expected]) > daily.most_usd:
                raise BudgetExceeded(
                    f"${money.to_text(day.spent_usd)} of the account's budget of ${money.to_text(daily.most_usd)} for "
                    f"{daily.day} (UTC) are spent and ${money.to_text(others)} reserved, "
                    f"and {tool.display_name} is expected to cost ${money.to_text(expected)}."
                )
            # Somebody's end has left room in between, or it is another amount that is held.

    def settle(self, ended: Generation) -> None:
        """Holds what the step has cost, where that is not what it was expected to; a repeat changes nothing.

        What fails here is done when the cast is closed.
        """
        reservation = ended.reservation
        if reservation is None or reservation.amount_usd == ended.cost_usd:
            return
        try:
            self.days.settle(ended.account_id, ended.generation_id, reservation, ended.cost_usd)
        except WriteConflict:
            return
        except Exception:
            logger().exception("A step's cost counts when its cast is closed", generationId=ended.generation_id)
