"""ports.store.BudgetStore: what is held and spent of a day, each change one write on the condition that it fits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain import money
from spellcast.domain.budgets import Day, Reservation
from spellcast.domain.errors import WriteConflict
from tests.contract.records import drawn, new_id
from tests.contract.stores import Stores

TODAY = "2026-01-31"
# moto keeps sums under a millionth with an exponent, and cannot add to them.
amounts = st.decimals(min_value="0.01", max_value=10**6, places=12)


def reservation(amount: str, day: str = TODAY) -> Reservation:
    return Reservation(day, Decimal(amount))


def reserve(stores: Stores, holder: str, amount: str, most: str = "10", account_id: str = "alice") -> None:
    stores.days.reserve(account_id, holder, reservation(amount), Decimal(most))


def test_a_day_on_which_nothing_happened_is_zero(stores: Stores) -> None:
    assert stores.days.get_day("alice", TODAY) == Day(Decimal(0), {})


def test_what_is_held_and_spent_adds_up(stores: Stores) -> None:
    reserve(stores, "c1.0.1", "1.25")
    reserve(stores, "c1.1.1", "0")
    reserve(stores, "c2.0.1", "0.000000000001")
    held = {"c1.0.1": Decimal("1.25"), "c1.1.1": Decimal(0), "c2.0.1": Decimal("0.000000000001")}
    assert stores.days.get_day("alice", TODAY) == Day(Decimal("1.250000000001"), held)
    stores.days.settle("alice", "c1.0.1", reservation("1.25"), Decimal("2.5"))
    held["c1.0.1"] = Decimal("2.5")
    assert stores.days.get_day("alice", TODAY) == Day(Decimal("2.500000000001"), held)
    of_cast = stores.days.get_day("alice", TODAY).of_cast("c1")
    stores.days.close("alice", TODAY, of_cast, Decimal(3))
    assert stores.days.get_day("alice", TODAY) == Day(Decimal("3.000000000001"), {"c2.0.1": Decimal("0.000000000001")})


def test_the_last_cent_may_be_spent_and_not_one_more(stores: Stores) -> None:
    reserve(stores, "c1.0.1", "9.99")
    with pytest.raises(WriteConflict):
        reserve(stores, "c2.0.1", "0.010000000001")
    reserve(stores, "c2.0.1", "0.01")
    with pytest.raises(WriteConflict):
        reserve(stores, "c3.0.1", "0.000000000001")
    assert stores.days.get_day("alice", TODAY).total_usd == 10


@pytest.mark.parametrize(("amount", "most"), [("10.01", "10"), ("0.01", "0")])
def test_the_first_of_a_day_must_fit_too(stores: Stores, amount: str, most: str) -> None:
    with pytest.raises(WriteConflict):
        reserve(stores, "c1.0.1", amount, most)
    assert stores.days.get_day("alice", TODAY) == Day(Decimal(0), {})


def test_what_costs_nothing_fits_into_a_budget_of_nothing_and_into_none_that_is_passed(stores: Stores) -> None:
    reserve(stores, "c1.0.1", "0", "0")
    stores.days.settle("alice", "c1.0.1", reservation("0"), Decimal(1))
    with pytest.raises(WriteConflict):
        reserve(stores, "c2.0.1", "0", "0")


def test_a_step_reserves_once(stores: Stores) -> None:
    reserve(stores, "c1.0.1", "1")
    for amount in ("1", "2"):
        with pytest.raises(WriteConflict):
            reserve(stores, "c1.0.1", amount)
    assert stores.days.get_day("alice", TODAY) == Day(Decimal(1), {"c1.0.1": Decimal(1)})


def test_another_amount_takes_the_place_of_the_one_that_was_read(stores: Stores) -> None:
    reserve(stores, "c1.0.1", "4")
    reserve(stores, "c2.0.1", "4")
    for amount, before in (("6.01", "4"), ("5", "3"), ("5", None)):
        with pytest.raises(WriteConflict):
            stores.days.reserve(
                "alice", "c1.0.1", reservation(amount), Decimal(10), None if before is None else Decimal(before)
            )
    stores.days.reserve("alice", "c1.0.1", reservation("6"), Decimal(10), Decimal(4))
    assert stores.days.get_day("alice", TODAY) == Day(Decimal(10), {"c1.0.1": Decimal(6), "c2.0.1": Decimal(4)})
    stores.days.reserve("alice", "c1.0.1", reservation("1"), Decimal(10), Decimal(6))
    assert stores.days.get_day("alice", TODAY).total_usd == 5
    with pytest.raises(WriteConflict):
        stores.days.reserve("alice", "c9.0.1", reservation("1"), Decimal(10), Decimal(6))


def test_a_step_is_settled_once(stores: Stores) -> None:
    reserve(stores, "c1.0.1", "1")
    stores.days.settle("alice", "c1.0.1", reservation("1"), Decimal("0.5"))
    with pytest.raises(WriteConflict):
        stores.days.settle("alice", "c1.0.1", reservation("1"), Decimal("0.5"))
    with pytest.raises(WriteConflict):
        stores.days.settle("alice", "c9.0.1", reservation("1"), Decimal("0.5"))
    assert stores.days.get_day("alice", TODAY).total_usd == Decimal("0.5")


@pytest.mark.parametrize("seen", [{"c1.0.1": "2"}, {"c1.0.1": "1", "c1.1.1": "1"}])
def test_a_cast_is_closed_as_it_was_read_or_not_at_all(stores: Stores, seen: dict[str, str]) -> None:
    reserve(stores, "c1.0.1", "1")
    before = stores.days.get_day("alice", TODAY)
    with pytest.raises(WriteConflict):
        stores.days.close("alice", TODAY, {holder: Decimal(amount) for holder, amount in seen.items()}, Decimal(5))
    assert stores.days.get_day("alice", TODAY) == before
    stores.days.close("alice", TODAY, before.held, Decimal(5))
    with pytest.raises(WriteConflict):
        stores.days.close("alice", TODAY, before.held, Decimal(5))
    assert stores.days.get_day("alice", TODAY) == Day(Decimal(5), {})


def test_accounts_and_days_have_their_own(stores: Stores) -> None:
    reserve(stores, "c1.0.1", "10")
    reserve(stores, "c2.0.1", "10", account_id="bob")
    stores.days.reserve("alice", "c3.0.1", reservation("10", "2026-02-01"), Decimal(10))
    assert stores.days.get_day("alice", "2026-02-01").held == {"c3.0.1": Decimal(10)}
    assert stores.days.get_day("alic", TODAY) == stores.days.get_day("alice", "2026-01-3") == Day()


def test_of_fifty_at_once_as_many_start_as_fit(stores: Stores) -> None:
    def start(number: int) -> bool:
        try:
            reserve(stores, f"c{number}.0.1", "1.00", "10.00")
        except WriteConflict:
            return False
        return True

    with ThreadPoolExecutor(16) as crowd:
        assert sum(crowd.map(start, range(50))) == 10
    day = stores.days.get_day("alice", TODAY)
    assert day.total_usd == len(day.held) == 10


@drawn
@given(steps=st.lists(st.tuples(amounts, amounts), min_size=1, max_size=6))
def test_the_total_is_the_exact_sum_at_every_moment(stores: Stores, steps: list[tuple[Decimal, Decimal]]) -> None:
    account_id = new_id()
    for number, (expected, cost) in enumerate(steps):
        held = Reservation(TODAY, expected)
        stores.days.reserve(account_id, f"c.{number}.1", held, Decimal(10**9))
        if number % 2:
            stores.days.settle(account_id, f"c.{number}.1", held, cost)
        day = stores.days.get_day(account_id, TODAY)
        assert day.total_usd == day.held_usd
        assert day.spent_usd == 0
    total = money.total(cost for _, cost in steps)
    stores.days.close(account_id, TODAY, stores.days.get_day(account_id, TODAY).held, total)
    assert stores.days.get_day(account_id, TODAY) == Day(total, {})
