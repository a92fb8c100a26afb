from __future__ import annotations

import pytest

from spellcast.domain.errors import ToolNotFound
from tests.fakes.world import ACCOUNT, World, make_tool


@pytest.fixture
def world() -> World:
    world = World()
    world.store.create_tool(ACCOUNT, make_tool("own"))
    return world


@pytest.mark.parametrize("identifier", ["free", "Free", "own", "Own"])
def test_a_tool_is_found_by_id_and_by_display_name(world: World, identifier: str) -> None:
    assert world.find_tools.get(ACCOUNT, identifier).tool_id == identifier.lower()


@pytest.mark.parametrize(("account", "identifier"), [(ACCOUNT, "nope"), (ACCOUNT, ""), ("bob", "own")])
def test_what_is_not_there_or_anothers_is_not_found(world: World, account: str, identifier: str) -> None:
    with pytest.raises(ToolNotFound):
        world.find_tools.get(account, identifier)


def test_the_accounts_own_tools_follow_the_built_in_ones(world: World) -> None:
    built_in = ["free", "paid", "polled", "called"]
    assert [tool.tool_id for tool in world.find_tools.list(ACCOUNT)] == [*built_in, "own"]
    assert [tool.tool_id for tool in world.find_tools.list("bob")] == built_in


def test_those_that_exist_are_known_by_the_identifiers_that_were_asked_for(world: World) -> None:
    known = world.find_tools.known(ACCOUNT, ["free", "Free", "nope", "own", "free"])
    assert {identifier: tool.tool_id for identifier, tool in known.items()} == {
        "free": "free",
        "Free": "free",
        "own": "own",
    }
