from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain import money
from spellcast.domain.budgets import DailyBudget, Reservation
from spellcast.domain.casts import Cast, Closing
from spellcast.domain.generations import Generation
from spellcast.domain.ledger import (
    Entry,
    LedgerRow,
    balances,
    closing_rows,
    cost_at_closing,
    is_late,
    late_rows,
)
from spellcast.domain.pricing import PricingPolicy
from tests.fakes.clock import START
from tests.fakes.records import a_cast, a_generation, in_seconds

ORIGINAL = PricingPolicy()
SHARING = PricingPolicy(refund_failed=True, creator_share=Decimal("0.7"))
TODAY = "2026-01-31"


def closed(*, execution: int = 1, **changes: Any) -> Cast:
    values: dict[str, Any] = {"status": "completed", "completed_at": in_seconds(9), "closings": (Closing(execution),)}
    return a_cast(execution=execution, **{**values, **changes})


def ended(
    step: int = 0, cost: str = "0", points: int = 0, held: str | None = None, status: str = "completed", **more: Any
) -> Generation:
    reservation = None if held is None else Reservation(TODAY, Decimal(held))
    return a_generation(
        step_index=step, status=status, cost_usd=Decimal(cost), points_spent=points, reservation=reservation, **more
    )


def entries(rows: list[LedgerRow]) -> list[tuple[str, str | None, str, int]]:
    [row] = rows
    return [(entry.kind, entry.generation_id, money.to_text(entry.amount_usd), entry.points) for entry in row.entries]


# --- a closing ---


@pytest.mark.parametrize(
    ("generation", "expected"),
    [
        pytest.param(ended(cost="0.03", points=9), [("settle", "0.03", 9)], id="without a budget"),
        pytest.param(ended(points=3), [("settle", "0", 3)], id="the platform's floor, of what costs nothing"),
        pytest.param(
            ended(cost="0.03", points=9, held="0.03"), [("reserve", "0.03", 0), ("settle", "0.03", 9)], id="as expected"
        ),
        pytest.param(
            ended(cost="0.03", points=9, held="0.05"),
            [("reserve", "0.05", 0), ("release", "0.02", 0), ("settle", "0.03", 9)],
            id="cheaper than expected",
        ),
        pytest.param(
            ended(cost="0.03", points=9, held="0.01"),
            [("reserve", "0.03", 0), ("settle", "0.03", 9)],
            id="dearer than expected",
        ),
        pytest.param(
            ended(held="0.05", status="failed"), [("reserve", "0.05", 0), ("release", "0.05", 0)], id="not billed"
        ),
        pytest.param(ended(cost="0.03", points=9, status="failed"), [("settle", "0.03", 9)], id="failed and billed"),
    ],
)
def test_what_a_generation_moved(generation: Generation, expected: list[tuple[str, str, int]]) -> None:
    rows = closing_rows(closed(), [generation], ORIGINAL)
    assert entries(rows) == [(kind, "c1.0.1", amount, points) for kind, amount, points in expected]


@pytest.mark.parametrize("generation", [ended(), ended(held="0"), ended(status="failed")])
def test_what_moved_nothing_is_not_written(generation: Generation) -> None:
    assert closing_rows(closed(), [generation], SHARING) == []


def test_the_row_is_the_casts_and_of_its_closing() -> None:
    cast = closed(execution=2, daily_budget=DailyBudget(TODAY, Decimal(5)))
    [row] = closing_rows(cast, [ended(cost="1", points=3)], ORIGINAL)
    assert (row.account_id, row.scope, row.cast_id, row.at, row.day) == ("alice", "c1#2", "c1", in_seconds(9), TODAY)
    assert row.row_id == "2026-01-31T12:00:09.000Z#c1#2"
    assert row.settled_usd == 1


def test_a_cast_that_runs_or_was_closed_before_there_were_ledgers_has_no_row() -> None:
    generations = [ended(cost="1")]
    assert closing_rows(a_cast(), generations, ORIGINAL) == []
    assert closing_rows(closed(closings=()), generations, ORIGINAL) == []
    assert closing_rows(a_cast(closings=(Closing(1),), execution=2), generations, ORIGINAL) == []


def test_a_closing_has_what_was_begun_since_the_one_before() -> None:
    cast = closed(execution=4, closings=(Closing(1), Closing(2), Closing(4)))
    generations = [ended(step, cost="1", execution=step + 1) for step in range(5)]
    assert [generation_id for _, generation_id, *_ in entries(closing_rows(cast, generations, ORIGINAL))] == [
        "c1.2.1",
        "c1.3.1",
    ]


# --- points that go back, and a creator's share ---


