"""Lets an account use a spell while that is listed."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.application.find_spells import FindSpells
from spellcast.domain.errors import WriteConflict
from spellcast.domain.spells import Permission
from spellcast.ports.clock import Clock
from spellcast.ports.store import SpellStore


@dataclass(frozen=True, slots=True)
class GrantPermission:
    """Only its owner's to grant, at any time: a grant counts while the spell is listed."""

    spells: SpellStore
    find_spells: FindSpells
    clock: Clock

    def __call__(self, owner_id: str, reference: str, account_id: str) -> Permission:
        """The permission; where there is one already, it stays as it is. Raises SpellNotFound."""
        spell = self.find_spells.get_own(owner_id, reference)
        permission = Permission(spell.spell_id, account_id, owner_id, self.clock.now())
        try:
            self.spells.create_permission(permission)
        except WriteConflict:
            return self.spells.get_permission(spell.spell_id, account_id) or permission
        return permission
