from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain.limits import MOST_IN_FLIGHT, Leases, Limit, Limits, parse_limits
from tests.fakes.clock import START
from tests.fakes.records import in_seconds

SOON = in_seconds(60)


@pytest.mark.parametrize(
    ("document", "limits"),
    [
        (None, Limits()),
        ({}, Limits()),
        ({"jobsInFlight": 1}, Limits(jobs=1)),
        ({"requestsInFlight": MOST_IN_FLIGHT, "perAccount": None}, Limits(requests=MOST_IN_FLIGHT)),
        (
            {"jobsInFlight": 10, "requestsInFlight": 20, "perAccount": {"jobsInFlight": 2, "requestsInFlight": 3}},
            Limits(10, 20, 2, 3),
        ),
        ({"jobsInFlight": None, "perAccount": {"requestsInFlight": 3}}, Limits(account_requests=3)),
    ],
    ids=str,
)
def test_limits_are_read(document: Any, limits: Limits) -> None:
    assert parse_limits(document) == limits


@pytest.mark.parametrize(
    ("document", "faults"),
    [
        ([], "limits is not an object"),
        ("10", "limits is not an object"),
        ({"jobsInFlight": 0}, "limits.jobsInFlight is not a whole number from 1 to 1000"),
        ({"jobsInFlight": MOST_IN_FLIGHT + 1}, "limits.jobsInFlight is not a whole number from 1 to 1000"),
        ({"requestsInFlight": True}, "limits.requestsInFlight is not a whole number from 1 to 1000"),
        ({"requestsInFlight": "3"}, "limits.requestsInFlight is not a whole number from 1 to 1000"),
        ({"perAccount": 3}, "limits.perAccount is not an object"),
        ({"perAccount": {"perAccount": {}}}, "limits.perAccount.perAccount is not known"),
        (
            {"jobs": 3, "a": 1, "perAccount": {"jobsInFlight": 1.5}},
            "limits.a is not known; limits.jobs is not known; "
            "limits.perAccount.jobsInFlight is not a whole number from 1 to 1000",
        ),
    ],
    ids=str,
)
def test_every_fault_is_named(document: Any, faults: str) -> None:
    with pytest.raises(ValueError) as raised:
        parse_limits(document)
    assert str(raised.value) == faults


def test_a_step_is_under_the_limits_of_its_kind() -> None:
    limits = Limits(10, 20, 2, 3)
    assert limits.of("jobs", "fal", "alice") == (Limit("fal#jobs", 10), Limit("fal#jobs#alice", 2))
    assert limits.of("requests", "fal", "bob") == (Limit("fal#requests", 20), Limit("fal#requests#bob", 3))
    assert Limits(jobs=10, account_requests=3).of("jobs", "fal", "alice") == (Limit("fal#jobs", 10),)
    assert Limits(jobs=10, account_requests=3).of("requests", "fal", "alice") == (Limit("fal#requests#alice", 3),)
    assert Limits().of("jobs", "fal", "alice") == ()


def holding(**held: datetime) -> Leases:
    return Leases("fal#jobs", 7, held)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(holding(), holding(new=SOON), id="free"),
        pytest.param(holding(a=SOON), holding(a=SOON, new=SOON), id="one is free"),
        pytest.param(holding(a=SOON, b=SOON), None, id="none is free"),
        pytest.param(holding(a=SOON, b=START), holding(a=SOON, new=SOON), id="one has just expired"),
        pytest.param(holding(a=SOON, b=in_seconds(0.001)), None, id="one is about to expire"),
        pytest.param(holding(a=SOON, new=in_seconds(1)), holding(a=SOON, new=SOON), id="held, and held longer now"),
        pytest.param(holding(a=SOON, b=SOON, c=SOON), None, id="more than there are: the limit was lowered"),
    ],
)
def test_a_place_is_taken_where_one_is_free(before: Leases, after: Leases | None) -> None:
    taken = before.taken("new", 2, SOON, START)
    assert (taken.held if taken else None) == (after.held if after else None)
    assert taken is None or (taken.scope, taken.revision) == ("fal#jobs", 8)


def test_a_place_is_given_back_once() -> None:
    before = holding(a=SOON, b=SOON)
    after = before.given_back("a")
    assert (after.held, after.revision) == ({"b": SOON}, 8)
    assert after.given_back("a") is after


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.booleans(), st.integers(0, 30)),
        max_size=40,
    ),
    st.integers(1, 4),
)
def test_never_more_than_the_limit_hold_a_place(steps: list[tuple[str, bool, int]], most: int) -> None:
    leases, now = Leases("fal#jobs"), 0
    for holder, takes, seconds in steps:
        now += seconds
        if takes:
            leases = leases.taken(holder, most, in_seconds(now + 20), in_seconds(now)) or leases
        else:
            leases = leases.given_back(holder)
        assert sum(expiry > in_seconds(now) for expiry in leases.held.values()) <= most
        assert len(leases.held) <= most
