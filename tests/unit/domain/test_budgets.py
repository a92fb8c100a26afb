from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from spellcast.domain.budgets import DailyBudget, Day, daily_budget, day_of
from tests.fakes.clock import START


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (datetime(2026, 1, 31, 23, 59, 59, 999_000, tzinfo=UTC), "2026-01-31"),
        (datetime(2026, 2, 1, tzinfo=UTC), "2026-02-01"),
        (datetime(2026, 2, 1, 1, tzinfo=timezone(timedelta(hours=2))), "2026-01-31"),
    ],
)
def test_a_day_is_utcs(moment: datetime, day: str) -> None:
    assert day_of(moment) == day


@pytest.mark.parametrize(
    ("own", "default", "most"),
    [
        (None, None, None),
        (None, Decimal(5), Decimal(5)),
        (Decimal(7), Decimal(5), Decimal(7)),
        (Decimal(0), Decimal(5), Decimal(0)),
        (Decimal(7), None, Decimal(7)),
    ],
)
def test_an_accounts_own_budget_comes_before_the_platforms(
    own: Decimal | None, default: Decimal | None, most: Decimal | None
) -> None:
    assert daily_budget(own, default, START) == (None if most is None else DailyBudget("2026-01-31", most))


def test_what_is_held_is_not_spent() -> None:
    day = Day(Decimal("3.5"), {"c1.0.1": Decimal(1), "c1.1.1": Decimal("0.25"), "c10.0.1": Decimal("0.0000001")})
    assert (day.held_usd, day.spent_usd) == (Decimal("1.2500001"), Decimal("2.2499999"))
    assert day.of_cast("c1") == {"c1.0.1": Decimal(1), "c1.1.1": Decimal("0.25")}
    assert day.of_cast("c") == {}
    assert Day().held_usd == Day().spent_usd == 0
