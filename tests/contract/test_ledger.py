"""ports.store.LedgerStore: rows that are written once and listed by their time."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain.budgets import Day, Reservation
from spellcast.domain.errors import InvalidInput
from spellcast.domain.ledger import Entry, LedgerRow
from spellcast.domain.times import to_text
from tests.contract import records
from tests.contract.deployment import stored_rows
from tests.contract.records import NOW, drawn, new_id
from tests.contract.stores import Cloud, Stores

BEGINNING, TODAY = "2000-01-01T00:00:00.000Z", "2026-01-31"
kinds = st.sampled_from(["reserve", "settle", "release", "refund", "creatorShare"])


def a_row(number: int, account_id: str = "alice", amount: str = "0.0000004", day: str | None = None) -> LedgerRow:
    """A cast that was closed after so many seconds."""
    entries = (Entry("settle", f"c{number}.0.1", Decimal(amount), 3),)
    return LedgerRow(account_id, f"c{number}#1", f"c{number}", NOW + timedelta(seconds=number), entries, day)


def listed(stores: Stores, account_id: str = "alice") -> list[LedgerRow]:
    return list(stores.ledger.all_rows(account_id, start=BEGINNING, end=None))


@drawn
@given(
    entries=st.lists(
        st.builds(Entry, kinds, st.none() | st.sampled_from(["c1.0.1", "c1.49.12"]), records.amounts, records.counts),
        max_size=4,
    ).map(tuple),
    at=records.moments,
    day=st.none() | records.days,
)
def test_rows_come_back_as_they_were_written(
    stores: Stores, entries: tuple[Entry, ...], at: object, day: str | None
) -> None:
    row = LedgerRow(new_id(), "c1#2", "c1", at, entries, day)  # type: ignore[arg-type]
    stores.ledger.put_row(row)
    assert listed(stores, row.account_id) == [row]


def test_a_row_is_written_once(stores: Stores) -> None:
    stores.ledger.put_row(a_row(1))
    stores.ledger.put_row(a_row(1, amount="5"))
    assert listed(stores) == [a_row(1)]


def test_a_late_bill_counts_on_its_day_once(stores: Stores) -> None:
    stores.days.reserve("alice", "c9.0.1", Reservation(TODAY, Decimal(1)), Decimal(1))
    for amount in ("0.25", "0.25", "7"):
        stores.ledger.put_late_row(a_row(1, amount=amount), TODAY)
    assert listed(stores) == [a_row(1, amount="0.25")]
    assert stores.days.get_day("alice", TODAY) == Day(Decimal("1.25"), {"c9.0.1": Decimal(1)})


def test_a_late_bill_may_be_the_first_of_its_day(stores: Stores) -> None:
    stores.ledger.put_late_row(a_row(1, amount="0.25"), TODAY)
    assert stores.days.get_day("alice", TODAY) == Day(Decimal("0.25"), {})


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_pages_hold_everything_once_the_latest_first(stores: Stores, limit: int) -> None:
    for number in range(7):
        stores.ledger.put_row(a_row(number))
    found: list[LedgerRow] = []
    cursor = None
    while True:
        page = stores.ledger.list_rows("alice", start=BEGINNING, end=None, limit=limit, cursor=cursor)
        assert 0 < len(page.items) <= limit
        found += page.items
        cursor = page.cursor
        if cursor is None:
            break
    assert found == [a_row(number) for number in reversed(range(7))]


def test_a_period_is_from_its_first_moment_before_its_last(stores: Stores) -> None:
    for number in range(4):
        stores.ledger.put_row(a_row(number))
    start, end = (to_text(NOW + timedelta(seconds=seconds)) for seconds in (1, 3))
    assert list(stores.ledger.all_rows("alice", start=start, end=end)) == [a_row(2), a_row(1)]
    page = stores.ledger.list_rows("alice", start=start, end=end, limit=5, cursor=None)
    assert (list(page.items), page.cursor) == ([a_row(2), a_row(1)], None)


def test_who_never_spent_anything_has_an_empty_ledger(stores: Stores) -> None:
    stores.ledger.put_row(a_row(1, "bob"))
    page = stores.ledger.list_rows("alice", start=BEGINNING, end=None, limit=5, cursor=None)
    assert (list(page.items), page.cursor, listed(stores)) == ([], None, [])


def test_a_cursor_leads_nobody_into_another_ledger(stores: Stores) -> None:
    for number in range(3):
        stores.ledger.put_row(a_row(number, "bob"))
    cursor = stores.ledger.list_rows("bob", start=BEGINNING, end=None, limit=1, cursor=None).cursor
    assert list(stores.ledger.list_rows("alice", start=BEGINNING, end=None, limit=5, cursor=cursor).items) == []


def test_a_cursor_of_a_later_period_is_refused(stores: Stores) -> None:
    for number in range(4):
        stores.ledger.put_row(a_row(number))
    cursor = stores.ledger.list_rows("alice", start=BEGINNING, end=None, limit=1, cursor=None).cursor
    with pytest.raises(InvalidInput, match="cursor: is of a later period"):
        stores.ledger.list_rows("alice", start=BEGINNING, end=to_text(NOW), limit=5, cursor=cursor)


def test_nothing_is_left_where_the_period_begins_after_the_last_part(stores: Stores) -> None:
    for number in range(4):
        stores.ledger.put_row(a_row(number))
    cursor = stores.ledger.list_rows("alice", start=BEGINNING, end=None, limit=3, cursor=None).cursor
    later = to_text(NOW + timedelta(seconds=2))
    page = stores.ledger.list_rows("alice", start=later, end=None, limit=5, cursor=cursor)
    assert (list(page.items), page.cursor) == ([], None)


@pytest.mark.parametrize("cursor", ["x", "", "é", "AAAA", "LS0t"])
def test_a_cursor_that_is_none_is_refused(stores: Stores, cursor: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        stores.ledger.list_rows("alice", start=BEGINNING, end=None, limit=5, cursor=cursor)


def test_the_row_of_a_cast_of_three_steps_is_one_unit(cloud: Cloud) -> None:
    cast_id = new_id()
    entries = [
        Entry(kind, f"{cast_id}.{step}.1", Decimal("0.000000400001"), 356)
        for step in range(3)
        for kind in ("reserve", "release", "settle")
    ]
    cloud.ledger.put_row(LedgerRow(new_id(), f"{cast_id}#1", cast_id, NOW, tuple(entries), TODAY))
    [row] = stored_rows(cloud.dynamodb)
    assert sum(len(name) + len(next(iter(value.values()))) for name, value in row.items()) < 1_024
