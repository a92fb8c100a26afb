"""Closes a cast: finishes what is open, sums what was spent, and writes the one terminal revision."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from spellcast.application.keep_accounts import KeepAccounts
from spellcast.application.process_output import ProcessOutput
from spellcast.application.slots import Slots
from spellcast.application.stop_cast import StopCast
from spellcast.domain import money
from spellcast.domain.casts import Cast, CastFailure
from spellcast.domain.errors import (
    CastInterrupted,
    CastNotFound,
    DocumentLost,
    FileUnavailable,
    JobCancelled,
    LimitReached,
    NoFreeSlot,
    ProviderUnavailable,
    StepTimedOut,
    WriteConflict,
)
from spellcast.domain.generations import Generation
from spellcast.domain.history import runs_of
from spellcast.domain.outputs import web_outputs
from spellcast.domain.results import Failure, ToolResult
from spellcast.observability import logger, measure
from spellcast.ports.clock import Clock
from spellcast.ports.store import CastStore, HistoryStore

_RETRYABLE = frozenset(
    kind.code
    for kind in (CastInterrupted, FileUnavailable, LimitReached, NoFreeSlot, ProviderUnavailable, StepTimedOut)
)
_LOST = "An output of the cast is not in the bucket any more."


@dataclass(frozen=True, slots=True)
class FinalizeCost:
    """Reached from success, from failure, and by the rule on machines that ended by themselves; idempotent.

    `history` is none where nothing can have been run, and the function may not write it. `stop_cast` ends open jobs;
    it is none where the function may not ask providers: it leaves a cast that is being cancelled to the one that may,
    and of any other the jobs, which that one is told of when the cast's end is announced.
    """

    casts: CastStore
    process_output: ProcessOutput
    slots: Slots
    keep_accounts: KeepAccounts
    clock: Clock
    history: HistoryStore | None = None
    stop_cast: StopCast | None = None

    def __call__(self, cast_id: str, interruption: Failure | None = None, execution: str | None = None) -> Cast:
        """The closed cast. `interruption` says why the machine ended where no step's record does.

        A cast that another execution than `execution` has taken over stays as it is.
        """
        told: dict[str, ToolResult] = {}
        seen: set[str] = set()
        while True:
            loaded = self.casts.load_cast(cast_id, whole=False)
            if loaded is None:
                raise CastNotFound(f"There is no cast {cast_id}.")
            cast, generations = loaded
            execution = execution or cast.execution_name
            if execution != cast.execution_name:
                return cast
            if self.stop_cast is not None:
                # Of jobs whose steps it has closed itself it has heard already.
                unheard = [item for item in generations if not item.is_terminal or item.generation_id not in seen]
                told |= self.stop_cast(cast, unheard)
                seen |= {item.generation_id for item in unheard}
            elif cast.is_cancelling:
                return cast
            try:
                for generation in generations:
                    if generation.may_run_on and (end := told.get(generation.generation_id)):
                        self.add_late_bill(self._whole(generation), end)
                closed = [
                    self._closed(generation, cast, interruption, told.get(generation.generation_id))
                    for generation in generations
                ]
                if cast.is_terminal:
                    if closed != generations or _sum_of(closed) != (cast.cost_usd, cast.points_spent):
                        # The second where somebody died between the last of the steps and the cast.
                        self._sum_again(cast_id)
                    self.keep_accounts(cast, closed)
                    return cast
                settled = self._settled(cast, closed, interruption)
                self.casts.save_cast(settled, cast)
            except WriteConflict:
                continue
            _measure_cost(settled, cast)
            self._record_runs(cast.account_id, closed)
            if settled.status == "completed":
                self.keep_accounts(settled, closed)
                return settled
            # Once more: a step that was reserved while the cast was being closed is closed too.

    def add_late_bill(self, generation: Generation, result: ToolResult) -> None:
        """A result that came after the step was given up adds what it cost to step and cast, once (contract I3, I5).

        Raises WriteConflict where the record has moved on since it was read.
        """
        if generation.billed_late:
            self._sum_again(generation.cast_id)
        if not generation.takes_late_bill:
            return
        amount, points = self.process_output.price(generation, result)
        if amount > 0:
            is_over, now = generation.is_terminal, self.clock.now()
            billed = generation.billed(amount, points, now) if is_over else generation.with_bill(amount)
            self.casts.save_generation(billed, generation)
            if billed.is_terminal:
                self._sum_again(generation.cast_id, is_new=True)

    def _closed(
        self, generation: Generation, cast: Cast, interruption: Failure | None, told: ToolResult | None
    ) -> Generation:
        if not generation.is_terminal:
            generation = self._whole(generation)
        if generation.is_terminal:
            return generation
        is_cancelled = cast.is_cancelling or cast.status == "cancelled"
        reason = interruption or Failure("CAST_INTERRUPTED", "The cast ended before this step did.", True)
        known = generation
        if told is not None:
            if told.failure is not None and told.failure.code == JobCancelled.code and not is_cancelled:
                told = replace(told, failure=reason)  # It was cancelled because the cast ended.
            taken_in = self.process_output.keep_outputs.take_in(generation.generation_id, told)
            known = generation.received(taken_in, self.clock.now())
        if known.result is not None:
            finished = self.process_output.finished(known, is_cancelled=is_cancelled)
        elif is_cancelled:
            finished = known.cancelled(now=self.clock.now())
        else:
            finished = known.failed(reason, now=self.clock.now())
        self.casts.save_generation(finished, generation)
        self.slots.give_back(finished.generation_id, finished.slots)
        return finished

    def _whole(self, generation: Generation) -> Generation:
        """With what was not read; where that is lost, without it: a cast is closed whatever became of its documents."""
        try:
            return (self.casts.get_generation(generation.generation_id) if generation.unread else None) or generation
        except DocumentLost:
            return generation

    def _settled(self, cast: Cast, generations: list[Generation], interruption: Failure | None) -> Cast:
        latest = cast.current(generations)
        completed = [latest[index] for index in sorted(latest) if latest[index].status == "completed"]
        last = latest.get(cast.step_count - 1)
        outputs = None
        failure = None
        if len(completed) == cast.step_count and last and (last := self._whole(last)).result:
            outputs = web_outputs(last.result.payload)
            failure = _lost(last) if "responsePayload" in last.unread else None
        else:
            failure = _failure(latest, interruption)
        cost_usd, points = _sum_of(generations)
        return cast.settled(
            cost_usd=cost_usd,
            points=points,
            step_generation_ids=tuple(generation.generation_id for generation in completed),
            outputs=outputs,
            failure=failure,
            now=self.clock.now(),
            billed_late=tuple(generation.generation_id for generation in generations if generation.billed_late),
        )

    def _record_runs(self, account_id: str, generations: list[Generation]) -> None:
        """Only by whoever closed the cast: these are samples, of which one may be missing."""
        runs = runs_of(generations)
        if self.history is None or not runs:
            return
        try:
            self.history.record_runs(account_id, runs)
        except Exception:
            logger().exception("What the cast's runs cost is missing in the history")

    def _sum_again(self, cast_id: str, *, is_new: bool = False) -> None:
        while loaded := self.casts.load_cast(cast_id, whole=False):
            cast, generations = loaded
            cost_usd, points = _sum_of(generations)
            billed = cast.billed(cost_usd=cost_usd, points=points, now=self.clock.now())
            # Of a cast that still runs the revision grows with a new bill: whoever is closing it then reads it anew.
            is_other = (billed.cost_usd, billed.points_spent) != (cast.cost_usd, cast.points_spent)
            if is_other if cast.is_terminal else is_new:
                try:
                    self.casts.save_cast(billed, cast)
                except WriteConflict:
                    continue
                _measure_cost(billed, cast)
            self.keep_accounts.of_late_bills(cast, generations)
            return


def _sum_of(generations: Sequence[Generation]) -> tuple[Decimal, int]:
    """Cost in US dollars and points of a cast with these generations."""
    cost_usd = money.total(generation.cost_usd for generation in generations)
    return cost_usd, sum(generation.points_spent for generation in generations)


def _measure_cost(after: Cast, before: Cast) -> None:
    """What a closing or a late bill has added, once: by whoever wrote it."""
    if after.cost_usd != before.cost_usd:
        measure({"CastCostUsd": after.cost_usd - before.cost_usd})


def _failure(latest: dict[int, Generation], interruption: Failure | None) -> CastFailure:
    for index in sorted(latest):
        generation = latest[index]
        if generation.failure is not None:
            return CastFailure(
                generation.failure.code,
                generation.failure.message,
                generation.step_index,
                generation.step_id,
                generation.generation_id,
            )
    reason = interruption or Failure("CAST_INTERRUPTED", "The cast ended before its last step.")
    return CastFailure(reason.code, reason.message)


def _lost(generation: Generation) -> CastFailure:
    return CastFailure(DocumentLost.code, _LOST, generation.step_index, generation.step_id, generation.generation_id)


def interruption_of(code: str, message: str) -> Failure:
    """What the machine knows of its end, in the words of the closed list where it is one of ours.

    An exception's text or traceback is for the log; a caller reads that the step could not be run.
    """
    if code in ("States.Timeout", "TIMED_OUT"):
        return Failure("TIMED_OUT", "The step did not finish by its deadline.", True)
    if code == "ABORTED":
        return Failure("CAST_INTERRUPTED", "The cast's machine was stopped.", True)
    if code == DocumentLost.__name__:
        return Failure(DocumentLost.code, _LOST)
    if re.fullmatch(r"[A-Z]+(_[A-Z]+)+", code):
        return Failure(code, message, code in _RETRYABLE)
    return Failure("INTERNAL_ERROR", f"The step could not be run because of an internal error ({code}).", True)
