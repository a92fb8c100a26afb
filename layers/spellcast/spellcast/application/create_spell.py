"""Saves a new spell, with what the linter has to say about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spellcast.application.lint_spell import LintSpell
from spellcast.domain import identifiers
from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault, WriteConflict
from spellcast.domain.spells import Spell, SpellVersion, Visibility
from spellcast.ports.clock import Clock
from spellcast.ports.store import SpellStore


@dataclass(frozen=True, slots=True)
class CreateSpell:
    """Version 1 of a spell, under a slug that nobody else has."""

    spells: SpellStore
    lint_spell: LintSpell
    clock: Clock

    def __call__(
        self, account_id: str, name: str, visibility: Visibility, content: Document
    ) -> tuple[Spell, SpellVersion, Sequence[Fault]]:
        """The spell, its version and the linter's warnings. Raises InvalidInput with every fault."""
        warnings = self.lint_spell(account_id, content, visibility)
        now = self.clock.now()
        spell_id = identifiers.new_id()
        spell = Spell(
            spell_id=spell_id,
            account_id=account_id,
            slug=identifiers.slug_base(name),
            name=name,
            visibility=visibility,
            version=1,
            created_at=now,
            updated_at=now,
        )
        version = SpellVersion(spell_id=spell_id, version=1, name=name, content=content, created_at=now)
        try:
            self.spells.create_spell(spell, version)
        except WriteConflict:
            spell = spell.with_slug(f"{spell.slug}-{spell_id[:8]}")
            self.spells.create_spell(spell, version)
        return spell, version, warnings
