"""Who may use a listed spell: its owner, and those to whom it was granted while it is listed."""

from __future__ import annotations

from typing import Any

import pytest

from spellcast.application.cast_spell import CastOrder
from spellcast.domain.errors import SpellNotFound
from spellcast.domain.spells import Permission, Spell
from tests.fakes.world import ACCOUNT, World

CONTENT = {"steps": [{"toolIdentifier": "free"}]}


@pytest.fixture
def world() -> World:
    return World()


def saved(world: World, visibility: Any = "listed") -> Spell:
    spell: Spell = world.create_spell(ACCOUNT, "A cat", visibility, CONTENT)[0]
    return spell


def may_use(world: World, spell: Spell, account: str = "bob") -> bool:
    """Whether both reading and casting find it, by id and by slug; nothing in between is right."""
    found = []
    for reference in (spell.spell_id, spell.slug):
        for use in (
            lambda of: world.find_spells.get(account, of),
            lambda of: world.cast_spell(account, CastOrder(spell=of, fingerprint="f")),
        ):
            try:
                use(reference)
                found.append(True)
            except SpellNotFound:
                found.append(False)
    assert len(set(found)) == 1
    return found[0]


@pytest.mark.parametrize(
    ("visibility", "granted", "allowed"),
    [
        ("private", False, False),
        ("private", True, False),
        ("listed", False, False),
        ("listed", True, True),
        ("public", False, True),
        ("public", True, True),
    ],
)
def test_a_grant_counts_for_a_listed_spell(world: World, visibility: str, granted: bool, allowed: bool) -> None:
    spell = saved(world, visibility)
    if granted:
        world.grant_permission(ACCOUNT, spell.slug, "bob")
    assert may_use(world, spell) is allowed
    assert may_use(world, spell, ACCOUNT)


def test_a_grant_counts_once_the_spell_is_listed_and_as_long_as_it_is(world: World) -> None:
    spell = saved(world, "private")
    world.grant_permission(ACCOUNT, spell.slug, "bob")
    for visibility in ("listed", "private", "listed"):
        world.update_spell(ACCOUNT, spell.slug, "A cat", visibility, CONTENT)
        assert may_use(world, spell) is (visibility == "listed")


def test_a_grant_is_for_one_account_and_one_spell(world: World) -> None:
    first, second = saved(world), saved(world)
    world.grant_permission(ACCOUNT, first.slug, "bob")
    assert [may_use(world, first), may_use(world, second), may_use(world, first, "carol")] == [True, False, False]


def test_what_is_revoked_is_gone_and_the_running_cast_goes_on(world: World) -> None:
    spell = saved(world)
    world.grant_permission(ACCOUNT, spell.slug, "bob")
    cast, _ = world.cast_spell("bob", CastOrder(spell=spell.slug, fingerprint="f"))
    world.revoke_permission(ACCOUNT, spell.slug, "bob")
    assert not may_use(world, spell)
    world.execute(cast)
    world.process(cast)
    assert world.settle(cast).status == "completed"


def test_granting_and_revoking_may_be_repeated(world: World) -> None:
    spell = saved(world)
    first = world.grant_permission(ACCOUNT, spell.slug, "bob")
    assert first == Permission(spell.spell_id, "bob", ACCOUNT, world.clock.now())
    world.clock.advance(60)
    assert world.grant_permission(ACCOUNT, spell.slug, "bob") == first
    assert world.find_spells.permissions(ACCOUNT, spell.slug) == [first]
    for _ in range(2):
        world.revoke_permission(ACCOUNT, spell.slug, "bob")
    assert world.find_spells.permissions(ACCOUNT, spell.slug) == []


@pytest.mark.parametrize("account", ["bob", "carol"])
def test_only_the_owner_sees_grants_and_revokes(world: World, account: str) -> None:
    spell = saved(world)
    world.grant_permission(ACCOUNT, spell.slug, "bob")
    for reference in (spell.slug, spell.spell_id, "a-c"):
        with pytest.raises(SpellNotFound):
            world.find_spells.permissions(account, reference)
        with pytest.raises(SpellNotFound):
            world.grant_permission(account, reference, "carol")
        with pytest.raises(SpellNotFound):
            world.revoke_permission(account, reference, "bob")
    assert [grant.account_id for grant in world.find_spells.permissions(ACCOUNT, spell.slug)] == ["bob"]


@pytest.mark.parametrize(
    ("visibility", "account", "reads"),
    [("private", "bob", 0), ("public", "bob", 0), ("listed", ACCOUNT, 0), ("listed", "bob", 1)],
)
def test_a_grant_is_read_only_for_anothers_listed_spell(
    world: World, monkeypatch: pytest.MonkeyPatch, visibility: str, account: str, reads: int
) -> None:
    spell = saved(world, visibility)
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(world.store, "get_permission", lambda *key: asked.append(key))
    try:
        world.find_spells.get(account, spell.slug)
    except SpellNotFound:
        assert account == "bob"
    assert asked == [(spell.spell_id, account)] * reads
