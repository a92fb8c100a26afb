from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain.polling import Polling
from tests.fakes.clock import START
from tests.fakes.records import GENERATION_ID, in_seconds


def polls_until(deadline_at: datetime) -> list[float]:
    """The seconds after the start at which a job that never ends is asked after."""
    polling, now, moments = Polling(GENERATION_ID), START, []
    for _ in range(1000):
        now += timedelta(seconds=polling.wait_seconds)
        moments.append((now - START).total_seconds())
        if now >= deadline_at:
            return moments
        polling = polling.next(0, deadline_at, now)
    raise AssertionError("the polling does not end")


def test_the_waits_grow_to_thirty_seconds_and_stay_there() -> None:
    moments = polls_until(in_seconds(900))
    waits = [after - before for before, after in zip([0.0, *moments], moments, strict=False)]
    assert waits[:11] == [2, 3, 5, 7, 10, 15, 23, 30, 30, 30, 30]


@pytest.mark.parametrize(("seconds", "at_most"), [(30, 6), (300, 16)])
def test_the_polls_keep_their_budget(seconds: int, at_most: int) -> None:
    assert 0 < len([moment for moment in polls_until(in_seconds(900)) if moment <= seconds]) <= at_most


@given(st.floats(0.001, 4000))
def test_the_last_poll_comes_at_the_deadline(seconds: float) -> None:
    deadline_at = START + timedelta(seconds=seconds)
    moments = polls_until(deadline_at)
    assert len([moment for moment in moments if in_seconds(moment) >= deadline_at]) == 1
    # A wait is of whole seconds, and the first one is two.
    assert moments[-1] <= max(2.0, seconds + 1.001)


@given(st.integers(0, 40), st.integers(0, 2), st.integers(1, 3000))
def test_a_wait_is_at_least_a_second_and_never_more_than_thirty(polls: int, misses: int, left: int) -> None:
    following = Polling(GENERATION_ID, polls).next(misses, in_seconds(left), START)
    assert 1 <= following.wait_seconds <= 30
    assert (following.polls, following.misses, following.finished) == (polls + 1, misses, False)


@given(st.integers(0, 99), st.integers(0, 2), st.integers(0, 30))
def test_it_travels_through_the_machine_unchanged(polls: int, misses: int, wait: int) -> None:
    polling = Polling(GENERATION_ID, polls, misses, wait)
    assert Polling.parse(polling.to_document()) == polling


def test_its_document_has_the_machines_keys() -> None:
    assert Polling(GENERATION_ID).to_document() == {
        "generationId": GENERATION_ID,
        "polls": 0,
        "misses": 0,
        "waitSeconds": 2,
        "finished": False,
    }


def test_an_ended_polling_is_finished() -> None:
    ended = Polling(GENERATION_ID, 4, 2, 10).ended()
    assert ended == Polling(GENERATION_ID, 5, 0, 0, True)
    assert ended.to_document()["finished"] is True


@pytest.mark.parametrize(
    ("left", "wait"), [(3600, 30), (29.5, 30), (28.5, 29), (4, 5), (0.5, 1), (0, 1), (-0.5, 1), (-60, 1)]
)
def test_the_last_wait_is_cut_to_the_deadline_and_an_overdue_job_is_polled_at_once(left: float, wait: int) -> None:
    following = Polling(GENERATION_ID, 10, 1).next(2, in_seconds(left), START)
    assert following == Polling(GENERATION_ID, 11, 2, wait)
