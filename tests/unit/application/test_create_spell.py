from __future__ import annotations

from dataclasses import replace

import pytest

from spellcast.application.create_spell import CreateSpell
from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault, InvalidInput
from spellcast.domain.spells import Spell, SpellVersion, Visibility
from tests.fakes.world import ACCOUNT, World, make_tool


@pytest.fixture
def world() -> World:
    return World(make_tool("strict", inputSchema={"strength": {"type": "number"}}))


CONTENT: Document = {"description": "", "steps": [{"id": "n1", "toolIdentifier": "free"}]}


def saved(world: World, name: str = "A cat, painted!", account: str = ACCOUNT) -> Spell:
    spell: Spell = world.create_spell(account, name, "private", CONTENT)[0]
    return spell


def test_a_spell_is_saved_as_its_first_version(world: World) -> None:
    spell, version, warnings = world.create_spell(ACCOUNT, "A cat, painted!", "public", CONTENT)
    now = world.clock.now()
    assert spell == Spell(
        spell_id=spell.spell_id,
        account_id=ACCOUNT,
        slug="a-cat-painted",
        name="A cat, painted!",
        visibility="public",
        version=1,
        created_at=now,
        updated_at=now,
    )
    assert version == SpellVersion(
        spell_id=spell.spell_id, version=1, name="A cat, painted!", content=CONTENT, created_at=now
    )
    assert list(warnings) == []
    assert world.store.get_spell_by_slug("a-cat-painted") == spell
    assert world.store.get_version(spell.spell_id, 1) == version


def test_row_15_the_same_name_gets_a_slug_of_its_own(world: World) -> None:
    spells = [saved(world), saved(world), saved(world, account="bob"), saved(world, "a CAT painted")]
    assert len({spell.slug for spell in spells}) == 4
    assert [spell.slug for spell in spells[1:]] == [f"a-cat-painted-{spell.spell_id[:8]}" for spell in spells[1:]]
    for spell in spells:
        assert world.store.get_spell_by_slug(spell.slug) == spell


def test_a_tool_may_be_named_by_its_display_name(world: World) -> None:
    content = {"steps": [{"toolIdentifier": "Free"}]}
    assert world.create_spell(ACCOUNT, "s", "private", content)[0].version == 1


@pytest.mark.parametrize("visibility", ["private", "listed", "public"])
def test_who_shares_a_spell_with_a_tool_of_their_own_is_warned(world: World, visibility: Visibility) -> None:
    world.store.create_tool(ACCOUNT, replace(make_tool("own"), is_own=True))
    content: Document = {"steps": [{"toolIdentifier": "free"}, {"toolIdentifier": "own"}]}
    spell, _, created = world.create_spell(ACCOUNT, "A spell", visibility, content)
    _, _, updated = world.update_spell(ACCOUNT, spell.slug, "A spell", visibility, content)
    warned = [] if visibility == "private" else ["steps[1].toolIdentifier"]
    assert [warning.path for warning in created] == [warning.path for warning in updated] == warned


def test_what_the_linter_warns_of_comes_with_the_spell(world: World) -> None:
    content = {"steps": [{"toolIdentifier": "strict"}]}
    _, _, warnings = world.create_spell(ACCOUNT, "s", "private", content)
    assert list(warnings) == [Fault("steps[0]", "required input 'strength' of Strict is not mapped")]


@pytest.mark.parametrize(
    ("steps", "paths"),
    [
        ([], ["steps"]),
        ([{"toolIdentifier": "nope"}, {}], ["steps[0].toolIdentifier", "steps[1].toolIdentifier"]),
    ],
)
def test_a_spell_that_cannot_be_cast_is_refused_and_not_saved(
    world: World, steps: list[Document], paths: list[str]
) -> None:
    with pytest.raises(InvalidInput) as caught:
        world.create_spell(ACCOUNT, "s", "private", {"steps": steps})
    assert [fault.path for fault in caught.value.faults] == paths
    assert world.store.get_spell_by_slug("s") is None


def test_another_accounts_tool_does_not_exist(world: World) -> None:
    world.store.create_tool("bob", make_tool("bobs"))
    create: CreateSpell = world.create_spell
    with pytest.raises(InvalidInput):
        create(ACCOUNT, "s", "private", {"steps": [{"toolIdentifier": "bobs"}]})
