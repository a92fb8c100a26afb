"""The original's context as a cast."""

from __future__ import annotations

from typing import Any

import pytest

from spellcast.domain.casts import Cast
from spellcast.domain.errors import IdempotencyKeyReused, InvalidInput, SpellNotFound
from tests.fakes.crash import Crash
from tests.fakes.crashes import Chokepoint, When
from tests.fakes.world import ACCOUNT, World

SPELL = {"name": "A cat", "steps": [{"toolIdentifier": "free"}]}
CONTEXT: dict[Any, Any] = {
    "masterAccountId": ACCOUNT,
    "platform": "web-sandbox",
    "platformContext": {"chat": 5, "webhookSecret": "s3cr3t"},
    "parameterOverrides": {"prompt": "a cat"},
    "webhookUrl": "https://me.example/hook",
    "webhookSecret": "s3cr3t",
    "quote": {"totalCostPts": 9},
    "chargeUpfront": True,
    "persistMigration": False,
    "cookId": "cook-1",
    "client": object(),
    "ratio": float("nan"),
    7: "seven",
}


def execute(world: World, **changes: Any) -> Cast:
    return world.execute_spell(SPELL, CONTEXT | changes)


def casts(world: World) -> int:
    return len(world.store.list_casts(ACCOUNT, status=None, limit=99, cursor=None).items)


def test_what_a_context_says_is_where_the_cast_has_it() -> None:
    world = World()
    cast = execute(world)
    assert world.store.get_cast(cast.cast_id) == cast
    assert cast.cast_id in world.machine.casts
    assert cast.inputs == {"prompt": "a cat", "input_prompt": "a cat"}
    assert (cast.webhook_url, cast.webhook_secret) == ("https://me.example/hook", "s3cr3t")
    assert cast.metadata == {"platform": "web-sandbox", "platformContext": {"chat": 5}, "cookId": "cook-1"}


def test_without_a_cast_id_every_call_casts() -> None:
    world = World()
    assert len({execute(world).cast_id for _ in range(2)}) == 2


def test_the_callers_own_cast_id_makes_two_calls_one_cast() -> None:
    world = World()
    first, second = (execute(world, castId={"$oid": "65f1c0ffee65f1c0ffee0001"}) for _ in range(2))
    assert first.cast_id == second.cast_id
    assert first.metadata["castId"] == "65f1c0ffee65f1c0ffee0001"
    assert casts(world) == 1
    with pytest.raises(IdempotencyKeyReused):
        execute(world, castId="65f1c0ffee65f1c0ffee0001", parameterOverrides={"prompt": "a dog"})


def test_a_cast_that_exists_is_not_cast_again() -> None:
    world = World()
    cast = execute(world)
    assert execute(world, castId=cast.cast_id, parameterOverrides={}) == cast
    assert casts(world) == 1


def test_another_accounts_cast_id_is_a_name_like_any_other() -> None:
    world = World()
    theirs = execute(world, masterAccountId="bob")
    mine = execute(world, castId=theirs.cast_id)
    assert (mine.account_id, mine.cast_id != theirs.cast_id) == (ACCOUNT, True)


def test_a_start_that_was_lost_is_mended_by_the_repeat() -> None:
    world = World()
    cast = execute(world, castId="mine")
    del world.machine.casts[cast.cast_id]
    execute(world, castId="mine")
    assert cast.cast_id in world.machine.casts


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"masterAccountId": None}, "context.masterAccountId"),
        ({"masterAccountId": ""}, "context.masterAccountId"),
        ({"parameterOverrides": "x"}, "context.parameterOverrides"),
        ({"parameterOverrides": {1: "x"}}, "context.parameterOverrides"),
        ({"parameterOverrides": {"x": object()}}, "context.parameterOverrides"),
        ({"parameterOverrides": {"x": "\ud800"}}, "context.parameterOverrides"),
        ({"parameterOverrides": {"x": {1: 2, "a": 3}}}, "context.parameterOverrides"),
        ({"castId": {"a": 1}}, "context.castId"),
        ({"castId": True}, "context.castId"),
        ({"webhookUrl": 7}, "context.webhookUrl"),
        ({"webhookUrl": "https://a.example/" + "x" * 2_048}, "context.webhookUrl"),
        ({"webhookSecret": "x" * 257}, "context.webhookSecret"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_wrong_context_is_refused(changes: dict[str, Any], path: str) -> None:
    world = World()
    with pytest.raises(InvalidInput) as raised:
        execute(world, **changes)
    assert [fault.path for fault in raised.value.faults] == [path]
    assert casts(world) == 0


def test_a_spell_is_cast_by_its_slug_as_anyone_may() -> None:
    world = World()
    world.adopt_spell("bob", SPELL)
    with pytest.raises(SpellNotFound):
        world.cast_in_context({"masterAccountId": ACCOUNT}, "a-cat")
    assert world.cast_in_context({"masterAccountId": "bob"}, "a-cat").account_id == "bob"


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_call_is_mended_by_the_repeat(when: When) -> None:
    chokepoint = Chokepoint()
    execute(World(through=chokepoint), castId="mine")
    calls = len(chokepoint.calls)
    assert calls >= 6
    for number in range(1, calls + 1):
        chokepoint = Chokepoint()
        world = World(through=chokepoint)
        chokepoint.arm([(number, when)])
        with pytest.raises(Crash):
            execute(world, castId="mine")
        cast = execute(world, castId="mine")
        assert casts(world) == 1, chokepoint.killed
        assert (cast.status, list(world.machine.casts)) == ("running", [cast.cast_id]), chokepoint.killed
        (spell,) = world.store.list_spells(ACCOUNT, limit=9, cursor=None).items
        assert spell.version == 1, chokepoint.killed
