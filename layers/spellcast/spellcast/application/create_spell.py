"""Saves a new spell, with what the linter has to say about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spellcast.application.find_tools import FindTools
from spellcast.domain import identifiers, linter
from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault, InvalidInput, WriteConflict
from spellcast.domain.spells import Spell, SpellVersion, Visibility
from spellcast.ports.clock import Clock
from spellcast.ports.store import SpellStore


@dataclass(frozen=True, slots=True)
class CreateSpell:
    """Version 1 of a spell, under a slug that nobody else has."""

    spells: SpellStore
    find_tools: FindTools
    clock: Clock

    def find_faults(self, account_id: str, content: Document) -> list[Fault]:
        """What the linter finds in a spell whose shape may be wrong besides."""
        return linter.find_faults(content, self.find_tools.known(account_id, linter.tool_identifiers(content)))

    def __call__(
        self, account_id: str, name: str, visibility: Visibility, content: Document
    ) -> tuple[Spell, SpellVersion, Sequence[Fault]]:
        """The spell, its version and the linter's warnings. Raises InvalidInput with every fault."""
        tools = self.find_tools.known(account_id, linter.tool_identifiers(content))
        if faults := linter.find_faults(content, tools):
            raise InvalidInput(faults)
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
        return spell, version, linter.find_warnings(content, tools)
