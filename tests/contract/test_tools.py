"""ports.store.ToolStore: the catalog, and the accounts' own tools beside it."""

from __future__ import annotations

import pytest
from hypothesis import given

from spellcast.domain.errors import WriteConflict
from spellcast.domain.tools import Tool
from spellcast.ports.store import Connection
from tests.contract import records
from tests.contract.records import NOW, drawn, make_own_tool, new_id
from tests.contract.stores import Stores


@drawn
@given(tool=records.tools)
def test_a_tool_comes_back_as_it_was_written(stores: Stores, tool: Tool) -> None:
    account_id = new_id()
    stores.tools.create_tool(account_id, tool)
    if tool.tool_id not in stores.catalog:
        assert stores.tools.get_tool(account_id, tool.tool_id) == tool
    assert stores.tools.list_tools(account_id) == [*stores.catalog.values(), tool]


def test_a_built_in_tool_is_found_by_id_and_by_display_name(stores: Stores) -> None:
    tool = stores.catalog["built-in"]
    assert stores.tools.get_tool("alice", "built-in") == tool
    assert stores.tools.get_tool("alice", "Built In") == tool


def test_an_own_tool_is_found_by_id_and_by_display_name(stores: Stores) -> None:
    tool = make_own_tool("mine", "My Tool")
    stores.tools.create_tool("alice", tool)
    assert stores.tools.get_tool("alice", "mine") == tool
    assert stores.tools.get_tool("alice", "My Tool") == tool
    assert stores.tools.get_tool("alice", "my tool") is None


def test_others_do_not_see_an_own_tool_and_may_have_its_id_themselves(stores: Stores) -> None:
    stores.tools.create_tool("alice", make_own_tool("mine", "My Tool"))
    for stranger in ("bob", "alic", "alice2", ""):
        assert stores.tools.get_tool(stranger, "mine") is None
        assert stores.tools.get_tool(stranger, "My Tool") is None
        assert stores.tools.list_tools(stranger) == list(stores.catalog.values())
    theirs = make_own_tool("mine", "Theirs")
    stores.tools.create_tool("bob", theirs)
    assert stores.tools.get_tool("bob", "mine") == theirs
    assert stores.tools.get_tool("alice", "mine") == make_own_tool("mine", "My Tool")


def test_creating_twice_is_a_conflict_and_changes_nothing(stores: Stores) -> None:
    tool = make_own_tool("mine", "My Tool")
    stores.tools.create_tool("alice", tool)
    with pytest.raises(WriteConflict):
        stores.tools.create_tool("alice", make_own_tool("mine", "Another"))
    assert stores.tools.list_tools("alice") == [*stores.catalog.values(), tool]


def test_own_tools_are_listed_in_the_order_of_their_ids(stores: Stores) -> None:
    for tool_id in ("b", "a", "C", "a-1"):
        stores.tools.create_tool("alice", make_own_tool(tool_id))
    own = stores.tools.list_tools("alice")[len(stores.catalog) :]
    assert [tool.tool_id for tool in own] == ["C", "a", "a-1", "b"]


def test_an_accounts_other_rows_are_no_tools(stores: Stores) -> None:
    stores.access.put_connection(Connection("TOOL#x", "alice", NOW, NOW))
    assert stores.tools.list_tools("alice") == list(stores.catalog.values())


def test_a_deleted_tool_is_recalled_by_its_id_and_otherwise_gone(stores: Stores) -> None:
    tool = make_own_tool("mine", "My Tool")
    stores.tools.create_tool("alice", tool)
    assert stores.tools.recall_tool("alice", "mine") == tool
    assert stores.tools.delete_tool("alice", "mine")
    assert stores.tools.get_tool("alice", "mine") is stores.tools.get_tool("alice", "My Tool") is None
    assert stores.tools.list_tools("alice") == list(stores.catalog.values())
    assert stores.tools.recall_tool("alice", "mine") == tool
    assert stores.tools.recall_tool("alice", "My Tool") is stores.tools.recall_tool("bob", "mine") is None
    assert not stores.tools.delete_tool("alice", "mine")


def test_a_built_in_tool_is_recalled_and_not_deleted(stores: Stores) -> None:
    assert stores.tools.recall_tool("alice", "built-in") == stores.catalog["built-in"]
    assert not stores.tools.delete_tool("alice", "built-in")
    assert stores.tools.get_tool("alice", "built-in") == stores.catalog["built-in"]


def test_an_account_deletes_its_own_tools_only(stores: Stores) -> None:
    stores.tools.create_tool("alice", make_own_tool("mine"))
    stores.tools.create_tool("bob", make_own_tool("mine"))
    assert not stores.tools.delete_tool("carol", "mine")
    assert stores.tools.delete_tool("bob", "mine")
    assert stores.tools.get_tool("alice", "mine") == make_own_tool("mine")


def test_a_tool_takes_the_place_of_a_deleted_one_once(stores: Stores) -> None:
    stores.tools.create_tool("alice", make_own_tool("mine", "One"))
    for name in ("Two", "Three"):
        assert stores.tools.delete_tool("alice", "mine")
        stores.tools.create_tool("alice", make_own_tool("mine", name))
        with pytest.raises(WriteConflict):
            stores.tools.create_tool("alice", make_own_tool("mine", "Another"))
        assert stores.tools.get_tool("alice", "mine") == make_own_tool("mine", name)
        assert stores.tools.recall_tool("alice", "mine") == make_own_tool("mine", name)


def test_a_deleted_tools_id_may_be_anothers_name(stores: Stores) -> None:
    stores.tools.create_tool("alice", make_own_tool("mine"))
    stores.tools.delete_tool("alice", "mine")
    other = make_own_tool("another", "mine")
    stores.tools.create_tool("alice", other)
    assert stores.tools.get_tool("alice", "mine") == other
    assert stores.tools.recall_tool("alice", "mine") == make_own_tool("mine")
