"""ports.store.HistoryStore: a sample of runs, shared by all accounts for built-in tools and for no others."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given

from spellcast.domain.history import SLOTS, Run
from tests.contract import records
from tests.contract.records import a_run, drawn
from tests.contract.stores import Stores


@drawn
@given(run=records.runs)
def test_a_run_comes_back_as_it_was_written(stores: Stores, run: Run) -> None:
    stores.history.record_runs("alice", [run])
    assert run in stores.history.list_runs("alice", ["built-in"])["built-in"]


def test_runs_come_by_tool_and_in_the_order_of_their_slots(stores: Stores) -> None:
    runs = [a_run("built-in", 7), a_run("other", 1), a_run("built-in", 0), a_run("mine", 9)]
    stores.history.record_runs("alice", runs)
    assert stores.history.list_runs("alice", ["built-in", "mine", "none"]) == {
        "built-in": [runs[2], runs[0]],
        "mine": [runs[3]],
        "none": [],
    }
    assert stores.history.list_runs("alice", []) == {}


def test_a_run_takes_the_place_of_the_one_in_its_slot_and_repeating_it_is_harmless(stores: Stores) -> None:
    stores.history.record_runs("alice", [a_run("built-in", 4, cost_usd=Decimal(9))])
    newer = a_run("built-in", 4, cost_usd=Decimal(3))
    for _ in range(2):
        stores.history.record_runs("bob", [newer])
    assert stores.history.list_runs("alice", ["built-in"]) == {"built-in": [newer]}


@pytest.mark.parametrize("stranger", ["bob", "alice/own", "ali", ""])
def test_an_own_tool_of_the_same_id_has_another_history(stores: Stores, stranger: str) -> None:
    stores.history.record_runs("alice", [a_run("mine")])
    assert stores.history.list_runs(stranger, ["mine"]) == {"mine": []}
    theirs = replace(a_run("mine"), cost_usd=Decimal(7))
    stores.history.record_runs(stranger, [theirs])
    assert stores.history.list_runs(stranger, ["mine"]) == {"mine": [theirs]}
    assert stores.history.list_runs("alice", ["mine"]) == {"mine": [a_run("mine")]}


def test_a_full_history_of_many_tools_is_read(stores: Stores) -> None:
    tools = [f"tool-{number}" for number in range(12)]
    for tool in tools:
        stores.history.record_runs("alice", [a_run(tool, slot) for slot in range(SLOTS)])
    found = stores.history.list_runs("alice", tools)
    assert {tool: len(runs) for tool, runs in found.items()} == dict.fromkeys(tools, SLOTS)


def test_the_runs_of_the_longest_cast_can_be_written_at_once(stores: Stores) -> None:
    stores.history.record_runs("alice", [a_run(f"tool-{number}") for number in range(50)])
    found = stores.history.list_runs("alice", [f"tool-{number}" for number in range(25)])
    assert all(len(runs) == 1 for runs in found.values())