@pytest.mark.parametrize(("points", "kinds"), [(0, ["settle"]), (1, ["settle", "refund"])])
def test_the_least_that_is_given_back_is_a_point(points: int, kinds: list[str]) -> None:
    [row] = closing_rows(closed(), [ended(cost="0.03", points=points, status="failed")], SHARING)
    assert [entry.kind for entry in row.entries] == kinds


@pytest.mark.parametrize(("status", "refunded"), [("failed", True), ("cancelled", True), ("completed", False)])
def test_points_of_what_failed_are_given_back_and_dollars_are_not(status: str, refunded: bool) -> None:
    rows = closing_rows(closed(), [ended(cost="0.03", points=9, status=status)], SHARING)
    refund = [("refund", "c1.0.1", "0", 9)] if refunded else []
    assert entries(rows) == [("settle", "c1.0.1", "0.03", 9), *refund]
    assert balances(rows).spent_usd == Decimal("0.03")


@pytest.mark.parametrize(
    ("points", "share", "earned"),
    [(446, "0.7", 312), (10, "0.7", 7), (9, "0.7", 6), (9, "1", 9), (2, "0.7", 1), (1, "0.7", 0)],
)
def test_a_creator_gets_its_share_rounded_down(points: int, share: str, earned: int) -> None:
    policy = PricingPolicy(creator_share=Decimal(share))
    own, *creators = closing_rows(closed(creator_id="bob"), [ended(cost="1", points=points)], policy)
    assert own.account_id == "alice"
    expected = LedgerRow("bob", "c1#1", "c1", in_seconds(9), (Entry("creatorShare", points=earned),))
    assert creators == ([expected] if earned else [])


def test_a_creator_gets_nothing_of_what_is_given_back_nor_of_its_own_casts() -> None:
    generations = [ended(0, "1", 10), ended(1, "1", 100, status="failed")]
    rows = closing_rows(closed(creator_id="bob"), generations, SHARING)
    assert balances(rows[1:]).points_earned == 7
    assert len(closing_rows(closed(), generations, SHARING)) == 1
    assert len(closing_rows(closed(creator_id="bob"), [generations[1]], SHARING)) == 1


# --- late bills ---


def billed(**more: Any) -> Generation:
    return ended(cost="0.5", points=5, status="failed", billed_late=True, billed_at=in_seconds(60), **more)


@pytest.mark.parametrize(
    ("closings", "execution", "late"),
    [
        ((), 1, False),
        ((Closing(1),), 1, True),
        ((Closing(1, ("c1.0.1",)),), 1, False),
        ((Closing(1),), 2, False),
        ((Closing(1), Closing(3)), 2, True),
        ((Closing(1), Closing(3, ("c1.0.1",))), 2, False),
        ((Closing(1), Closing(3, ("c1.0.1",))), 1, True),
    ],
)
def test_a_bill_is_late_where_the_closing_did_not_have_it(
    closings: tuple[Closing, ...], execution: int, late: bool
) -> None:
    cast, generation = closed(closings=closings), billed(execution=execution)
    assert is_late(cast, generation) == late
    assert cost_at_closing(cast, generation) == (0 if late else Decimal("0.5"))
    assert bool(late_rows(cast, generation, ORIGINAL)) == late


def test_a_generation_that_was_never_billed_late_is_not_late() -> None:
    assert not is_late(closed(), ended(cost="1"))
    assert late_rows(closed(), ended(cost="1"), ORIGINAL) == []


def test_a_late_bill_is_a_row_of_its_own_on_the_day_of_its_reservation() -> None:
    cast, generation = closed(creator_id="bob", status="failed"), billed(held="2")
    assert entries(closing_rows(cast, [generation], ORIGINAL)) == [
        ("reserve", "c1.0.1", "2", 0),
        ("release", "c1.0.1", "2", 0),
    ]
    policy = PricingPolicy(creator_share=Decimal("0.5"))
    row, creators = late_rows(cast, generation, policy)
    assert row == LedgerRow(
        "alice", "c1.0.1", "c1", in_seconds(60), (Entry("settle", "c1.0.1", Decimal("0.5"), 5),), TODAY
    )
    assert creators == LedgerRow("bob", "c1.0.1", "c1", in_seconds(60), (Entry("creatorShare", points=2),))
    [row] = late_rows(cast, replace(generation, reservation=None), SHARING)
    assert (row.day, [entry.kind for entry in row.entries]) == (None, ["settle", "refund"])


# --- what callers see, and sums ---


