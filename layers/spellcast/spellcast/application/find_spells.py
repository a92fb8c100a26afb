"""Finds spells by slug, name or id, among those that the account may use."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.domain.errors import SpellNotFound
from spellcast.domain.identifiers import is_id
from spellcast.domain.spells import Spell, SpellVersion
from spellcast.ports.store import Page, SpellStore

MAX_PAGE = 100


@dataclass(frozen=True, slots=True)
class FindSpells:
    """What belongs to others and is not public does not exist."""

    spells: SpellStore

    def get(self, account_id: str, reference: str) -> Spell:
        """By id, by one's own slug or name, or by the slug of a public spell. Raises SpellNotFound.

        In this order: nobody can name a spell so that it stands in the way of another's.
        """
        if is_id(reference):
            found = self.spells.get_spell(reference)
        else:
            by_slug = self.spells.get_spell_by_slug(reference)
            is_own = by_slug is not None and by_slug.account_id == account_id
            found = by_slug if is_own else self._by_name(account_id, reference) or by_slug
        if found is None or not found.may_be_cast_by(account_id):
            raise SpellNotFound(f'Spell "{reference}" not found.')
        return found

    def get_own(self, account_id: str, reference: str) -> Spell:
        """The same among one's own. Raises SpellNotFound."""
        spell = self.get(account_id, reference)
        if spell.account_id != account_id:
            raise SpellNotFound(f'Spell "{reference}" not found.')
        return spell

    def version(self, spell: Spell, number: int | None = None) -> SpellVersion:
        """A version of the spell, the latest where none is named. Raises SpellNotFound."""
        version = self.spells.get_version(spell.spell_id, number or spell.version)
        if version is None:
            raise SpellNotFound(f'Spell "{spell.slug}" has no version {number}.')
        return version

    def list(self, account_id: str, *, limit: int, cursor: str | None) -> Page[Spell]:
        """The account's own, latest first."""
        return self.spells.list_spells(account_id, limit=limit, cursor=cursor)

    def _by_name(self, account_id: str, name: str) -> Spell | None:
        cursor: str | None = None
        while True:
            page = self.spells.list_spells(account_id, limit=MAX_PAGE, cursor=cursor)
            for spell in page.items:
                if spell.name == name:
                    return spell
            if page.cursor is None:
                return None
            cursor = page.cursor
