"""The original's `execute(spell, context)`: adopts the spell and casts it."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.application.adopt_spell import AdoptSpell
from spellcast.application.cast_in_context import CastInContext
from spellcast.domain import originals
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document


@dataclass(frozen=True, slots=True)
class ExecuteSpell:
    """A repeat adopts nothing anew; whether it casts anew is for the context's `castId` to say."""

    adopt_spell: AdoptSpell
    cast_in_context: CastInContext

    def __call__(self, document: Document, context: Document) -> Cast:
        """The cast. Raises SpellNotExecutable, InvalidInput, IdempotencyKeyReused."""
        spell, version = self.adopt_spell(originals.account_of(context), document)
        return self.cast_in_context(context, spell.spell_id, version.version)
