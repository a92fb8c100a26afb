from __future__ import annotations

from typing import Any

import pytest

from spellcast.application.find_spells import MAX_NAMED, MAX_PAGE
from spellcast.domain.errors import SpellAmbiguous, SpellNotFound
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


# --- by the beginning of a slug ---


@pytest.mark.parametrize("text", ["port", "PORT", "Portrait-of", "portrait-of-a-ca"])
def test_the_beginning_of_one_own_slug_is_enough(world: World, text: str) -> None:
    spell = saved(world, "Portrait of a cat")
    saved(world, "A dog")
    saved(world, "Portrait of a dog", account="bob", visibility="public")
    assert world.find_spells.get(ACCOUNT, text) == spell


def test_several_that_begin_so_are_listed(world: World) -> None:
    for name in ("Cat two", "Cat one", "A dog"):
        saved(world, name)
    with pytest.raises(SpellAmbiguous) as caught:
        world.find_spells.get(ACCOUNT, "Cat")
    assert caught.value.message == 'Multiple spells found starting with "Cat": cat-one, cat-two'


def test_at_most_ten_are_listed(world: World) -> None:
    slugs = [saved(world, f"cat {number:02}").slug for number in range(MAX_NAMED + 1)]
    with pytest.raises(SpellAmbiguous) as caught:
        world.find_spells.get(ACCOUNT, "cat-")
    assert caught.value.message == f'Multiple spells found starting with "cat-": {", ".join(slugs[:MAX_NAMED])}, …'


def test_nothing_that_begins_so_is_not_found(world: World) -> None:
    saved(world, "A cat")
    for text in ("cat", "a-cats", "a c"):
        with pytest.raises(SpellNotFound, match=f'^Spell "{text}" not found.$'):
            world.find_spells.get(ACCOUNT, text)


def test_what_changes_a_spell_names_it_as_a_whole(world: World) -> None:
    spell = saved(world, "Portrait of a cat")
    for reference in ("portrait", spell.slug.upper()):
        with pytest.raises(SpellNotFound):
            world.find_spells.get_own(ACCOUNT, reference)
    for reference in (spell.spell_id, spell.slug, spell.name):
        assert world.find_spells.get_own(ACCOUNT, reference) == spell


@pytest.mark.parametrize("reference", ["First, the cat", "first", "nothing"])
def test_ones_own_are_paged_through_once(world: World, monkeypatch: pytest.MonkeyPatch, reference: str) -> None:
    saved(world, "First, the cat")
    for number in range(MAX_PAGE):
        saved(world, f"Spell {number}")
    asked: list[str | None] = []
    listed = world.store.list_spells

    def list_spells(account_id: str, *, limit: int, cursor: str | None) -> Any:
        asked.append(cursor)
        return listed(account_id, limit=limit, cursor=cursor)

    monkeypatch.setattr(world.store, "list_spells", list_spells)
    try:
        world.find_spells.get(ACCOUNT, reference)
    except SpellNotFound:
        assert reference == "nothing"
    assert len(asked) == len(set(asked)) == 2


# --- the order ---


def test_i8_what_others_call_their_spells_does_not_hide_ones_own(world: World) -> None:
    theirs = saved(world, "portrait", account="mallory", visibility="public")
    assert world.find_spells.get(ACCOUNT, "portrait") == theirs, "a public slug is everybody's"
    by_name = saved(world, "portrait")
    assert by_name.slug != "portrait"
    assert world.find_spells.get(ACCOUNT, "portrait") == world.find_spells.get_own(ACCOUNT, "portrait") == by_name
    by_slug = saved(world, "Sunset")
    saved(world, "sunset", account="mallory", visibility="public")
    assert world.find_spells.get(ACCOUNT, "sunset") == by_slug


def test_a_whole_public_slug_comes_before_the_beginning_of_an_own_one(world: World) -> None:
    theirs = saved(world, "portrait", account="bob", visibility="public")
    saved(world, "portrait of a cat")
    assert world.find_spells.get(ACCOUNT, "portrait") == theirs


def test_anothers_spell_that_may_not_be_used_does_not_stand_in_the_way_of_a_beginning(world: World) -> None:
    saved(world, "portrait", account="bob", visibility="private")
    own = saved(world, "portrait of a cat")
    assert world.find_spells.get(ACCOUNT, "portrait") == own


@pytest.mark.parametrize("visibility", ["private", "public"])
def test_a_name_in_the_form_of_an_id_is_a_name_and_takes_no_spells_place(world: World, visibility: str) -> None:
    theirs = saved(world, account="bob", visibility=visibility)
    named = saved(world, theirs.spell_id)
    found = world.find_spells.get(ACCOUNT, theirs.spell_id)
    assert found == (theirs if visibility == "public" else named)
    assert world.find_spells.get_own(ACCOUNT, theirs.spell_id) == named
    assert world.find_spells.get("bob", theirs.spell_id) == theirs


def test_i8_a_public_spell_is_not_ones_own(world: World) -> None:
    spell = saved(world, visibility="public", account="bob")
    for reference in (spell.spell_id, spell.slug, spell.name):
        with pytest.raises(SpellNotFound):
            world.find_spells.get_own(ACCOUNT, reference)


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