def test_entries_are_shown_with_derived_ids() -> None:
    row = LedgerRow(
        "alice",
        "c1#1",
        "c1",
        START,
        (Entry("settle", "c1.0.1", Decimal("4E-7"), 3), Entry("creatorShare", points=7)),
        TODAY,
    )
    common = {"castId": "c1", "at": "2026-01-31T12:00:00.000Z", "day": TODAY}
    settle = {"entryId": "c1.0.1#settle", "kind": "settle", "generationId": "c1.0.1", "amountUsd": "0.0000004"}
    share = {"entryId": "c1#1#creatorShare", "kind": "creatorShare", "amountUsd": "0", "points": 7}
    assert row.documents() == [{**common, **settle, "points": 3}, {**common, **share}]
    assert "day" not in replace(row, day=None).documents()[0]


costs = st.one_of(
    st.decimals(min_value=0, max_value=1000, places=12),
    st.integers(0, 10**4).map(lambda units: Decimal(units).scaleb(-7)),
    st.just(Decimal(0)),
)
generations = st.builds(
    lambda step, attempt, execution, status, cost, points, held: a_generation(
        step_index=step,
        attempt=attempt,
        execution=execution,
        status=status,
        cost_usd=cost,
        points_spent=points,
        reservation=None if held is None else Reservation(TODAY, held),
        billed_late=status == "failed" and points % 3 == 0,
        billed_at=in_seconds(60),
    ),
    st.integers(0, 5),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from(["completed", "failed", "cancelled"]),
    costs,
    st.integers(0, 10**6),
    st.none() | costs,
)


@given(
    st.lists(generations, max_size=8, unique_by=lambda item: item.generation_id),
    st.sampled_from([(1,), (3,), (1, 3), (2, 3), (1, 2, 3)]),
    st.sampled_from([ORIGINAL, SHARING]),
    st.booleans(),
)
def test_every_balance_can_be_computed_again(
    found: list[Generation], executions: tuple[int, ...], pricing: PricingPolicy, in_sum: bool
) -> None:
    """Over all closings and late bills: nothing twice, nothing lost, nothing left reserved."""
    # An attempt belongs to an execution that was closed, sooner or later.
    own = [generation for generation in found if generation.execution <= executions[-1]]
    late = tuple(item.generation_id for item in own if item.billed_late) if in_sum else ()
    rows: list[LedgerRow] = []
    closings: tuple[Closing, ...] = ()
    cast = closed()
    for execution in executions:
        closings = (*closings, Closing(execution, late))
        cast = closed(execution=execution, closings=closings)
        rows += closing_rows(cast, own, pricing)
    for generation in own:
        rows += late_rows(cast, generation, pricing)
    ids = [document["entryId"] for row in rows for document in row.documents()]
    assert len(set(ids)) == len(ids)
    moved = [entry for row in rows for entry in row.entries]
    for generation in own:
        by_kind = {entry.kind: entry for entry in moved if entry.generation_id == generation.generation_id}
        settle, reserve, release = (by_kind.get(kind, Entry(kind)) for kind in ("settle", "reserve", "release"))
        assert (settle.amount_usd, settle.points) == (generation.cost_usd, generation.points_spent)
        if "reserve" in by_kind and not is_late(cast, generation):
            assert reserve.amount_usd == settle.amount_usd + release.amount_usd
        assert reserve.amount_usd >= release.amount_usd
    sums = balances(rows)
    assert Fraction(sums.spent_usd) == sum((Fraction(item.cost_usd) for item in own), Fraction(0))
    assert sums.points_spent == sum(item.points_spent for item in own)
    refunded = sum(item.points_spent for item in own if item.status != "completed") if pricing.refund_failed else 0
    assert (sums.points_refunded, sums.points_earned) == (refunded, 0)


def test_ten_thousand_casts_of_random_costs_are_summed_to_the_last_unit() -> None:
    """Retries, refunds and units of a ten-millionth, against whole numbers (reliability.md, item 8)."""
    chance = random.Random(20260131)
    for _ in range(10_000):
        units = [chance.choice([0, 1, chance.randrange(10**4), chance.randrange(10**13)]) for _ in range(6)]
        attempts = [
            ended(
                number // 2,
                str(Decimal(unit).scaleb(-7)),
                chance.randrange(10**6),
                held=chance.choice([None, "0.0000001", "1"]),
                status=chance.choice(["completed", "failed"]),
                attempt=number % 2 + 1,
            )
            for number, unit in enumerate(units)
        ]
        cost = money.total(item.cost_usd for item in attempts)
        assert cost == Decimal(sum(units)).scaleb(-7)
        sums = balances(closing_rows(closed(), attempts, SHARING))
        assert sums.spent_usd == cost
        assert sums.points_spent - sums.points_refunded == sum(
            item.points_spent for item in attempts if item.status == "completed"
        )
