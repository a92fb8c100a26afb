from __future__ import annotations

import pytest

from spellcast.domain.documents import Document
from spellcast.domain.errors import InvalidInput, SpellNotFound
from spellcast.domain.spells import Spell
from tests.fakes.world import ACCOUNT, World


def content(*tools: str) -> Document:
    return {"steps": [{"id": f"n{number}", "toolIdentifier": tool} for number, tool in enumerate(tools)]}


def saved(world: World, account: str = ACCOUNT, visibility: str = "private") -> Spell:
    spell: Spell = world.create_spell(account, "A cat", visibility, content("free"))[0]  # type: ignore[arg-type]
    return spell


@pytest.fixture
def world() -> World:
    return World()


def test_a_new_version_is_the_latest_and_the_first_stays(world: World) -> None:
    spell = saved(world)
    world.clock.advance(5)
    changed, version, warnings = world.update_spell(ACCOUNT, "a-cat", "A dog", "public", content("free", "called"))
    assert (changed.version, changed.name, changed.visibility, changed.slug) == (2, "A dog", "public", spell.slug)
    assert (changed.created_at, changed.updated_at) == (spell.created_at, world.clock.now())
    assert list(warnings) == []
    assert world.find_spells.version(changed) == version
    assert len(world.find_spells.version(changed, 1).steps) == 1


def test_a_running_cast_goes_on_with_the_version_that_it_names(world: World) -> None:
    cast = world.cast("free", "paid")
    world.update_spell(ACCOUNT, cast.spell_id, "Changed", "private", content("called"))
    world.execute(cast)
    assert [world.generation(cast, position).tool_id for position in (0, 1)] == ["free", "paid"]


def test_a_version_that_another_was_faster_with_follows_it(world: World) -> None:
    spell = saved(world)
    world.store.meanwhile.append(
        lambda: world.update_spell(ACCOUNT, spell.spell_id, "Theirs", "private", content("paid"))
    )
    changed, _, _ = world.update_spell(ACCOUNT, spell.spell_id, "Mine", "private", content("free"))
    assert (changed.version, world.find_spells.version(changed, 2).name) == (3, "Theirs")


def test_faults_change_nothing(world: World) -> None:
    spell = saved(world)
    with pytest.raises(InvalidInput):
        world.update_spell(ACCOUNT, spell.spell_id, "A cat", "private", content("no such tool"))
    assert world.store.get_spell(spell.spell_id) == spell


@pytest.mark.parametrize("visibility", ["private", "public"])
def test_only_its_owner_changes_or_deletes_a_spell(world: World, visibility: str) -> None:
    spell = saved(world, visibility=visibility)
    with pytest.raises(SpellNotFound):
        world.update_spell("bob", spell.spell_id, "Mine now", "private", content("free"))
    with pytest.raises(SpellNotFound):
        world.delete_spell("bob", spell.spell_id)
    assert world.store.get_spell(spell.spell_id) == spell


def test_a_deleted_spell_is_cast_by_nobody_and_its_casts_go_on(world: World) -> None:
    cast = world.cast("free", "free")
    world.delete_spell(ACCOUNT, cast.spell_id)
    with pytest.raises(SpellNotFound):
        world.find_spells.get(ACCOUNT, cast.spell_id)
    with pytest.raises(SpellNotFound):
        world.delete_spell(ACCOUNT, cast.spell_id)
    world.execute(cast)
    world.process(cast)
    assert world.settle(cast).status == "completed"
