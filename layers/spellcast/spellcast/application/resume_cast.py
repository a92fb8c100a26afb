"""Lets a cast that has failed or was cancelled go on from the first step that is not completed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import NamedTuple

from spellcast.application.find_casts import FindCasts
from spellcast.application.find_spells import FindSpells
from spellcast.application.find_tools import FindTools
from spellcast.application.restart_cast import RestartCast
from spellcast.domain import identifiers
from spellcast.domain.budgets import daily_budget
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.errors import (
    CastEnded,
    CastInterrupted,
    CastRunning,
    Fault,
    IdempotencyKeyReused,
    InvalidInput,
    SpellNotFound,
    WriteConflict,
)
from spellcast.domain.generations import Generation
from spellcast.domain.results import Failure
from spellcast.domain.segments import cast_seconds, plan_segments
from spellcast.domain.spells import SpellVersion
from spellcast.ports.clock import Clock
from spellcast.ports.store import CastStore, SettingsStore

# All of a cast's generations are read at once.
MOST_ATTEMPTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeOrder:
    """What the caster asks for; `fingerprint` is of the whole request, by which its repeat is known."""

    fingerprint: str
    idempotency_key: str | None = None
    version: int | None = None
    budget_usd: Decimal | None = None

    @property
    def mark(self) -> str:
        """What the cast remembers of the request."""
        return f"{self.key_mark}:{self.fingerprint}"

    @property
    def key_mark(self) -> str:
        """Of the key alone; empty where there is none."""
        return identifiers.fingerprint(self.idempotency_key) if self.idempotency_key is not None else ""


class Start(NamedTuple):
    """Where a cast goes on, and the inputs that its caster has set since, by step id."""

    first_step: int
    overrides: Document


@dataclass(frozen=True, slots=True)
class ResumeCast:
    """One write decides it, the machine is started after it, and a repeat of the request mends a start that was lost.

    A request without an Idempotency-Key is a repeat while the cast runs by it. One with a key is a repeat for as long
    as the cast was not resumed otherwise, also when the cast has ended again. It counts for the day of the resume:
    `daily_budget_usd` is what accounts may spend on it that have not said so themselves.
    """

    casts: CastStore
    find_casts: FindCasts
    find_spells: FindSpells
    find_tools: FindTools
    restart_cast: RestartCast
    clock: Clock
    settings: SettingsStore
    daily_budget_usd: Decimal | None = None

    def __call__(self, account_id: str, cast_id: str, order: ResumeOrder) -> Cast:
        """The cast, running. Finished steps are kept, with the same or a named newer version of the spell.

        Raises CastNotFound, CastRunning, CastEnded where it was completed, SpellNotFound, InvalidInput,
        IdempotencyKeyReused.
        """
        return self.go_on(account_id, cast_id, order, _where_it_ended)

    def go_on(
        self,
        account_id: str,
        cast_id: str,
        order: ResumeOrder,
        choose: Callable[[Cast, Sequence[Generation]], Start],
    ) -> Cast:
        """The cast, running from where `choose` says. Raises what that raises, and what a resume raises."""
        while True:
            ended, _ = self.find_casts.load(account_id, cast_id, whole=False)
            if _is_repeat(ended, order):
                return self._start(ended)
            if not ended.is_terminal:
                raise CastRunning(f"The cast is {'being cancelled' if ended.is_cancelling else 'running'}.")
            if ended.attempt >= MOST_ATTEMPTS:
                raise CastEnded(f"The cast has been run {MOST_ATTEMPTS} times; cast the spell anew.")
            # Whoever closed it may have died half-way: what is open, held or not booked of it would be lost sight of.
            self.restart_cast.finalize_cost(cast_id, execution=ended.execution_name)
            cast, generations = self.find_casts.load(account_id, cast_id, whole=False)
            if cast.revision != ended.revision:
                continue
            start = choose(cast, generations)
            resumed = self._resumed(cast, generations, order, start)
            try:
                self.casts.save_cast(resumed, cast)
            except WriteConflict:
                continue
            try:
                return self._start(resumed)
            except Exception:
                # Should the machine have been started all the same, it finds the cast closed and does nothing.
                lost = CastInterrupted("The cast could not be started again; nothing ran.")
                self.restart_cast.finalize_cost(cast_id, Failure.of(lost), resumed.execution_name)
                raise

    def _resumed(self, cast: Cast, generations: Sequence[Generation], order: ResumeOrder, start: Start) -> Cast:
        current = cast.current(generations)
        kept = [current[position] for position in range(start.first_step)]
        version = self._version(cast, order.version, kept)
        segments = plan_segments(self.find_tools.of_running(cast.account_id, version), first=start.first_step)
        now = self.clock.now()
        own_budget = self.settings.get_settings(cast.account_id).daily_budget_usd
        return cast.resumed(
            first_step=start.first_step,
            overrides=start.overrides,
            version=version.version,
            step_count=len(version.steps),
            step_generation_ids=tuple(generation.generation_id for generation in kept),
            budget_usd=cast.budget_usd if order.budget_usd is None else order.budget_usd,
            daily_budget=daily_budget(own_budget, self.daily_budget_usd, now),
            deadline_at=now + timedelta(seconds=cast_seconds(segments)),
            resumed_by=order.mark,
            now=now,
        )

    def _version(self, cast: Cast, number: int | None, kept: Sequence[Generation]) -> SpellVersion:
        """The version to go on with. Raises SpellNotFound, and InvalidInput where it has not the finished steps."""
        known = self.find_spells.spells.get_version(cast.spell_id, cast.version)
        if known is None:
            raise SpellNotFound(f"There is no version {cast.version} of spell {cast.spell_id} any more.")
        if number in (None, cast.version):
            return known
        if number is not None and number < cast.version:
            raise InvalidInput([Fault("version", f"is older than the cast's, which is {cast.version}")])
        spell = self.find_spells.get(cast.account_id, cast.spell_id)
        version = self.find_spells.version(spell, number)
        faults = [
            Fault("version", f"has another step in place of step {position} ({step.step_id!r}), which is finished")
            for position, step in enumerate(known.steps[: len(kept)])
            if position >= len(version.steps)
            or (step.step_id, step.tool_identifier)
            != (version.steps[position].step_id, version.steps[position].tool_identifier)
        ]
        if faults:
            raise InvalidInput(faults)
        return version

    def _start(self, resumed: Cast) -> Cast:
        """The cast; at its end, where it has ended or no step is left to run."""
        self.restart_cast(resumed.cast_id)
        return self.casts.get_cast(resumed.cast_id) or resumed


def _where_it_ended(cast: Cast, generations: Sequence[Generation]) -> Start:
    if cast.status == "completed":
        raise CastEnded("The cast is completed: there is nothing to resume. A step of it can be retried.")
    current = cast.current(generations)
    unfinished = (
        position
        for position in range(cast.step_count)
        if position not in current or current[position].status != "completed"
    )
    return Start(next(unfinished, cast.step_count), cast.overrides)


def _is_repeat(cast: Cast, order: ResumeOrder) -> bool:
    """Whether the cast was last resumed by this very request."""
    if order.idempotency_key is None:
        return not cast.is_terminal and cast.resumed_by == order.mark
    key_mark = cast.resumed_by.partition(":")[0] if cast.resumed_by else None
    if key_mark != order.key_mark:
        return False
    if cast.resumed_by != order.mark:
        raise IdempotencyKeyReused("This Idempotency-Key was used with another body.")
    return True
