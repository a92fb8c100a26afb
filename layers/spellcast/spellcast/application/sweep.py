"""Looks through the open casts for what everybody else has lost sight of, and mends it by the use cases of others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Literal

from spellcast.application.finalize_cost import FinalizeCost, interruption_of
from spellcast.application.interrupt_cast import InterruptCast
from spellcast.application.restart_cast import RestartCast
from spellcast.domain.casts import Cast
from spellcast.domain.errors import SpellcastError, StepTimedOut, WriteConflict
from spellcast.domain.results import Failure
from spellcast.observability import logger
from spellcast.ports.clock import Clock
from spellcast.ports.machine import Machine
from spellcast.ports.queue import Queue
from spellcast.ports.store import CastStore

# A younger cast may be between its row and its machine.
SETTLING = timedelta(minutes=2)
# All attempts at a webhook, each dying with its process, take ten minutes.
DELIVERY = timedelta(minutes=15)

Outcome = Literal["started", "restarted", "settled", "redelivered"]


@dataclass(slots=True)
class SweepReport:
    """`checked` open casts, the `overdue` of them, how many were mended how, and those `left`, with what went wrong."""

    checked: int = 0
    overdue: int = 0
    mended: Counter[Outcome] = field(default_factory=Counter)
    left: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """All of it as numbers."""
        outcomes: tuple[Outcome, ...] = ("started", "restarted", "settled", "redelivered")
        found = {"checked": self.checked, "overdue": self.overdue}
        return found | {name: self.mended[name] for name in outcomes} | {"left": self.left}


@dataclass(frozen=True, slots=True)
class Sweep:
    """Decides nothing by what it has listed alone: every mend reads the record and writes on its condition.

    It may die anywhere, and two may run at once: what is mended is not found again, what is not is found by the next.
    `shuffle` keeps what cannot be mended from holding up the rest whenever the time is too short for all.
    """

    casts: CastStore
    machine: Machine
    queue: Queue
    finalize_cost: FinalizeCost
    interrupt_cast: InterruptCast
    restart_cast: RestartCast
    clock: Clock
    shuffle: Callable[[list[str]], None]

    def __call__(self, *, is_time_left: Callable[[], bool], older_than: timedelta = SETTLING) -> SweepReport:
        """Mends as long as there is time."""
        report = SweepReport()
        due = list(self._due(report, older_than))
        self.shuffle(due)
        for number, cast_id in enumerate(due):
            if not is_time_left():
                report.left += len(due) - number
                break
            try:
                outcome = self._mend(cast_id)
            except WriteConflict:
                continue  # Somebody else is at work on it.
            except Exception as error:
                code = error.code if isinstance(error, SpellcastError) else type(error).__name__
                logger().error("A cast could not be mended", castId=cast_id, code=code)
                report.failures.append((cast_id, code))
                report.left += 1
                continue
            if outcome is not None:
                report.mended[outcome] += 1
        return report

    def _due(self, report: SweepReport, older_than: timedelta) -> Iterator[str]:
        """A cast that runs in its time, by an execution that runs, costs no more than its place in the list."""
        now = self.clock.now()
        running = cache(self.machine.list_running)
        for found in self.casts.list_open_casts(now - older_than):
            report.checked += 1
            if found.ended_at is not None:
                if found.ended_at + DELIVERY <= now:
                    yield found.cast_id
            elif found.deadline_at <= now:
                report.overdue += 1
                yield found.cast_id
            elif found.execution_name not in running():
                yield found.cast_id

    def _mend(self, cast_id: str) -> Outcome | None:
        cast = self.casts.get_cast(cast_id)
        if cast is None or not cast.is_open:
            return None
        if cast.is_terminal:
            return self._deliver_again(cast)
        if cast.is_cancelling:
            self.finalize_cost(cast_id, execution=cast.execution_name)
            return "settled"
        if cast.deadline_at <= self.clock.now():
            self.interrupt_cast(cast_id, Failure.of(StepTimedOut("The cast did not end by its deadline.")))
            return "settled"
        execution = self.machine.find_execution(cast.execution_name)
        if execution is None:
            return "started" if self.restart_cast(cast_id) else None
        if execution.is_running:
            return None
        if execution.was_cut_off:
            return "restarted" if self.restart_cast(cast_id, cut_off=cast.execution) else None
        interruption = interruption_of(execution.code, execution.message) if execution.code else None
        self.finalize_cost(cast_id, interruption, cast.execution_name)
        return "settled"

    def _deliver_again(self, cast: Cast) -> Outcome:
        """Once: the record then says that nobody was told, until the message that is queued here says more."""
        # The message first: should this process die in between, it is queued again, under the same message id.
        self.queue.put({"source": "spellcast", "detail-type": "Cast Updated", "detail": {"castId": cast.cast_id}})
        untold = "No attempt was recorded in time; the webhook has been queued once more."
        self.casts.save_cast(cast.delivery_ended(attempts=0, error=untold, now=self.clock.now()), cast)
        return "redelivered"
