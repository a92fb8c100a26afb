"""docs/load.md says what follows from counts, prices and quotas, and its words fit its figures."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

from tests.bench.load import HEAVY, PAGE, PEAK, RATES, SHAPES, quotas, used, written

DOCUMENT = PAGE.read_text("utf-8")


def test_its_tables_are_those_of_the_model() -> None:
    assert written(DOCUMENT) == DOCUMENT, "python -m tests.bench.load writes them anew"


def test_a_table_that_says_something_else_is_noticed() -> None:
    assert written(DOCUMENT.replace("| 11 |", "| 12 |", 1)) == DOCUMENT


@pytest.mark.parametrize(("name", "budget"), [("3 immediate", "0.17"), ("3 webhook", "0.35")])
def test_the_prices_are_within_the_budgets(name: str, budget: str) -> None:
    assert SHAPES[name].usd_per_thousand <= Decimal(budget)


def test_what_it_says_binds_first_is_what_binds_first() -> None:
    """Our own throttles, then Lambda, then an unwarmed table; at 1,000 an hour nothing."""
    names = [quota.name.partition(":")[0] for quota in quotas()]
    assert [quota.ours for quota in quotas()][:3] == [True, True, False]
    assert names[2:6] == ["Lambda", "DynamoDB", "Step Functions", "Step Functions"]
    assert not [quota.name for quota in quotas() for rate in RATES[:2] if used(quota, rate) > 0.5]
    bound = [quota.name for quota in quotas() if used(quota, RATES[2]) > 1]
    assert len(bound) == 4


def test_what_it_tells_to_raise_is_enough_for_a_hundred_thousand() -> None:
    casts, requests, lambdas = (
        int(re.search(pattern, " ".join(DOCUMENT.split()))[1].replace(",", ""))  # type: ignore[index]
        for pattern in (r"raise `Casts` to ([\d,]+)", r"`Requests` to ([\d,]+)", r"ask for ([\d,]+)")
    )
    peak = PEAK * RATES[2] / 3600
    assert peak < casts
    assert peak * (HEAVY.http - 1) < requests
    assert peak * HEAVY.busy_seconds < lambdas
