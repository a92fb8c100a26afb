"""ports.store.CastStore: casts and their generations."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given

from spellcast.domain.casts import Cast, CastStatus, OpenCast
from spellcast.domain.errors import InvalidInput, WriteConflict
from spellcast.domain.generations import Generation
from spellcast.ports.store import CastStore, Page
from tests.contract import records
from tests.contract.records import NOW, drawn, make_cast, make_generation, new_id
from tests.contract.stores import Stores

LATER = timedelta(seconds=1)


def read_all(store: CastStore, limit: int, account_id: str = "alice", status: CastStatus | None = None) -> list[Cast]:
    """Every page, one after the other."""
    found: list[Cast] = []
    cursor = None
    for _ in range(100):
        page: Page[Cast] = store.list_casts(account_id, status=status, limit=limit, cursor=cursor)
        assert len(page.items) <= limit
        found += page.items
        cursor = page.cursor
        if cursor is None:
            return found
    raise AssertionError("the list does not end")


class TestRoundTrip:
    def test_every_field_has_a_strategy(self) -> None:
        assert records.unlisted_fields() == {}

    @drawn
    @given(cast=records.casts)
    def test_a_cast_comes_back_as_it_was_written(self, stores: Stores, cast: Cast) -> None:
        cast = replace(cast, cast_id=new_id())
        stores.casts.create_cast(cast)
        assert stores.casts.get_cast(cast.cast_id) == cast
        assert stores.casts.load_cast(cast.cast_id) == (cast, [])

    @drawn
    @given(cast=records.casts, following=records.casts)
    def test_a_saved_cast_leaves_nothing_of_the_one_before(self, stores: Stores, cast: Cast, following: Cast) -> None:
        cast = replace(cast, cast_id=new_id())
        stores.casts.create_cast(cast)
        following = replace(following, cast_id=cast.cast_id, account_id=cast.account_id, revision=cast.revision + 1)
        stores.casts.save_cast(following, cast)
        assert stores.casts.get_cast(cast.cast_id) == following

    @drawn
    @given(generation=records.generations)
    def test_a_generation_comes_back_as_it_was_written(self, stores: Stores, generation: Generation) -> None:
        generation = replace(generation, cast_id=new_id())
        stores.casts.save_generation(generation, None)
        assert stores.casts.get_generation(generation.generation_id) == generation

    @pytest.mark.parametrize("outputs", [None, {}, [], {"text": None}, [{}], {"text": ""}])
    def test_nothing_and_empty_are_two_things(self, stores: Stores, outputs: Any) -> None:
        cast = make_cast(outputs=outputs, webhook_url="", webhook_secret=None)
        stores.casts.create_cast(cast)
        found = stores.casts.get_cast(cast.cast_id)
        assert found is not None
        assert (found.outputs, found.webhook_url, found.webhook_secret) == (outputs, "", None)

    def test_amounts_are_exact_and_decimal(self, stores: Stores) -> None:
        exact = Decimal("12345678901234567890.123456789012345678")
        cast = make_cast(cost_usd=exact, budget_usd=Decimal("0.10"))
        stores.casts.create_cast(cast)
        found = stores.casts.get_cast(cast.cast_id)
        assert found is not None
        assert found.cost_usd == exact
        assert isinstance(found.cost_usd, Decimal)
        assert isinstance(found.budget_usd, Decimal)

    def test_times_are_aware_and_kept_to_the_millisecond(self, stores: Stores) -> None:
        cast = make_cast(completed_at=NOW.replace(microsecond=999_000))
        stores.casts.create_cast(cast)
        found = stores.casts.get_cast(cast.cast_id)
        assert found is not None
        assert found.completed_at == cast.completed_at
        assert found.completed_at is not None
        assert found.completed_at.utcoffset() == timedelta(0)


class TestCasts:
    def test_an_unknown_cast_is_none(self, stores: Stores) -> None:
        assert stores.casts.get_cast("nothing") is None
        assert stores.casts.load_cast("nothing") is None

    def test_creating_twice_is_a_conflict_and_changes_nothing(self, stores: Stores) -> None:
        cast = make_cast()
        stores.casts.create_cast(cast)
        with pytest.raises(WriteConflict):
            stores.casts.create_cast(replace(cast, spell_name="Another"))
        assert stores.casts.get_cast(cast.cast_id) == cast

    def test_saving_over_a_stale_revision_is_a_conflict_and_changes_nothing(self, stores: Stores) -> None:
        first = make_cast()
        stores.casts.create_cast(first)
        second = replace(first, revision=2, points_spent=7)
        stores.casts.save_cast(second, first)
        with pytest.raises(WriteConflict):
            stores.casts.save_cast(replace(first, revision=2, points_spent=9), first)
        assert stores.casts.get_cast(first.cast_id) == second

    def test_saving_what_was_never_created_is_a_conflict(self, stores: Stores) -> None:
        cast = make_cast()
        with pytest.raises(WriteConflict):
            stores.casts.save_cast(replace(cast, revision=2), cast)
        assert stores.casts.get_cast(cast.cast_id) is None

    def test_a_loaded_cast_has_its_generations_in_order(self, stores: Stores) -> None:
        cast, other = make_cast(), make_cast()
        stores.casts.create_cast(cast)
        stores.casts.create_cast(other)
        places = [(10, 1), (2, 10), (0, 1), (2, 2), (49, 1), (2, 9)]
        for step_index, attempt in places:
            stores.casts.save_generation(make_generation(cast.cast_id, step_index, attempt), None)
        stores.casts.save_generation(make_generation(other.cast_id), None)
        loaded = stores.casts.load_cast(cast.cast_id)
        assert loaded is not None
        assert loaded[0] == cast
        assert [(item.step_index, item.attempt) for item in loaded[1]] == sorted(places)

    def test_generations_without_their_cast_are_no_cast(self, stores: Stores) -> None:
        orphan = make_generation(new_id())
        stores.casts.save_generation(orphan, None)
        assert stores.casts.load_cast(orphan.cast_id) is None


class TestGenerations:
    def test_the_first_write_expects_no_row(self, stores: Stores) -> None:
        generation = make_generation(new_id())
        stores.casts.save_generation(generation, None)
        with pytest.raises(WriteConflict):
            stores.casts.save_generation(replace(generation, step_id="another"), None)
        assert stores.casts.get_generation(generation.generation_id) == generation

    def test_a_later_write_expects_the_row_that_was_read(self, stores: Stores) -> None:
        first = make_generation(new_id())
        stores.casts.save_generation(first, None)
        second = replace(first, revision=2, status="processing", run_id="job")
        stores.casts.save_generation(second, first)
        with pytest.raises(WriteConflict):
            stores.casts.save_generation(replace(first, revision=2, run_id="another"), first)
        assert stores.casts.get_generation(first.generation_id) == second

    def test_a_later_write_without_a_row_is_a_conflict(self, stores: Stores) -> None:
        first = make_generation(new_id())
        with pytest.raises(WriteConflict):
            stores.casts.save_generation(replace(first, revision=2), first)
        assert stores.casts.get_generation(first.generation_id) is None

    def test_attempts_are_rows_of_their_own(self, stores: Stores) -> None:
        cast_id = new_id()
        first, second = make_generation(cast_id, attempt=1), make_generation(cast_id, attempt=2)
        stores.casts.save_generation(first, None)
        stores.casts.save_generation(second, None)
        assert stores.casts.get_generation(f"{cast_id}.0.1") == first
        assert stores.casts.get_generation(f"{cast_id}.0.2") == second

    @pytest.mark.parametrize(
        "name", ["", "nothing", "a.b.c", "cast.0", "cast.0.1.2", "cast.-1.1", "cast.0.1 ", "a#b.0.1"]
    )
    def test_what_is_no_id_leads_nowhere(self, stores: Stores, name: str) -> None:
        assert stores.casts.get_generation(name) is None

    @pytest.mark.parametrize("alias", ["{}.00.1", "{}.0.01", "{}.٠.١"])
    def test_a_generation_has_one_id(self, stores: Stores, alias: str) -> None:
        generation = make_generation(new_id())
        stores.casts.save_generation(generation, None)
        assert stores.casts.get_generation(alias.format(generation.cast_id)) is None


class TestLists:
    def test_an_account_without_casts_has_an_empty_list(self, stores: Stores) -> None:
        assert stores.casts.list_casts("nobody", status=None, limit=10, cursor=None) == Page([], None)

    def test_the_latest_come_first_and_others_casts_do_not_come(self, stores: Stores) -> None:
        own = [make_cast(started_at=NOW + timedelta(milliseconds=number)) for number in (5, 1, 9, 3)]
        for cast in own:
            stores.casts.create_cast(cast)
        for account_id in ("bob", "alic", "alice2", "alice#CASTS"):
            stores.casts.create_cast(make_cast(account_id=account_id))
        page = stores.casts.list_casts("alice", status=None, limit=50, cursor=None)
        assert list(page.items) == sorted(own, key=lambda cast: cast.started_at, reverse=True)
        assert page.cursor is None

    @pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8])
    def test_pages_hold_every_cast_once(self, stores: Stores, limit: int) -> None:
        # Some began at the same millisecond.
        made = [make_cast(started_at=NOW + timedelta(milliseconds=number // 3)) for number in range(7)]
        for cast in made:
            stores.casts.create_cast(cast)
        found = read_all(stores.casts, limit)
        assert len(found) == 7
        assert {cast.cast_id for cast in found} == {cast.cast_id for cast in made}
        starts = [cast.started_at for cast in found]
        assert starts == sorted(starts, reverse=True)

    def test_a_list_longer_than_a_batch_is_whole(self, stores: Stores) -> None:
        for number in range(105):
            stores.casts.create_cast(make_cast(started_at=NOW + timedelta(seconds=number)))
        page = stores.casts.list_casts("alice", status=None, limit=104, cursor=None)
        assert len(page.items) == 104
        assert page.cursor is not None

    @pytest.mark.parametrize("limit", [1, 2, 5])
    @pytest.mark.parametrize("status", ["running", "completed", "failed", "cancelled"])
    def test_only_casts_of_the_status_come(self, stores: Stores, status: CastStatus, limit: int) -> None:
        statuses: list[CastStatus] = ["completed", "running", "running", "failed", "completed", "running", "completed"]
        for number, given_status in enumerate(statuses):
            stores.casts.create_cast(make_cast(status=given_status, started_at=NOW + timedelta(seconds=number)))
        found = read_all(stores.casts, limit, status=status)
        assert [cast.status for cast in found] == [status] * statuses.count(status)

    @pytest.mark.parametrize("status", [None, "completed"])
    def test_only_casts_of_the_spell_come(self, stores: Stores, status: CastStatus | None) -> None:
        for number in range(9):
            given_status: CastStatus = "completed" if number % 2 else "running"
            began = NOW + timedelta(seconds=number)
            cast = make_cast(spell_id=f"spell-{number % 3}", status=given_status, started_at=began)
            stores.casts.create_cast(cast)
        first = stores.casts.list_casts("alice", status=status, limit=1, cursor=None, spell_id="spell-1")
        rest = stores.casts.list_casts("alice", status=status, limit=9, cursor=first.cursor, spell_id="spell-1")
        found = [*first.items, *rest.items]
        assert [cast.spell_id for cast in found] == ["spell-1"] * (3 if status is None else 2)
        assert {cast.status for cast in found} == ({"running", "completed"} if status is None else {status})

    def test_the_list_has_the_casts_as_they_are_now(self, stores: Stores) -> None:
        cast = make_cast()
        stores.casts.create_cast(cast)
        ended = replace(cast, status="completed", revision=2, outputs={"text": "done"}, completed_at=NOW)
        stores.casts.save_cast(ended, cast)
        assert list(stores.casts.list_casts("alice", status=None, limit=5, cursor=None).items) == [ended]
        assert list(stores.casts.list_casts("alice", status="running", limit=5, cursor=None).items) == []

    def test_a_cursor_outlives_what_is_written_after_it(self, stores: Stores) -> None:
        made = [make_cast(started_at=NOW + timedelta(seconds=number)) for number in range(4)]
        for cast in made:
            stores.casts.create_cast(cast)
        first = stores.casts.list_casts("alice", status=None, limit=2, cursor=None)
        stores.casts.create_cast(make_cast(started_at=NOW + timedelta(seconds=99)))
        second = stores.casts.list_casts("alice", status=None, limit=2, cursor=first.cursor)
        assert [*first.items, *second.items] == made[::-1]

    def test_anothers_cursor_leads_to_nothing_of_theirs(self, stores: Stores) -> None:
        for number in range(3):
            stores.casts.create_cast(make_cast(account_id="bob", started_at=NOW + timedelta(seconds=number)))
        own = make_cast(started_at=NOW)
        stores.casts.create_cast(own)
        cursor = stores.casts.list_casts("bob", status=None, limit=1, cursor=None).cursor
        assert cursor is not None
        assert list(stores.casts.list_casts("alice", status=None, limit=5, cursor=cursor).items) == [own]

    @pytest.mark.parametrize(
        "cursor",
        [
            "nonsense",
            "!!!!",
            "ünï",
            "AAA",
            base64.b64encode(b"no separator").decode(),
            base64.b64encode(b"\xff").decode(),
        ],
    )
    def test_what_is_no_cursor_is_refused(self, stores: Stores, cursor: str) -> None:
        stores.casts.create_cast(make_cast())
        with pytest.raises(InvalidInput) as refused:
            stores.casts.list_casts("alice", status=None, limit=5, cursor=cursor)
        assert [fault.path for fault in refused.value.faults] == ["cursor"]

    def test_a_cursor_with_a_slash_is_refused(self, stores: Stores) -> None:
        cursor = base64.urlsafe_b64encode(b"2026-01-31T12:00:00.000Z#a/b").decode()
        with pytest.raises(InvalidInput):
            stores.casts.list_casts("alice", status=None, limit=5, cursor=cursor)

    def test_an_empty_cursor_is_refused(self, stores: Stores) -> None:
        stores.casts.create_cast(make_cast())
        with pytest.raises(InvalidInput):
            stores.casts.list_casts("alice", status=None, limit=5, cursor="")


class TestOpenCasts:
    """What a sweep is given: every open cast of everybody that was started before a moment."""

    @drawn
    @given(cast=records.casts)
    def test_an_open_cast_is_listed_as_its_record_says_and_no_other_is(self, stores: Stores, cast: Cast) -> None:
        cast = replace(cast, cast_id=new_id())
        stores.casts.create_cast(cast)
        listed = [found for found in self._open(stores, cast.started_at + LATER) if found.cast_id == cast.cast_id]
        assert listed == ([OpenCast.of(cast)] if cast.is_open else [])

    def test_a_cast_is_listed_until_it_has_ended(self, stores: Stores) -> None:
        cast = make_cast()
        stores.casts.create_cast(cast)
        assert self._open(stores) == [OpenCast.of(cast)]
        stores.casts.save_cast(replace(cast, status="completed", completed_at=NOW, revision=2), cast)
        assert self._open(stores) == []

    def test_one_that_owes_a_webhook_is_listed_until_its_delivery_is_recorded(self, stores: Stores) -> None:
        cast = make_cast(webhook_url="https://caster.example/", status="failed", failed_at=NOW)
        stores.casts.create_cast(cast)
        assert self._open(stores) == [OpenCast.of(cast)]
        stores.casts.save_cast(cast.delivery_ended(attempts=3, error="HTTP 500", now=NOW), cast)
        assert self._open(stores) == []

    def test_a_further_execution_is_listed(self, stores: Stores) -> None:
        cast = make_cast()
        stores.casts.create_cast(cast)
        stores.casts.save_cast(cast.restarted(now=NOW), cast)
        assert [found.execution_name for found in self._open(stores)] == [f"{cast.cast_id}-2"]

    def test_casts_that_were_started_since_are_not(self, stores: Stores) -> None:
        for seconds in range(3):
            stores.casts.create_cast(make_cast(cast_id=f"c{seconds}", started_at=NOW + timedelta(seconds=seconds)))
        found = self._open(stores, NOW + timedelta(seconds=2))
        assert sorted(cast.cast_id for cast in found) == ["c0", "c1"]

    def test_all_accounts_and_all_shards_are_read(self, stores: Stores) -> None:
        casts = {f"c{number}": f"account-{number}" for number in range(100)}
        for cast_id, account_id in casts.items():
            stores.casts.create_cast(make_cast(cast_id=cast_id, account_id=account_id))
        assert {found.cast_id for found in self._open(stores)} == set(casts)

    def _open(self, stores: Stores, before: datetime = NOW + LATER) -> list[OpenCast]:
        return list(stores.casts.list_open_casts(before))


def test_an_erased_cast_takes_its_generations_with_it_and_no_others(stores: Stores) -> None:
    erased, other = make_cast(), make_cast()
    for cast in (erased, other):
        stores.casts.create_cast(cast)
        for step_index in range(2):
            stores.casts.save_generation(make_generation(cast_id=cast.cast_id, step_index=step_index), None)
    kept = stores.casts.load_cast(other.cast_id)
    for _ in range(2):
        stores.casts.erase_cast(erased.cast_id)
        assert stores.casts.load_cast(erased.cast_id) is None
        assert stores.casts.get_generation(f"{erased.cast_id}.1.1") is None
    assert stores.casts.load_cast(other.cast_id) == kept
