"""Takes a spell out of use; its versions stay for the casts that name them."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.application.find_spells import FindSpells
from spellcast.domain.errors import SpellNotFound
from spellcast.ports.store import SpellStore


@dataclass(frozen=True, slots=True)
class DeleteSpell:
    """Only its owner's to delete; its slug is not given to another spell."""

    spells: SpellStore
    find_spells: FindSpells

    def __call__(self, account_id: str, reference: str) -> None:
        """Raises SpellNotFound, also where it is deleted already."""
        spell = self.find_spells.get_own(account_id, reference)
        if not self.spells.delete_spell(spell):
            raise SpellNotFound(f'Spell "{reference}" not found.')
