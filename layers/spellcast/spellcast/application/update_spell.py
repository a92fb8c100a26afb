"""Saves a new version of a spell; the versions before it stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spellcast.application.find_spells import FindSpells
from spellcast.application.lint_spell import LintSpell
from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault, WriteConflict
from spellcast.domain.spells import Spell, SpellVersion, Visibility
from spellcast.ports.clock import Clock
from spellcast.ports.store import SpellStore


@dataclass(frozen=True, slots=True)
class UpdateSpell:
    """The slug stays: links to a spell outlive its name. A cast goes on with the version that it names."""

    spells: SpellStore
    find_spells: FindSpells
    lint_spell: LintSpell
    clock: Clock

    def __call__(
        self, account_id: str, reference: str, name: str, visibility: Visibility, content: Document
    ) -> tuple[Spell, SpellVersion, Sequence[Fault]]:
        """The spell, its new version and the linter's warnings. Raises SpellNotFound, InvalidInput."""
        spell = self.find_spells.get_own(account_id, reference)
        warnings = self.lint_spell(account_id, content, visibility)
        while True:
            now = self.clock.now()
            changed = spell.changed(name=name, visibility=visibility, now=now)
            version = SpellVersion(
                spell_id=spell.spell_id, version=changed.version, name=name, content=content, created_at=now
            )
            try:
                self.spells.save_spell(changed, version)
            except WriteConflict:
                # Another version was faster; this one follows it.
                spell = self.find_spells.get_own(account_id, spell.spell_id)
                continue
            return changed, version, warnings
