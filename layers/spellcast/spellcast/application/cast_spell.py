"""Starts a cast: validates what can be validated, writes the cast, starts its machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from spellcast.application.finalize_cost import FinalizeCost
from spellcast.application.find_spells import FindSpells
from spellcast.application.find_tools import FindTools
from spellcast.application.restart_cast import RestartCast
from spellcast.domain import identifiers
from spellcast.domain.budgets import daily_budget
from spellcast.domain.cast_inputs import find_input_faults, find_input_warnings, find_missing_warnings
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.errors import CastInterrupted, Fault, IdempotencyKeyReused, InvalidInput, WriteConflict
from spellcast.domain.parameters import caster_inputs
from spellcast.domain.results import Failure
from spellcast.domain.segments import cast_seconds, plan_segments
from spellcast.observability import logger
from spellcast.ports.clock import Clock
from spellcast.ports.machine import Machine
from spellcast.ports.store import CastStore, SettingsStore


@dataclass(frozen=True, slots=True, kw_only=True)
class CastOrder:
    """What the caster asks for; `fingerprint` is of the request's body, for the Idempotency-Key."""

    spell: str
    fingerprint: str
    inputs: Document = field(default_factory=dict)
    version: int | None = None
    webhook_url: str | None = None
    webhook_secret: str | None = field(default=None, repr=False)
    budget_usd: Decimal | None = None
    metadata: Document = field(default_factory=dict)
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class CastStart:
    """The cast, whether it is new, and what a new one's caster sent for nothing."""

    cast: Cast
    is_new: bool
    warnings: Sequence[Fault] = ()


@dataclass(frozen=True, slots=True)
class CastSpell:
    """The cast is written before its machine is started, so a repeat of the request mends a start that was lost.

    `refusal_of` says why an address must not be called, or None; `daily_budget_usd` is what accounts may spend on a day
    that have not said so themselves.
    """

    casts: CastStore
    find_spells: FindSpells
    find_tools: FindTools
    machine: Machine
    finalize_cost: FinalizeCost
    clock: Clock
    refusal_of: Callable[[str], str | None]
    settings: SettingsStore
    daily_budget_usd: Decimal | None = None

    def __call__(self, account_id: str, order: CastOrder) -> tuple[Cast, bool]:
        """The cast, and whether it is new. Raises what `start` raises."""
        started = self.start(account_id, order)
        return started.cast, started.is_new

    def start(self, account_id: str, order: CastOrder) -> CastStart:
        """The cast with warnings. Raises SpellNotFound, SpellAmbiguous, InvalidInput, IdempotencyKeyReused."""
        if order.idempotency_key is not None:
            known = self.casts.get_cast(identifiers.cast_id_for(account_id, order.idempotency_key))
            if known is not None:
                return self._repeated(known, order)
        if order.webhook_url is not None and (reason := self.refusal_of(order.webhook_url)):
            raise InvalidInput([Fault("webhookUrl", reason)])
        spell = self.find_spells.get(account_id, order.spell)
        version = self.find_spells.version(spell, order.version)
        steps_tools = self.find_tools.of_version(account_id, version)
        segments = plan_segments(steps_tools)
        tools = {step.tool_identifier: tool for step, tool in zip(version.steps, steps_tools, strict=True)}
        if faults := find_input_faults(version, tools, order.inputs):
            raise InvalidInput(faults)
        own = self.settings.get_settings(account_id)
        own_defaults = own.tools
        fallbacks = self.find_tools.known(
            account_id, (step.fallback_tool for step in version.steps if step.fallback_tool)
        )
        used = [*steps_tools, *fallbacks.values()]
        warnings = [
            *find_missing_warnings(version, tools, order.inputs, own_defaults),
            *find_input_warnings(version, tools, order.inputs),
        ]
        now = self.clock.now()
        cast = Cast(
            cast_id=identifiers.cast_id_for(account_id, order.idempotency_key)
            if order.idempotency_key is not None
            else identifiers.new_id(),
            account_id=account_id,
            spell_id=spell.spell_id,
            spell_slug=spell.slug,
            spell_name=version.name,
            version=version.version,
            inputs=caster_inputs(order.inputs),
            step_count=len(version.steps),
            started_at=now,
            updated_at=now,
            deadline_at=now + timedelta(seconds=cast_seconds(segments)),
            request_fingerprint=order.fingerprint,
            metadata=order.metadata,
            settings={tool.tool_id: own_defaults[tool.tool_id] for tool in used if tool.tool_id in own_defaults},
            budget_usd=order.budget_usd,
            daily_budget=daily_budget(own.daily_budget_usd, self.daily_budget_usd, now),
            creator_id=None if spell.account_id == account_id else spell.account_id,
            webhook_url=order.webhook_url,
            webhook_secret=order.webhook_secret,
        )
        try:
            self.casts.create_cast(cast)
        except WriteConflict:
            # The same key came twice at once, and the other request was faster.
            written = self.casts.get_cast(cast.cast_id)
            return self._repeated(written or cast, order)
        try:
            self.machine.start_cast(cast, segments)
        except Exception:
            # Should the machine have been started all the same, it finds the cast closed and does nothing.
            self.finalize_cost(cast.cast_id, Failure.of(CastInterrupted("The cast could not be started; nothing ran.")))
            raise
        self._count_usage(spell.spell_id)
        return CastStart(cast, True, warnings)

    def _repeated(self, known: Cast, order: CastOrder) -> CastStart:
        if known.request_fingerprint != order.fingerprint:
            raise IdempotencyKeyReused("This Idempotency-Key was used with another body.")
        if not known.is_terminal:
            self.restart_cast(known.cast_id)
        return CastStart(known, False)

    @property
    def restart_cast(self) -> RestartCast:
        """Mends a start that was lost; harmless where there was one."""
        spells = self.find_spells.spells
        return RestartCast(self.casts, spells, self.find_tools, self.machine, self.finalize_cost, self.clock)

    def _count_usage(self, spell_id: str) -> None:
        try:
            self.find_spells.spells.count_usage(spell_id)
        except Exception:
            # The cast runs: a count is not worth an error that its caster would repeat it for.
            logger().warning("A cast could not be counted", spellId=spell_id, exc_info=True)
