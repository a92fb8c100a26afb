from __future__ import annotations

from typing import Any

import pytest

from spellcast.application.find_spells import MAX_PAGE
from spellcast.domain.errors import SpellNotFound
from spellcast.domain.spells import Spell
from tests.fakes.world import ACCOUNT, World


@pytest.fixture
def world() -> World:
    return World()


def saved(world: World, name: str = "A cat", account: str = ACCOUNT, visibility: Any = "private") -> Spell:
    world.clock.advance(1)
    spell: Spell = world.create_spell(account, name, visibility, {"steps": [{"toolIdentifier": "free"}]})[0]
    return spell


@pytest.mark.parametrize("reference", ["slug", "name", "spell_id"])
def test_a_spell_is_found_by_slug_name_and_id(world: World, reference: str) -> None:
    spell = saved(world)
    assert world.find_spells.get(ACCOUNT, getattr(spell, reference)) == spell


@pytest.mark.parametrize("reference", ["slug", "name", "spell_id"])
@pytest.mark.parametrize("visibility", ["private", "listed"])
def test_i8_what_belongs_to_others_does_not_exist(world: World, reference: str, visibility: str) -> None:
    spell = saved(world, visibility=visibility)
    with pytest.raises(SpellNotFound):
        world.find_spells.get("bob", getattr(spell, reference))


@pytest.mark.parametrize(("reference", "found"), [("slug", True), ("spell_id", True), ("name", False)])
def test_a_public_spell_is_found_by_slug_and_id(world: World, reference: str, found: bool) -> None:
    spell = saved(world, visibility="public")
    if found:
        assert world.find_spells.get("bob", getattr(spell, reference)) == spell
    else:
        with pytest.raises(SpellNotFound):
            world.find_spells.get("bob", getattr(spell, reference))


def test_a_slug_comes_before_a_name(world: World) -> None:
    first = saved(world, "a cat")
    saved(world, "a-cat")
    assert world.find_spells.get(ACCOUNT, "a-cat") == first


def test_i8_anothers_private_slug_does_not_hide_ones_own_spell(world: World) -> None:
    saved(world, "a-cat", account="bob")
    own = saved(world, "a-cat")
    assert world.find_spells.get(ACCOUNT, "a-cat") == own


def test_a_name_is_found_on_whatever_page_it_stands(world: World) -> None:
    first = saved(world, "The first")
    for number in range(MAX_PAGE + 1):
        saved(world, f"Spell {number}")
    assert world.find_spells.get(ACCOUNT, "The first") == first


def test_the_latest_version_is_the_one_that_is_meant(world: World) -> None:
    spell = saved(world)
    assert world.find_spells.version(spell).version == 1
    assert world.find_spells.version(spell, 1).version == 1
    with pytest.raises(SpellNotFound, match="no version 2"):
        world.find_spells.version(spell, 2)


def test_a_list_holds_the_accounts_own_latest_first_in_pages(world: World) -> None:
    own = [saved(world, f"Spell {number}") for number in range(3)]
    saved(world, account="bob", visibility="public")
    first = world.find_spells.list(ACCOUNT, limit=2, cursor=None)
    assert list(first.items) == [own[2], own[1]]
    rest = world.find_spells.list(ACCOUNT, limit=2, cursor=first.cursor)
    assert (list(rest.items), rest.cursor) == ([own[0]], None)
