"""ports.store.SettingsStore: one document an account, replaced as a whole."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain.account_settings import AccountSettings
from spellcast.domain.documents import Document
from tests.contract import records
from tests.contract.records import drawn, make_own_tool, new_id
from tests.contract.stores import Stores


@drawn
@given(tools=st.dictionaries(records.texts, records.documents, max_size=3))
def test_settings_come_back_as_they_were_written(stores: Stores, tools: Document) -> None:
    account_id = new_id()
    stores.settings.put_settings(account_id, AccountSettings(tools))
    assert stores.settings.get_settings(account_id).tools == tools


@pytest.mark.parametrize("amount", [None, Decimal(0), Decimal("12.500000000001")])
def test_a_daily_budget_is_part_of_the_settings(stores: Stores, amount: Decimal | None) -> None:
    stores.settings.put_settings("alice", AccountSettings({}, Decimal(7)))
    stores.settings.put_settings("alice", AccountSettings({}, amount))
    assert stores.settings.get_settings("alice") == AccountSettings({}, amount)


def test_who_never_set_anything_has_empty_settings(stores: Stores) -> None:
    assert stores.settings.get_settings("alice").tools == {}


def test_the_whole_is_replaced(stores: Stores) -> None:
    stores.settings.put_settings("alice", AccountSettings({"a": {"x": 1}, "b": {"y": 2}}))
    stores.settings.put_settings("alice", AccountSettings({"b": {"z": 3}}))
    assert stores.settings.get_settings("alice").tools == {"b": {"z": 3}}
    stores.settings.put_settings("alice", AccountSettings({}))
    assert stores.settings.get_settings("alice").tools == {}


def test_others_have_their_own(stores: Stores) -> None:
    stores.settings.put_settings("alice", AccountSettings({"a": {"x": 1}}))
    for stranger in ("bob", "alic", "alice2", ""):
        assert stores.settings.get_settings(stranger).tools == {}


def test_settings_are_no_tool_and_no_connection(stores: Stores) -> None:
    stores.settings.put_settings("alice", AccountSettings({"mine": {"x": 1}}))
    assert stores.tools.list_tools("alice") == list(stores.catalog.values())
    assert stores.access.list_connections("alice") == []
    stores.tools.create_tool("alice", make_own_tool("SETTINGS"))
    assert stores.settings.get_settings("alice").tools == {"mine": {"x": 1}}
