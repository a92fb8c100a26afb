"""Starts a cast from the context that the original's callers send (original-system.md §2.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from spellcast.application.cast_spell import CastOrder, CastSpell
from spellcast.domain import documents, identifiers, originals
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault, InvalidInput
from spellcast.ports.store import CastStore

MAX_URL_CHARACTERS = 2_048
MAX_SECRET_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class CastInContext:
    """`quote`, `chargeUpfront` and `persistMigration` have no effect here; what else a context holds is metadata.

    A `castId` of this account's is that cast, and nothing is cast again. Any other `castId` is the caller's own name
    for the cast: it stays in the metadata, and the same call under it leads to the same cast.
    """

    casts: CastStore
    cast_spell: CastSpell

    def __call__(self, context: Document, spell: str, version: int | None = None) -> Cast:
        """The cast. Raises InvalidInput, SpellNotFound, and IdempotencyKeyReused for a castId of another call."""
        account_id = originals.account_of(context)
        if faults := list(_faults(context)):
            raise InvalidInput(faults)
        own_name = originals.id_text(context.get("castId"))
        if own_name is not None and (known := self._known(account_id, own_name)):
            return known
        metadata = originals.context_metadata(context) | ({"castId": own_name} if own_name else {})
        inputs = context.get("parameterOverrides") or {}
        webhook = {"url": context.get("webhookUrl") or None, "secret": context.get("webhookSecret") or None}
        order = CastOrder(
            spell=spell,
            version=version,
            fingerprint=identifiers.fingerprint(documents.canonical([spell, version, inputs, metadata, webhook])),
            inputs=inputs,
            webhook_url=webhook["url"],
            webhook_secret=webhook["secret"],
            metadata=metadata,
            idempotency_key=own_name and f"castId:{own_name}",
        )
        return self.cast_spell(account_id, order)[0]

    def _known(self, account_id: str, cast_id: str) -> Cast | None:
        # No id of ours is longer, and DynamoDB refuses keys over 2,048 bytes.
        cast = self.casts.get_cast(cast_id) if len(cast_id) <= 64 else None
        return cast if cast is not None and cast.account_id == account_id else None


def _faults(context: Document) -> Iterator[Fault]:
    inputs = context.get("parameterOverrides") or {}
    if not isinstance(inputs, dict) or not all(isinstance(key, str) for key in inputs):
        yield Fault("context.parameterOverrides", "is not an object")
    elif not originals.is_json(inputs):
        yield Fault("context.parameterOverrides", "holds a value that JSON cannot hold")
    if context.get("castId") not in (None, "") and originals.id_text(context["castId"]) is None:
        # Passed over, it would make every repeat of the call another cast.
        yield Fault("context.castId", "is no id")
    for key, limit in (("webhookUrl", MAX_URL_CHARACTERS), ("webhookSecret", MAX_SECRET_CHARACTERS)):
        value = context.get(key) or ""
        if not isinstance(value, str) or len(value) > limit or not originals.is_json(value):
            yield Fault(f"context.{key}", f"is not a text of at most {limit} characters")
