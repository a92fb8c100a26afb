from __future__ import annotations

import pytest

from spellcast.application.find_settings import FindSettings
from spellcast.application.save_settings import SaveSettings
from spellcast.domain.errors import InvalidInput
from tests.fakes.world import ACCOUNT, World, make_tool


@pytest.fixture
def world() -> World:
    return World()


def test_what_is_set_is_found_and_the_next_takes_its_place(world: World) -> None:
    save, find = SaveSettings(world.store, world.store), FindSettings(world.store)
    assert find(ACCOUNT) == {"tools": {}}
    first = {"tools": {"free": {"prompt": "a cat"}, "paid": {"text": "t"}}}
    assert save(ACCOUNT, first) == find(ACCOUNT) == first
    second = {"tools": {"paid": {"prompt": "a dog"}}}
    assert save(ACCOUNT, second) == find(ACCOUNT) == second
    assert find("bob") == {"tools": {}}


def test_wrong_settings_change_nothing(world: World) -> None:
    save, find = SaveSettings(world.store, world.store), FindSettings(world.store)
    save(ACCOUNT, {"tools": {"free": {"prompt": "a cat"}}})
    with pytest.raises(InvalidInput) as caught:
        save(ACCOUNT, {"tools": {"free": {"prompt": "a dog", "colour": 1}, "nope": {}}})
    assert [fault.path for fault in caught.value.faults] == ["tools.free.colour", "tools.nope"]
    assert find(ACCOUNT) == {"tools": {"free": {"prompt": "a cat"}}}


def test_an_own_tool_can_be_set_by_its_owner_while_it_lives(world: World) -> None:
    world.store.create_tool(ACCOUNT, make_tool("own"))
    save = SaveSettings(world.store, world.store)
    settings = {"tools": {"own": {"prompt": "a cat"}}}
    assert save(ACCOUNT, settings) == settings
    with pytest.raises(InvalidInput):
        save("bob", settings)
    world.store.delete_tool(ACCOUNT, "own")
    with pytest.raises(InvalidInput):
        save(ACCOUNT, settings)
