"""The original's `execute(spell, context)`: adopts the spell and casts it."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.application.adopt_spell import AdoptSpell
from spellcast.application.cast_in_context import CastInContext
from spellcast.domain import originals
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault, InvalidInput


@dataclass(frozen=True, slots=True)
class ExecuteSpell:
    """A repeat adopts nothing anew; whether it casts anew is for the context's `castId` to say."""

    adopt_spell: AdoptSpell
    cast_in_context: CastInContext

    def __call__(self, document: Document, context: Document) -> Cast:
        """The cast. Raises SpellNotExecutable, InvalidInput, IdempotencyKeyReused."""
        account_id = originals.id_text(context.get("masterAccountId"))
        if account_id is None:
            raise InvalidInput([Fault("context.masterAccountId", "says whose cast it is, and is missing")])
        spell, version = self.adopt_spell(account_id, document)
        return self.cast_in_context(context, spell.spell_id, version.version)
