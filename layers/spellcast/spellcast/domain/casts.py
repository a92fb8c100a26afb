"""A cast: one run of a spell version, from running to exactly one of completed, failed and cancelled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from spellcast.domain.budgets import DailyBudget
from spellcast.domain.documents import Document, Unread
from spellcast.domain.errors import CastInterrupted, IllegalTransition
from spellcast.domain.generations import Generation, latest_attempts
from spellcast.domain.identifiers import cast_execution_name
from spellcast.domain.money import ZERO

CastStatus = Literal["running", "completed", "failed", "cancelled"]
DeliveryStatus = Literal["sent", "failed"]


@dataclass(frozen=True, slots=True)
class CastFailure:
    """Which step failed and why; no step where the cast failed outside of one."""

    code: str
    message: str
    step_index: int | None = None
    step_id: str | None = None
    generation_id: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """How the telling of the caster's webhook ended, and after how many attempts; `error` is the last one's."""

    status: DeliveryStatus
    attempts: int
    at: datetime
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Closing:
    """The execution at whose end the cast was closed, and the late bills that are in its sum, by generation."""

    execution: int
    billed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """The record of a run. The webhook secret is kept for signing and never shown.

    `settings` are the caster's own defaults when the spell was cast, by tool id, as far as its tools have any.
    `execution` counts the machine's executions; what an earlier one still says is not heard. `attempt` is that of the
    steps from `first_step` on: it grows when the caster has them run again, at `resumed_at` and by the request that
    `resumed_by` is known by. `overrides` are inputs that were set then, by step id.
    A cast that is resumed keeps its `closings`. `daily_budget` is the account's when it was started, or resumed;
    `creator_id` the account whose spell it is, where that is another one.
    `unread` documents are empty here, and stay where they are when the record is written.
    """

    cast_id: str
    account_id: str
    spell_id: str
    spell_slug: str
    spell_name: str
    version: int
    inputs: Document
    step_count: int
    started_at: datetime
    deadline_at: datetime
    updated_at: datetime
    request_fingerprint: str
    status: CastStatus = "running"
    revision: int = 1
    execution: int = 1
    attempt: int = 1
    first_step: int = 0
    resumed_at: datetime | None = None
    resumed_by: str | None = None
    overrides: Document = field(default_factory=dict)
    metadata: Document = field(default_factory=dict)
    settings: Document = field(default_factory=dict)
    budget_usd: Decimal | None = None
    daily_budget: DailyBudget | None = None
    creator_id: str | None = None
    webhook_url: str | None = None
    webhook_secret: str | None = field(default=None, repr=False)
    cost_usd: Decimal = ZERO
    points_spent: int = 0
    outputs: Document | list[Document] | None = None
    step_generation_ids: tuple[str, ...] = ()
    completed_at: datetime | None = None
    failed_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    cancelled_at: datetime | None = None
    failure: CastFailure | None = None
    delivery: Delivery | None = None
    closings: tuple[Closing, ...] = ()
    unread: Unread = field(default_factory=dict)

    @property
    def execution_name(self) -> str:
        """What the state machine calls the execution that this cast is run by."""
        return cast_execution_name(self.cast_id, self.execution)

    @property
    def is_terminal(self) -> bool:
        """Whether nothing but a late bill and the webhook's delivery can still change the record."""
        return self.status != "running"

    @property
    def running_since(self) -> datetime:
        """When it was started, or last resumed."""
        return self.resumed_at or self.started_at

    @property
    def is_cancelling(self) -> bool:
        """Whether its end is decided: it spends no more, and whoever closes it closes it as cancelled."""
        return self.status == "running" and self.cancel_requested_at is not None

    @property
    def ended_at(self) -> datetime | None:
        """When it was completed, failed or cancelled."""
        return self.completed_at or self.failed_at or self.cancelled_at

    @property
    def has_just_ended(self) -> bool:
        """Whether this revision is the one that closed the cast; a late bill or a delivery makes another."""
        return self.updated_at == self.ended_at

    @property
    def is_to_be_stopped(self) -> bool:
        """Whether a job of it may run on, to which whoever may ask providers is to see."""
        if self.failure is None or self.failure.step_index is None:
            return self.is_cancelling
        return self.has_just_ended and self.failure.code == CastInterrupted.code

    @property
    def tells_its_end(self) -> bool:
        """Whether a webhook is called for the way it ended; nobody is called for a cancelled cast."""
        return self.webhook_url is not None and self.status in ("completed", "failed")

    @property
    def is_open(self) -> bool:
        """Whether anything is still to come of it: its end, or the first record of the webhook that it owes."""
        return not self.is_terminal or (self.tells_its_end and self.delivery is None)

    @property
    def owes_webhook(self) -> bool:
        """Whether its caster has not been told yet; one who was given up may still be told."""
        return self.tells_its_end and (self.delivery is None or self.delivery.status != "sent")

    def current(self, generations: Iterable[Generation]) -> dict[int, Generation]:
        """The attempt that counts at each step that has one: of those that are run again, only the new."""
        return {
            position: generation
            for position, generation in latest_attempts(generations).items()
            if position < self.first_step or generation.attempt >= self.attempt
        }

    def resumed(
        self,
        *,
        first_step: int,
        overrides: Document,
        version: int,
        step_count: int,
        step_generation_ids: tuple[str, ...],
        budget_usd: Decimal | None,
        daily_budget: DailyBudget | None,
        deadline_at: datetime,
        resumed_by: str,
        now: datetime,
    ) -> Cast:
        """It runs again from `first_step` on; what was spent stays spent. Raises IllegalTransition where it runs."""
        if not self.is_terminal:
            raise IllegalTransition(f"{self.cast_id} is {self.status}")
        return replace(
            self,
            status="running",
            execution=self.execution + 1,
            attempt=self.attempt + 1,
            first_step=first_step,
            overrides=overrides,
            version=version,
            step_count=step_count,
            step_generation_ids=step_generation_ids,
            budget_usd=budget_usd,
            daily_budget=daily_budget,
            deadline_at=deadline_at,
            resumed_at=now,
            resumed_by=resumed_by,
            outputs=None,
            completed_at=None,
            failed_at=None,
            cancel_requested_at=None,
            cancelled_at=None,
            failure=None,
            delivery=None,
            unread={name: place for name, place in self.unread.items() if name != "outputs"},
            updated_at=self._later(now),
            revision=self.revision + 1,
        )

    def cancelling(self, now: datetime) -> Cast:
        """The caster wants no more of it: it is overdue from now on. Said again it is one revision more.

        Raises IllegalTransition where the cast has ended.
        """
        if self.is_terminal:
            raise IllegalTransition(f"{self.cast_id} is {self.status}")
        now = self._later(now)
        requested_at = self.cancel_requested_at or now
        return replace(
            self,
            cancel_requested_at=requested_at,
            deadline_at=min(self.deadline_at, requested_at),
            updated_at=now,
            revision=self.revision + 1,
        )

    def settled(
        self,
        *,
        cost_usd: Decimal,
        points: int,
        step_generation_ids: tuple[str, ...],
        outputs: Document | list[Document] | None,
        failure: CastFailure | None,
        now: datetime,
        billed_late: tuple[str, ...] = (),
    ) -> Cast:
        """The end: cancelled where that was asked for, failed where a failure is given, otherwise completed.

        `billed_late` are the generations whose late bills are in the sum. Raises IllegalTransition where there is one.
        """
        if self.is_terminal:
            raise IllegalTransition(f"{self.cast_id} is {self.status}")
        status: CastStatus = "failed" if failure else "completed"
        if self.is_cancelling:
            status, failure, outputs = "cancelled", None, None
        return replace(
            self,
            status=status,
            cost_usd=cost_usd,
            points_spent=points,
            step_generation_ids=step_generation_ids,
            outputs=outputs,
            failure=failure,
            completed_at=now if status == "completed" else None,
            failed_at=now if status == "failed" else None,
            cancelled_at=now if status == "cancelled" else None,
            closings=(*self.closings, Closing(self.execution, billed_late)),
            updated_at=now,
            revision=self.revision + 1,
        )

    def restarted(self, *, now: datetime) -> Cast:
        """The same cast under a further execution; the one before is not heard any more.

        Raises IllegalTransition where the cast has ended.
        """
        if self.is_terminal:
            raise IllegalTransition(f"{self.cast_id} is {self.status}")
        return replace(self, execution=self.execution + 1, updated_at=now, revision=self.revision + 1)

    def billed(self, *, cost_usd: Decimal, points: int, now: datetime) -> Cast:
        """The same status at another total, after a late bill (contract I3, I5)."""
        return replace(
            self, cost_usd=cost_usd, points_spent=points, updated_at=self._later(now), revision=self.revision + 1
        )

    def delivery_ended(self, *, attempts: int, error: str | None, now: datetime) -> Cast:
        """The caster was told, or given up where an error is given; attempts add to those of a delivery given up.

        Raises IllegalTransition where nobody is, or is any more, to be told.
        """
        if not self.owes_webhook:
            raise IllegalTransition(f"{self.cast_id} owes no webhook")
        before = self.delivery.attempts if self.delivery else 0
        delivery = Delivery("sent" if error is None else "failed", before + attempts, now, error)
        return replace(self, delivery=delivery, updated_at=self._later(now), revision=self.revision + 1)

    def _later(self, now: datetime) -> datetime:
        """Always after the end, so that nobody takes a further revision for the one that closed the cast."""
        return max(now, self.updated_at + timedelta(milliseconds=1))


@dataclass(frozen=True, slots=True)
class OpenCast:
    """What the list of open casts says of one; it may lag behind the record."""

    cast_id: str
    execution: int
    deadline_at: datetime
    ended_at: datetime | None = None

    @classmethod
    def of(cls, cast: Cast) -> OpenCast:
        """As the list has it, which has no cancelled casts."""
        return cls(cast.cast_id, cast.execution, cast.deadline_at, cast.completed_at or cast.failed_at)

    @property
    def execution_name(self) -> str:
        """What the state machine calls its execution."""
        return cast_execution_name(self.cast_id, self.execution)
