"""ports.store.LeaseStore: one row a scope, written on the condition that nobody wrote in between."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain.errors import WriteConflict
from spellcast.domain.limits import MOST_IN_FLIGHT, Leases
from tests.contract.deployment import stored_rows
from tests.contract.records import NOW, drawn, moments, new_id
from tests.contract.stores import Cloud, Stores

SOON = (NOW + timedelta(minutes=1)).replace(microsecond=0)
scopes = st.text(min_size=1, max_size=12)


@drawn
@given(name=scopes, held=st.dictionaries(scopes, moments.map(lambda moment: moment.replace(microsecond=0)), max_size=4))
def test_leases_come_back_as_they_were_written(stores: Stores, name: str, held: dict[str, object]) -> None:
    leases = Leases(f"{new_id()}#{name}", 1, held)  # type: ignore[arg-type]
    stores.leases.save_leases(leases)
    assert stores.leases.get_leases(leases.scope) == leases


def test_a_scope_that_nobody_ever_held_is_empty(stores: Stores) -> None:
    assert stores.leases.get_leases("fal#jobs") == Leases("fal#jobs", 0, {})


def test_the_second_of_two_who_read_the_same_is_refused(stores: Stores) -> None:
    for revision in (0, 1, 2):
        before = stores.leases.get_leases("fal#jobs")
        assert before.revision == revision
        first, second = (before.taken(holder, 9, SOON, NOW) for holder in (f"a{revision}", f"b{revision}"))
        assert first is not None and second is not None
        stores.leases.save_leases(first)
        with pytest.raises(WriteConflict):
            stores.leases.save_leases(second)
    assert set(stores.leases.get_leases("fal#jobs").held) == {"a0", "a1", "a2"}


def test_scopes_do_not_meet(stores: Stores) -> None:
    stores.leases.save_leases(Leases("fal#jobs", 1, {"a": SOON}))
    for other in ("fal#requests", "fal#jobs#alice", "fal", "replicate#jobs"):
        assert stores.leases.get_leases(other).held == {}


def test_the_row_of_a_full_limit_is_small_and_goes_by_itself(cloud: Cloud) -> None:
    held = {f"{new_id()}.{number % 50}.1": SOON for number in range(MOST_IN_FLIGHT)}
    cloud.leases.save_leases(Leases("fal#jobs", 1, held))
    [row] = stored_rows(cloud.dynamodb)
    assert len(row["held"]["S"]) < 100_000
    assert SOON.timestamp() < int(row["expiresAt"]["N"]) < (SOON + timedelta(days=2)).timestamp()
    # What the stream announces are casts, generations and connections.
    assert row["entity"]["S"] == "LEASES"


def test_a_row_that_has_expired_is_begun_anew(cloud: Cloud) -> None:
    cloud.leases.save_leases(Leases("fal#jobs", 1, {"a": SOON}))
    stale = cloud.leases.get_leases("fal#jobs").taken("b", 9, SOON, NOW)
    assert stale is not None
    cloud.table.take("LIMIT#fal#jobs", "LEASES")
    with pytest.raises(WriteConflict):
        cloud.leases.save_leases(stale)
    cloud.leases.save_leases(Leases("fal#jobs", 1, {"b": SOON}))


def test_nobody_holds_a_place_in_a_row_that_was_emptied(stores: Stores) -> None:
    stores.leases.save_leases(Leases("fal#jobs", 1, {"a": SOON}))
    stores.leases.save_leases(stores.leases.get_leases("fal#jobs").given_back("a"))
    assert stores.leases.get_leases("fal#jobs") == Leases("fal#jobs", 2, {})
