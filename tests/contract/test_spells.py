"""ports.store.SpellStore: heads, versions and slugs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given

from spellcast.domain.errors import InvalidInput, WriteConflict
from spellcast.domain.spells import Permission, Spell, SpellVersion
from spellcast.ports.store import Page
from tests.contract import records
from tests.contract.records import NOW, drawn, make_spell, new_id
from tests.contract.stores import Cloud, Stores


@drawn
@given(spell=records.spells, version=records.versions)
def test_a_spell_and_its_version_come_back_as_they_were_written(
    stores: Stores, spell: Spell, version: SpellVersion
) -> None:
    spell = replace(spell, spell_id=new_id(), slug=new_id())
    version = replace(version, spell_id=spell.spell_id)
    stores.spells.create_spell(spell, version)
    assert stores.spells.get_spell(spell.spell_id) == spell
    assert stores.spells.get_spell_by_slug(spell.slug) == spell
    assert stores.spells.get_version(spell.spell_id, version.version) == version
    # The second answer may come from memory.
    assert stores.spells.get_version(spell.spell_id, version.version) == version


def test_what_is_unknown_is_none(stores: Stores) -> None:
    spell, version = make_spell()
    stores.spells.create_spell(spell, version)
    assert stores.spells.get_spell("nothing") is None
    assert stores.spells.get_spell(spell.slug) is None
    assert stores.spells.get_spell_by_slug("nothing") is None
    assert stores.spells.get_spell_by_slug(spell.spell_id) is None
    assert stores.spells.get_version(spell.spell_id, 2) is None
    assert stores.spells.get_version("nothing", 1) is None


def test_a_version_whose_key_would_be_longer_than_dynamodb_takes_is_not_asked_for(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def get_item(**request: Any) -> dict[str, Any]:
        asked.append(request)
        return {}

    monkeypatch.setattr(cloud.dynamodb, "get_item", get_item)
    assert [cloud.spells.get_version("s", number) for number in (10**8 - 1, 10**8, 10**2_000)] == [None] * 3
    assert len(asked) == 1


def test_a_version_that_was_missed_is_found_once_it_is_there(stores: Stores) -> None:
    spell, version = make_spell()
    assert stores.spells.get_version(spell.spell_id, 1) is None
    stores.spells.create_spell(spell, version)
    assert stores.spells.get_version(spell.spell_id, 1) == version


def test_a_slug_belongs_to_one_spell_and_the_second_is_not_written_at_all(stores: Stores) -> None:
    first, first_version = make_spell("a-cat")
    stores.spells.create_spell(first, first_version)
    second, second_version = make_spell("a-cat", account_id="bob")
    with pytest.raises(WriteConflict):
        stores.spells.create_spell(second, second_version)
    assert stores.spells.get_spell_by_slug("a-cat") == first
    assert stores.spells.get_spell(second.spell_id) is None
    assert stores.spells.get_version(second.spell_id, 1) is None
    assert stores.spells.list_spells("bob", limit=5, cursor=None) == Page([], None)


def test_an_id_belongs_to_one_spell_and_the_second_takes_no_slug(stores: Stores) -> None:
    first, version = make_spell("a-cat")
    stores.spells.create_spell(first, version)
    with pytest.raises(WriteConflict):
        stores.spells.create_spell(replace(first, slug="a-dog", name="A dog"), version)
    assert stores.spells.get_spell_by_slug("a-dog") is None
    assert stores.spells.get_spell(first.spell_id) == first


def test_a_refused_spell_can_be_written_under_another_slug(stores: Stores) -> None:
    stores.spells.create_spell(*make_spell("a-cat"))
    second, version = make_spell("a-cat")
    with pytest.raises(WriteConflict):
        stores.spells.create_spell(second, version)
    stores.spells.create_spell(second.with_slug("a-cat-2"), version)
    assert stores.spells.get_spell_by_slug("a-cat-2") == second.with_slug("a-cat-2")


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6])
def test_pages_hold_every_spell_once_latest_first_and_no_others(stores: Stores, limit: int) -> None:
    made = []
    for number in range(5):
        spell, version = make_spell(f"own-{number}", created_at=NOW + timedelta(milliseconds=number))
        stores.spells.create_spell(spell, version)
        made.append(spell)
    stores.spells.create_spell(*make_spell("theirs", account_id="bob"))
    found: list[Spell] = []
    cursor = None
    for _ in range(20):
        page: Page[Spell] = stores.spells.list_spells("alice", limit=limit, cursor=cursor)
        found += page.items
        cursor = page.cursor
        if cursor is None:
            break
    assert found == made[::-1]


def test_a_cursor_of_the_casts_leads_to_no_cast(stores: Stores) -> None:
    spell, version = make_spell(created_at=NOW)
    stores.spells.create_spell(spell, version)
    for number in range(2):
        stores.casts.create_cast(records.make_cast(started_at=NOW + timedelta(seconds=number + 1)))
    cursor = stores.casts.list_casts("alice", status=None, limit=1, cursor=None).cursor
    assert cursor is not None
    assert list(stores.spells.list_spells("alice", limit=5, cursor=cursor).items) == [spell]


def test_what_is_no_cursor_is_refused(stores: Stores) -> None:
    with pytest.raises(InvalidInput):
        stores.spells.list_spells("alice", limit=5, cursor="ünï")


def test_a_further_version_and_its_head_are_written_together(stores: Stores) -> None:
    spell, version = make_spell()
    stores.spells.create_spell(spell, version)
    second = replace(spell, version=2, name="renamed", visibility="public", updated_at=NOW + timedelta(seconds=1))
    second_version = replace(version, version=2, name="renamed")
    stores.spells.save_spell(second, second_version)
    assert stores.spells.get_spell(spell.spell_id) == stores.spells.get_spell_by_slug(spell.slug) == second
    assert stores.spells.get_version(spell.spell_id, 2) == second_version
    assert stores.spells.get_version(spell.spell_id, 1) == version, "a version never changes"


def test_a_version_that_another_was_faster_with_is_not_written(stores: Stores) -> None:
    spell, version = make_spell()
    stores.spells.create_spell(spell, version)
    stores.spells.save_spell(replace(spell, version=2), replace(version, version=2, name="first"))
    with pytest.raises(WriteConflict):
        stores.spells.save_spell(replace(spell, version=2), replace(version, version=2, name="second"))
    kept = stores.spells.get_version(spell.spell_id, 2)
    assert kept is not None
    assert kept.name == "first"


def test_a_deleted_spell_is_gone_and_its_versions_and_its_slug_are_not(stores: Stores) -> None:
    spell, version = make_spell()
    stores.spells.create_spell(spell, version)
    assert [stores.spells.delete_spell(spell), stores.spells.delete_spell(spell)] == [True, False]
    assert stores.spells.get_spell(spell.spell_id) is None
    assert stores.spells.get_spell_by_slug(spell.slug) is None
    assert list(stores.spells.list_spells(spell.account_id, limit=5, cursor=None).items) == []
    assert stores.spells.get_version(spell.spell_id, 1) == version
    other, other_version = make_spell(spell.slug, account_id="bob")
    with pytest.raises(WriteConflict):
        stores.spells.create_spell(other, other_version)
    with pytest.raises(WriteConflict):
        stores.spells.save_spell(replace(spell, version=2), replace(version, version=2))


def test_a_version_of_a_deleted_spell_is_not_written_again(stores: Stores) -> None:
    spell, version = make_spell("gone-before")
    stores.spells.create_spell(spell, version)
    stores.spells.delete_spell(spell)
    renamed = replace(version, name="Another")
    with pytest.raises(WriteConflict):
        stores.spells.create_spell(replace(spell, slug="gone-again"), renamed)
    assert stores.spells.get_version(spell.spell_id, 1) == version
    again = replace(spell, slug="gone-again", version=2)
    stores.spells.create_spell(again, replace(renamed, version=2))
    assert stores.spells.get_spell(spell.spell_id) == again


def counted(stores: Stores, spell: Spell) -> int | None:
    found = stores.spells.get_spell(spell.spell_id)
    return None if found is None else found.usage_count


def test_casts_are_counted_and_nothing_else_of_the_head_changes(stores: Stores) -> None:
    spell, version = make_spell()
    stores.spells.create_spell(spell, version)
    for _ in range(3):
        stores.spells.count_usage(spell.spell_id)
    assert stores.spells.get_spell(spell.spell_id) == replace(spell, usage_count=spell.usage_count + 3)


def test_what_is_not_there_is_not_counted_and_does_not_come_to_be(stores: Stores) -> None:
    spell, version = make_spell()
    stores.spells.count_usage(spell.spell_id)
    assert counted(stores, spell) is None
    stores.spells.create_spell(spell, version)
    stores.spells.delete_spell(spell)
    stores.spells.count_usage(spell.spell_id)
    assert counted(stores, spell) is None
    assert list(stores.spells.list_spells(spell.account_id, limit=5, cursor=None).items) == []


def test_a_new_version_does_not_take_back_what_was_counted_since(stores: Stores) -> None:
    spell, version = make_spell()
    stores.spells.create_spell(spell, version)
    stores.spells.count_usage(spell.spell_id)
    stores.spells.save_spell(replace(spell, version=2, name="renamed"), replace(version, version=2))
    found = stores.spells.get_spell(spell.spell_id)
    assert found == replace(spell, version=2, name="renamed", usage_count=spell.usage_count + 1)


def permission(account: str = "bob", spell_id: str = "s1") -> Permission:
    return Permission(spell_id, account, "alice", NOW)


def test_a_permission_is_given_once_and_taken_once(stores: Stores) -> None:
    spells = stores.spells
    assert spells.get_permission("s1", "bob") is None
    spells.create_permission(permission())
    with pytest.raises(WriteConflict):
        spells.create_permission(replace(permission(), granted_by="carol", granted_at=NOW + timedelta(days=1)))
    assert spells.get_permission("s1", "bob") == permission()
    for _ in range(2):
        spells.delete_permission("s1", "bob")
    assert spells.get_permission("s1", "bob") is None
    spells.create_permission(permission())


def test_permissions_are_of_one_spell_and_one_account(stores: Stores) -> None:
    spell, version = make_spell()
    stores.spells.create_spell(spell, version)
    accounts = ["auth0|5f7c", "bob", "bob2", "carol@me.example"]
    for account in reversed(accounts):
        stores.spells.create_permission(permission(account, spell.spell_id))
    stores.spells.create_permission(permission("dave", "another"))
    found = stores.spells.list_permissions(spell.spell_id)
    assert found == [permission(account, spell.spell_id) for account in accounts]
    assert stores.spells.get_permission(spell.spell_id, "dave") is None
    assert stores.spells.get_permission(spell.spell_id, "bo") is None
    assert stores.spells.list_permissions("nothing") == []


def test_an_erased_spell_takes_its_versions_and_its_slug_with_it_and_no_others(stores: Stores) -> None:
    (erased, version), (other, others_version) = make_spell(new_id()), make_spell(new_id())
    stores.spells.create_spell(erased, version)
    stores.spells.create_spell(other, others_version)
    for _ in range(2):
        stores.spells.erase_spell(erased)
        assert stores.spells.get_spell(erased.spell_id) is None
        assert stores.spells.get_spell_by_slug(erased.slug) is None
        assert stores.spells.get_version(erased.spell_id, 1) is None
    assert stores.spells.get_spell_by_slug(other.slug) == other
    assert stores.spells.get_version(other.spell_id, 1) == others_version
