"""A cast that must not go on: ended once, however often it is asked for."""

from __future__ import annotations

import pytest

from spellcast.domain.errors import CastNotFound, DocumentLost
from spellcast.domain.results import Failure
from tests.fakes.world import World

REASON = Failure("TIMED_OUT", "The cast did not end by its deadline.", True)


def test_only_what_is_still_waited_for_is_given_up() -> None:
    world = World()
    cast = world.cast("called", "called")
    world.execute(cast)
    world.complete_job(f"{cast.cast_id}.0.1", world.adapter.on_execute(world.adapter.started[0]))
    world.process(cast)
    world.execute(cast, 1)
    closed = world.interrupt_cast(cast.cast_id, REASON)
    assert closed.failure is not None
    assert (closed.status, closed.failure.step_index, world.adapter.cancelled) == ("failed", 1, ["job-2"])
    assert closed.step_generation_ids == (f"{cast.cast_id}.0.1",)


def test_a_cast_that_had_no_step_yet_ends_for_the_reason_that_is_given() -> None:
    world = World()
    failure = world.interrupt_cast(world.cast("free").cast_id, REASON).failure
    assert failure is not None
    assert (failure.code, failure.message, failure.step_index) == (REASON.code, REASON.message, None)


def test_a_repeat_changes_nothing() -> None:
    world = World()
    cast = world.cast("called")
    world.execute(cast)
    closed = world.interrupt_cast(cast.cast_id, REASON)
    writes = list(world.store.writes)
    assert world.interrupt_cast(cast.cast_id, REASON) == closed
    assert (world.store.writes, world.adapter.cancelled) == (writes, ["job-1"])


def test_i2_a_cast_whose_documents_are_lost_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    cast = world.cast("called", inputs={"prompt": "x" * 200_001})
    world.execute(cast)

    def lost(generation_id: str) -> None:
        raise DocumentLost("It is not in the bucket any more.")

    monkeypatch.setattr(world.store, "get_generation", lost)
    closed = world.interrupt_cast(cast.cast_id, REASON)
    assert closed.failure is not None
    assert (closed.status, closed.failure.code, world.adapter.cancelled) == ("failed", "TIMED_OUT", ["job-1"])
    # What was not lost is still there.
    assert world.cast_of(cast).inputs["prompt"] == "x" * 200_001


def test_a_cast_that_does_not_exist() -> None:
    with pytest.raises(CastNotFound, match=r"^There is no cast c1\.$"):
        World().interrupt_cast("c1", REASON)
