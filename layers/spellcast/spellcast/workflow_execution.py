"""The original's two operations, for callers in Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spellcast import bootstrap
from spellcast.application.complete_generation import CompleteGeneration
from spellcast.application.execute_spell import ExecuteSpell
from spellcast.domain import originals
from spellcast.domain.errors import IllegalTransition


@dataclass(frozen=True, slots=True)
class WorkflowExecutionService:
    """Works on the deployment that the environment names (`SPELLCAST_*`, as template.yaml sets them).

    Both operations return before the cast has ended; what becomes of it is announced.
    """

    execute_spell: ExecuteSpell = field(default_factory=lambda: bootstrap.execute_spell())
    complete_generation: CompleteGeneration = field(default_factory=lambda: bootstrap.complete_generation())

    def execute(self, spell: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        """Casts a spell document, the original's or ours, for `context["masterAccountId"]`.

        Raises SpellNotExecutable with the original's texts, InvalidInput with every fault, and IdempotencyKeyReused
        where `context["castId"]` was another call's. Nothing is written then.
        """
        self.execute_spell(dict(spell), dict(context))

    def continue_execution(self, completed_generation: Mapping[str, Any]) -> None:
        """Completes the generation of this record, and with it continues its cast.

        A record that is terminal already changes nothing. Raises InvalidGenerationRecord with the original's texts,
        InvalidInput with every fault, and GenerationNotFound.
        """
        record = dict(completed_generation)
        generation_id = originals.check_record(record)
        account_id = originals.id_text(record.get("masterAccountId"))
        try:
            self.complete_generation(generation_id, originals.record_result(record), account_id)
        except IllegalTransition:
            pass  # It has its result; terminal states absorb.
