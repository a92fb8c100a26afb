"""Takes from an account what it was granted; its running casts go on."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.application.find_spells import FindSpells
from spellcast.ports.store import SpellStore


@dataclass(frozen=True, slots=True)
class RevokePermission:
    """Only the owner's to revoke."""

    spells: SpellStore
    find_spells: FindSpells

    def __call__(self, owner_id: str, reference: str, account_id: str) -> None:
        """Harmless where nothing was granted. Raises SpellNotFound."""
        spell = self.find_spells.get_own(owner_id, reference)
        self.spells.delete_permission(spell.spell_id, account_id)
