"""A further execution for a cast that was cut off, once, and none for a cast that needs none."""

from __future__ import annotations

import pytest

from spellcast.domain.errors import CastNotFound, SpellNotFound, WriteConflict
from tests.fakes.world import World


def test_a_cast_that_another_has_restarted_is_not_restarted_again() -> None:
    world = World()
    cast = world.cast("polled")
    assert world.restart_cast(cast.cast_id, cut_off=1)
    assert not world.restart_cast(cast.cast_id, cut_off=1)
    assert world.cast_of(cast).execution == 2
    assert world.restart_cast(cast.cast_id, cut_off=2)
    assert list(world.machine.casts) == [cast.cast_id, f"{cast.cast_id}-2", f"{cast.cast_id}-3"]


def test_of_two_at_once_one_restarts() -> None:
    world = World()
    cast = world.cast("polled")
    world.store.meanwhile.append(lambda: world.restart_cast(cast.cast_id, cut_off=1))
    with pytest.raises(WriteConflict):
        world.restart_cast(cast.cast_id, cut_off=1)
    assert list(world.machine.casts) == [cast.cast_id, f"{cast.cast_id}-2"]


@pytest.mark.parametrize("cut_off", [None, 1])
def test_a_cast_that_has_ended_needs_no_execution(cut_off: int | None) -> None:
    world = World()
    cast = world.settle(world.cast("polled"))
    world.machine.casts.clear()
    assert not world.restart_cast(cast.cast_id, cut_off=cut_off)
    assert world.machine.casts == {}
    assert world.cast_of(cast) == cast


def test_there_is_nothing_to_start_where_there_is_no_cast_or_no_spell() -> None:
    world = World()
    with pytest.raises(CastNotFound, match=r"^There is no cast c1\.$"):
        world.restart_cast("c1")
    cast = world.cast("polled")
    world.store.forget_version(cast.spell_id, 1)
    with pytest.raises(SpellNotFound, match=f"^There is no version 1 of spell {cast.spell_id}"):
        world.restart_cast(cast.cast_id)
