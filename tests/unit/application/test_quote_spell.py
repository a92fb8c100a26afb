"""Quotes of spells, before and after they were cast."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from spellcast.application.create_tool import CreateTool
from spellcast.domain.account_settings import AccountSettings
from spellcast.domain.casts import Cast
from spellcast.domain.errors import InvalidInput, SpellNotFound
from spellcast.domain.history import mean_cost
from tests.fakes.records import text_result
from tests.fakes.world import ACCOUNT, World, make_tool

PRICES = {"dall-e-3": {"1024x1024": {"standard": "0.04", "hd": "0.08"}, "1024x1792": {"standard": "0.08"}}}
DRAWING = make_tool(
    "drawing",
    inputSchema={key: {"type": "string", "required": False} for key in ("prompt", "size", "quality")},
    metadata={"costTable": PRICES},
)


@pytest.fixture
def world() -> World:
    return World(make_tool("timed", "async", "0.001", "second"), DRAWING)


def a_spell(world: World, *steps: dict[str, Any], account: str = ACCOUNT, **more: Any) -> str:
    content = {"steps": [{"id": f"n{number}", **step} for number, step in enumerate(steps)], **more}
    return world.create_spell(account, "quoted", "private", content)[0].spell_id


def quoted(world: World, spell: str, **inputs: Any) -> list[tuple[str, str, str]]:
    steps = world.quote_spell(ACCOUNT, spell, inputs).document()["breakdown"]
    return [(step["toolId"], step["costUsd"], step["basis"]) for step in steps]


def cast_timed(world: World, seconds: int, account: str = ACCOUNT) -> Cast:
    cast = world.cast("timed", "free")
    world.execute(cast)
    world.complete_job(f"{cast.cast_id}.0.1", text_result(duration_ms=seconds * 1000))
    world.process(cast)
    world.execute(cast, 1)
    world.process(cast, 1)
    world.settle(cast)
    return cast


def test_before_the_first_cast_the_definition_is_asked(world: World) -> None:
    spell = a_spell(world, {"toolIdentifier": "Timed"}, {"toolIdentifier": "free"}, {"toolIdentifier": "paid"})
    assert quoted(world, spell) == [("timed", "0.03", "default"), ("free", "0", "model"), ("paid", "0.01", "model")]


def test_after_casts_their_mean_is(world: World) -> None:
    casts = [cast_timed(world, seconds) for seconds in range(1, 9)]
    spell = a_spell(world, {"toolIdentifier": "timed"}, {"toolIdentifier": "free"})
    quote = world.quote_spell(ACCOUNT, spell, {})
    runs = world.store.list_runs("anybody", ["timed"])["timed"]
    assert 0 < len(runs) <= len(casts)
    assert (quote.breakdown[0].cost_usd, quote.breakdown[0].basis) == (mean_cost(runs), "history")
    assert {run.cost_usd for run in runs} <= {Decimal(seconds) / 1000 for seconds in range(1, 9)}
    # What is free leaves no trace.
    assert (quote.breakdown[1].basis, world.store.list_runs(ACCOUNT, ["free"])) == ("model", {"free": []})


@pytest.mark.parametrize(
    ("step", "inputs", "cost"),
    [
        pytest.param({}, {}, "0.04", id="nothing is known"),
        pytest.param({"parameterOverrides": {"quality": "hd"}}, {}, "0.08", id="the author's value"),
        pytest.param(
            {"parameterMappings": {"size": {"type": "static", "value": "1024x1792"}}}, {}, "0.08", id="mapped"
        ),
        pytest.param({"parameterOverrides": {"quality": "hd"}}, {"quality": "standard"}, "0.04", id="the caster's"),
        pytest.param({}, {"quality": "hd"}, "0.08", id="the caster's, exposed"),
        pytest.param({}, {"n0_quality": "hd"}, "0.08", id="the caster's, by the node"),
        pytest.param({}, {"size": "1x1"}, "0", id="a size that is not in the table"),
    ],
)
def test_a_table_is_read_by_what_is_known(
    world: World, step: dict[str, Any], inputs: dict[str, Any], cost: str
) -> None:
    exposed = [{"nodeId": "n0", "paramKey": "quality"}]
    spell = a_spell(world, {"toolIdentifier": "drawing", **step}, exposedInputs=exposed)
    assert quoted(world, spell, **inputs) == [("drawing", cost, "model")]


def test_a_table_is_read_by_what_the_caster_has_set(world: World) -> None:
    spell = a_spell(world, {"toolIdentifier": "drawing"})
    before = quoted(world, spell)
    world.store.put_settings(ACCOUNT, AccountSettings({"drawing": {"quality": "hd"}}))
    assert quoted(world, spell) != before == quoted(world, spell, quality="standard")


def test_an_accounts_own_tool_has_a_history_of_its_own(world: World) -> None:
    create_tool = CreateTool(world.store, {"fake": ("immediate", "async", "webhook")})
    for account in (ACCOUNT, "bob"):
        create_tool(account, make_tool("own", "async", "0.5").document)
    cast = world.cast("own")
    world.execute(cast)
    world.complete_job(f"{cast.cast_id}.0.1", text_result(cost_usd=Decimal("0.7")))
    world.process(cast)
    world.settle(cast)
    assert quoted(world, a_spell(world, {"toolIdentifier": "own"})) == [("own", "0.7", "history")]
    theirs = a_spell(world, {"toolIdentifier": "own"}, account="bob")
    assert world.quote_spell("bob", theirs, {}).document()["totalCostUsd"] == "0.5"


def test_a_tool_that_is_gone_is_named(world: World) -> None:
    world.store.create_tool(ACCOUNT, make_tool("own"))
    spell = a_spell(world, {"toolIdentifier": "free"}, {"toolIdentifier": "own"})
    world.store.forget_tool(ACCOUNT, "own")
    with pytest.raises(InvalidInput) as refused:
        world.quote_spell(ACCOUNT, spell, {})
    assert [(fault.path, "'own'" in fault.message) for fault in refused.value.faults] == [
        ("spell.steps[1].toolIdentifier", True)
    ]


def test_others_spells_are_not_quoted_unless_they_are_public(world: World) -> None:
    content = {"steps": [{"id": "n0", "toolIdentifier": "paid"}]}
    private = world.create_spell("bob", "secret", "private", content)[0]
    with pytest.raises(SpellNotFound):
        world.quote_spell(ACCOUNT, private.spell_id, {})
    public = world.create_spell("bob", "shared", "public", content)[0]
    assert quoted(world, public.slug) == [("paid", "0.01", "model")]


def test_a_quote_writes_nothing(world: World) -> None:
    spell = a_spell(world, {"toolIdentifier": "paid"})
    world.quote_spell(ACCOUNT, spell, {"prompt": "a cat"})
    assert world.store.writes == []
