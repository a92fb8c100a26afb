"""Finds spells by slug, name or id, among those that the account may use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spellcast.domain.errors import SpellAmbiguous, SpellNotFound
from spellcast.domain.identifiers import is_id
from spellcast.domain.spells import Permission, Spell, SpellVersion
from spellcast.ports.store import Page, SpellStore

MAX_PAGE = 100
MAX_NAMED = 10


@dataclass(frozen=True, slots=True)
class FindSpells:
    """What belongs to others and may not be used does not exist."""

    spells: SpellStore

    def get(self, account_id: str, reference: str) -> Spell:
        """By id, one's own slug, one's own name, another's slug, the beginning of one slug of one's own.

        In this order, and never by the name that another gave: nobody can name a spell so that it takes the place of
        one's own. (No slug has the form of an id.) Raises SpellNotFound, SpellAmbiguous.
        """
        if is_id(reference):
            by_id = self.spells.get_spell(reference)
            if by_id is not None and self._may_be_used(account_id, by_id):
                return by_id
        by_slug = self.spells.get_spell_by_slug(reference)
        if by_slug is not None and by_slug.account_id == account_id:
            return by_slug
        named, begun = self._search_own(account_id, reference)
        if named is not None:
            return named
        if by_slug is not None and self._may_be_used(account_id, by_slug):
            return by_slug
        if len(begun) > 1:
            slugs = sorted(spell.slug for spell in begun)
            listed = ", ".join(slugs[:MAX_NAMED]) + (", …" if len(slugs) > MAX_NAMED else "")
            raise SpellAmbiguous(f'Multiple spells found starting with "{reference}": {listed}')
        if not begun:
            raise SpellNotFound(f'Spell "{reference}" not found.')
        return begun[0]

    def id_of(self, account_id: str, reference: str) -> str:
        """The id of the spell that is meant. An id is taken as it is: casts outlive their spell.

        Raises SpellNotFound, SpellAmbiguous.
        """
        return reference if is_id(reference) else self.get(account_id, reference).spell_id

    def get_own(self, account_id: str, reference: str) -> Spell:
        """By id, slug or name, as a whole: what changes a spell must not mean another. Raises SpellNotFound."""
        found = self.spells.get_spell(reference) if is_id(reference) else self.spells.get_spell_by_slug(reference)
        if found is None or found.account_id != account_id:
            found, _ = self._search_own(account_id, reference)
        if found is None:
            raise SpellNotFound(f'Spell "{reference}" not found.')
        return found

    def permissions(self, account_id: str, reference: str) -> Sequence[Permission]:
        """To whom one's own spell is granted. Raises SpellNotFound."""
        return self.spells.list_permissions(self.get_own(account_id, reference).spell_id)

    def version(self, spell: Spell, number: int | None = None) -> SpellVersion:
        """A version of the spell, the latest where none is named. Raises SpellNotFound."""
        version = self.spells.get_version(spell.spell_id, number or spell.version)
        if version is None:
            raise SpellNotFound(f'Spell "{spell.slug}" has no version {number}.')
        return version

    def list(self, account_id: str, *, limit: int, cursor: str | None) -> Page[Spell]:
        """The account's own, latest first."""
        return self.spells.list_spells(account_id, limit=limit, cursor=cursor)

    def _may_be_used(self, account_id: str, spell: Spell) -> bool:
        if spell.visibility != "listed" or spell.account_id == account_id:
            return spell.may_be_cast_by(account_id)
        granted = self.spells.get_permission(spell.spell_id, account_id) is not None
        return spell.may_be_cast_by(account_id, granted=granted)

    def _search_own(self, account_id: str, text: str) -> tuple[Spell | None, Sequence[Spell]]:
        """The spell with this name, or else those whose slugs begin with the text, from one pass over the list."""
        begun = []
        cursor: str | None = None
        while True:
            page = self.spells.list_spells(account_id, limit=MAX_PAGE, cursor=cursor)
            for spell in page.items:
                if spell.name == text:
                    return spell, []
                if spell.slug.startswith(text.lower()):
                    begun.append(spell)
            if page.cursor is None:
                return None, begun
            cursor = page.cursor
