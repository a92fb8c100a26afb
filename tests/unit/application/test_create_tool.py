from __future__ import annotations

import pytest

from spellcast.application.create_tool import CreateTool
from spellcast.domain.errors import InvalidInput, ToolExists
from tests.fakes.records import tool_document
from tests.fakes.world import ACCOUNT, World, make_tool

SERVICES = {"fake": ("immediate", "async", "webhook"), "http": ("immediate",)}


@pytest.fixture
def world() -> World:
    return World()


def test_a_tool_of_ones_own_is_found_by_id_and_name_and_by_its_owner_only(world: World) -> None:
    tool = CreateTool(world.store, SERVICES)(ACCOUNT, tool_document(toolId="own", displayName="My own"))
    assert (tool.tool_id, tool.display_name) == ("own", "My own")
    assert world.store.get_tool(ACCOUNT, "own") == world.store.get_tool(ACCOUNT, "My own") == tool
    assert world.store.get_tool("bob", "own") is None


@pytest.mark.parametrize(
    ("tool_id", "display_name", "taken"),
    [("free", "New", "free"), ("new", "Free", "Free"), ("Free", "New", "Free"), ("new", "free", "free")],
)
def test_a_built_in_tool_cannot_be_hidden(world: World, tool_id: str, display_name: str, taken: str) -> None:
    with pytest.raises(ToolExists, match=repr(taken)):
        CreateTool(world.store, SERVICES)(ACCOUNT, tool_document(toolId=tool_id, displayName=display_name))
    assert world.store.get_tool(ACCOUNT, "New") is None
    assert world.store.get_tool(ACCOUNT, "new") is None


def test_a_tool_is_not_replaced(world: World) -> None:
    create = CreateTool(world.store, SERVICES)
    first = create(ACCOUNT, tool_document(toolId="own", displayName="One"))
    with pytest.raises(ToolExists):
        create(ACCOUNT, tool_document(toolId="own", displayName="Two"))
    assert world.store.get_tool(ACCOUNT, "own") == first


def test_a_tool_of_a_service_that_does_not_exist_is_refused(world: World) -> None:
    with pytest.raises(InvalidInput) as caught:
        CreateTool(world.store, SERVICES)(ACCOUNT, tool_document(toolId="own", service="nope"))
    assert [fault.path for fault in caught.value.faults] == ["service"]
    assert world.store.get_tool(ACCOUNT, "own") is None


def test_every_fault_of_a_definition_is_named_and_nothing_is_kept(world: World) -> None:
    definition = tool_document(
        {"n": {"type": "number", "default": "many"}}, toolId="own", service="http", deliveryMode="async"
    )
    with pytest.raises(InvalidInput) as caught:
        CreateTool(world.store, SERVICES)(ACCOUNT, definition)
    assert [fault.path for fault in caught.value.faults] == ["deliveryMode", "inputSchema.n.default"]
    assert world.store.get_tool(ACCOUNT, "own") is None


def test_another_account_may_use_the_same_id(world: World) -> None:
    create = CreateTool(world.store, SERVICES)
    create(ACCOUNT, tool_document(toolId="own", displayName="One"))
    assert create("bob", tool_document(toolId="own", displayName="One")).tool_id == "own"


def test_two_requests_at_once_make_one_tool(world: World) -> None:
    class Racing:
        """The other request writes between the look and the write."""

        def get_tool(self, account_id: str, identifier: str) -> None:
            return None

        create_tool = world.store.create_tool

    world.store.create_tool(ACCOUNT, make_tool("own"))
    with pytest.raises(ToolExists):
        CreateTool(Racing(), SERVICES)(ACCOUNT, tool_document(toolId="own", displayName="Two"))  # type: ignore[arg-type]
