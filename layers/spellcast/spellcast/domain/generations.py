"""A generation: one attempt at one step, and the life that its record may lead.

pending (reserved, perhaps asked) → processing (accepted, or the result is stored) → completed | failed | cancelled.
Every method answers the next revision; writing it is one write on the condition that the row is still the one before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from spellcast.domain import identifiers
from spellcast.domain.budgets import Reservation
from spellcast.domain.documents import Document, Unread
from spellcast.domain.errors import (
    BudgetExceeded,
    CastCancelled,
    CastInterrupted,
    IllegalTransition,
    InvalidStepInput,
    JobCancelled,
    JobFailed,
    LimitReached,
    MissingInputs,
    ProviderNotConfigured,
    ProviderRefused,
    ProviderUnavailable,
    StepToolNotFound,
)
from spellcast.domain.money import ZERO
from spellcast.domain.payloads import normalise
from spellcast.domain.results import Failure, ToolResult
from spellcast.domain.spells import Step
from spellcast.domain.times import milliseconds
from spellcast.domain.tools import DeliveryMode, Tool

GenerationStatus = Literal["pending", "processing", "completed", "failed", "cancelled", "skipped"]
TERMINAL = frozenset({"completed", "failed", "cancelled", "skipped"})
Submission = Literal["submitting", "submitted", "unknown", "notStarted"]
# Why a job was not submitted, where that is certain.
_NOTHING_STARTED = frozenset(
    kind.code
    for kind in (
        BudgetExceeded,
        InvalidStepInput,
        LimitReached,
        MissingInputs,
        ProviderNotConfigured,
        ProviderRefused,
        ProviderUnavailable,
        StepToolNotFound,
    )
)
_TOLD_BY_THE_PROVIDER = frozenset(kind.code for kind in (JobCancelled, JobFailed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """The record of one attempt at one step. `revision` only grows; exactly one revision is the first terminal one.

    `collection` holds the ids by which a caller finds the collection that the cast belongs to (contract §8), `slots`
    the places under the provider's limits that are given back when the job has ended. In the record of a fallback tool
    `fallback_from` is `{toolId, code, message}`: the step's own tool, and why it began nothing.
    `reservation` is what is held of the account's daily budget, `execution` the cast's in which the step was begun.
    `unread` documents are empty here, and stay where they are when the record is written.
    """

    cast_id: str
    account_id: str
    spell_id: str
    step_index: int
    step_id: str
    attempt: int
    tool_id: str
    tool_display_name: str
    service_name: str
    delivery_mode: DeliveryMode
    status: GenerationStatus
    revision: int
    request_payload: Document
    request_timestamp: datetime
    deadline_at: datetime
    task_token: str | None = None
    run_id: str | None = None
    result: ToolResult | None = None
    received_at: datetime | None = None
    cost_usd: Decimal = ZERO
    points_spent: int = 0
    failure: Failure | None = None
    response_timestamp: datetime | None = None
    duration_ms: int | None = None
    billed_late: bool = False
    collection: Document = field(default_factory=dict)
    slots: tuple[str, ...] = ()
    fallback_from: Document = field(default_factory=dict)
    unread: Unread = field(default_factory=dict)
    execution: int = 1
    reservation: Reservation | None = None
    billed_at: datetime | None = None

    @property
    def generation_id(self) -> str:
        """`<castId>.<stepIndex>.<attempt>`."""
        return identifiers.generation_id(self.cast_id, self.step_index, self.attempt)

    @property
    def is_terminal(self) -> bool:
        """Whether nothing but a late bill can still change the record."""
        return self.status in TERMINAL

    @property
    def takes_late_bill(self) -> bool:
        """Whether the attempt failed, and nobody has said yet what it cost: a verdict of ours says nothing of that."""
        if self.is_terminal:
            return self.status in ("failed", "cancelled") and self.cost_usd == 0 and not self.billed_late
        return self.result is not None and self.result.status == "failed" and self.result.cost_usd is None

    @property
    def submission(self) -> Submission | None:
        """What is known of the job's submission; None for a step that is no job.

        The reservation is written before the provider is asked and so stands for the asking too: a job that is found in
        it, by whoever comes later, was perhaps accepted. `notStarted` is said only where it is certain.
        """
        if self.delivery_mode == "immediate":
            return None
        if self.run_id is not None:
            return "submitted"
        failure = self.failure or (self.result.failure if self.result else None)
        if failure is not None and failure.code in _NOTHING_STARTED:
            return "notStarted"
        if self.result is not None and (failure is None or failure.code in _TOLD_BY_THE_PROVIDER):
            return "submitted"
        # A pending record is written again only when the answer was lost, or by an invocation that found it pending.
        is_first = self.status == "pending" and self.revision == (2 if self.fallback_from else 1)
        return "submitting" if is_first else "unknown"

    @property
    def may_run_on(self) -> bool:
        """Whether the step was closed with its cast though its job may still run, and nobody has said what it cost."""
        is_interrupted = self.failure is not None and self.failure.code == CastInterrupted.code
        return is_interrupted and self.result is None and self.delivery_mode != "immediate" and self.takes_late_bill

    def is_overdue(self, now: datetime) -> bool:
        """Whether the step's deadline has passed."""
        return now >= self.deadline_at

    @classmethod
    def reserve(
        cls,
        *,
        cast_id: str,
        account_id: str,
        spell_id: str,
        position: int,
        attempt: int,
        step: Step,
        tool: Tool,
        inputs: Document,
        now: datetime,
        task_token: str | None = None,
        collection: Document | None = None,
        execution: int = 1,
    ) -> Generation:
        """The record before the provider is asked."""
        return cls(
            cast_id=cast_id,
            account_id=account_id,
            spell_id=spell_id,
            step_index=position,
            step_id=step.step_id,
            attempt=attempt,
            tool_id=tool.tool_id,
            tool_display_name=tool.display_name,
            service_name=tool.service,
            delivery_mode=tool.delivery_mode,
            status="pending",
            revision=1,
            request_payload=inputs,
            request_timestamp=now,
            deadline_at=now + timedelta(seconds=tool.deadline_seconds),
            task_token=task_token,
            collection=collection or {},
            execution=execution,
        )

    def submitted(self, run_id: str) -> Generation:
        """The provider has accepted the job; its result may have been faster than this news."""
        self._require("pending", "processing")
        if self.run_id is not None:
            raise IllegalTransition(f"{self.generation_id} has its job")
        return replace(self, status="processing", run_id=run_id, revision=self.revision + 1)

    def holding(self, slots: tuple[str, ...]) -> Generation:
        """A record that is not yet written, with the places that its job has under the provider's limits."""
        return replace(self, slots=slots)

    def instead_of(self, first: Generation, failure: Failure) -> Generation:
        """The fallback tool's record, not yet written: it takes the place of the first tool's reservation."""
        why: Document = {"toolId": first.tool_id, "code": failure.code, "message": failure.message}
        return replace(self, revision=first.revision + 1, fallback_from=why)

    def counting(self, reservation: Reservation) -> Generation:
        """A record that is not yet written, with what is held for it of the account's daily budget."""
        return replace(self, reservation=reservation)

    def unanswered(self) -> Generation:
        """The provider was asked and its answer is lost; a callback may still tell of the job."""
        self._require("pending")
        return replace(self, revision=self.revision + 1)

    def with_task_token(self, task_token: str) -> Generation:
        """The machine waits under a new token; the old one is of no use any more."""
        self._require("pending", "processing")
        return replace(self, task_token=task_token, revision=self.revision + 1)

    def received(self, result: ToolResult, now: datetime) -> Generation:
        """The one result of this attempt, before it is processed. A second one is refused.

        Whoever brings it, its payload has the one form that everything after reads.
        """
        self._require("pending", "processing")
        if self.result is not None or not result.is_final:
            raise IllegalTransition(f"{self.generation_id} takes one final result")
        result = replace(result, payload=normalise(result.payload))
        return replace(self, status="processing", result=result, received_at=now, revision=self.revision + 1)

    def completed(self, *, cost_usd: Decimal, points: int, now: datetime) -> Generation:
        """The step succeeded, at this cost."""
        return self._ended("completed", None, cost_usd, points, now)

    def failed(self, failure: Failure, *, now: datetime, cost_usd: Decimal = ZERO, points: int = 0) -> Generation:
        """The step failed; what the provider billed all the same is kept."""
        return self._ended("failed", failure, cost_usd, points, now)

    def cancelled(self, *, now: datetime, cost_usd: Decimal = ZERO, points: int = 0) -> Generation:
        """The caster cancelled the cast; what the provider says that it billed is kept."""
        return self._ended("cancelled", Failure.of(CastCancelled("The cast was cancelled.")), cost_usd, points, now)

    def billed(self, cost_usd: Decimal, points: int, now: datetime) -> Generation:
        """A late result of a failed or cancelled attempt adds its cost, once, and nothing else (contract I3)."""
        self._require("failed", "cancelled")
        if not self.takes_late_bill:
            raise IllegalTransition(f"{self.generation_id} has been billed")
        return replace(
            self,
            cost_usd=cost_usd,
            points_spent=points,
            billed_late=True,
            billed_at=now,
            revision=self.revision + 1,
        )

    def with_bill(self, cost_usd: Decimal) -> Generation:
        """The bill of an attempt whose verdict is stored and not yet processed."""
        self._require("processing")
        if self.result is None or not self.takes_late_bill:
            raise IllegalTransition(f"{self.generation_id} has been billed")
        return replace(self, result=replace(self.result, cost_usd=cost_usd), revision=self.revision + 1)

    def _ended(
        self, status: GenerationStatus, failure: Failure | None, cost_usd: Decimal, points: int, now: datetime
    ) -> Generation:
        self._require("pending", "processing")
        ended = self.received_at or now
        reported = self.result.duration_ms if self.result else None
        return replace(
            self,
            status=status,
            failure=failure,
            cost_usd=cost_usd,
            points_spent=points,
            response_timestamp=ended,
            duration_ms=milliseconds(self.request_timestamp, ended) if reported is None else reported,
            task_token=None,
            revision=self.revision + 1,
        )

    def _require(self, *statuses: GenerationStatus) -> None:
        if self.status not in statuses:
            raise IllegalTransition(f"{self.generation_id} is {self.status}")


def latest_attempts(generations: Iterable[Generation]) -> dict[int, Generation]:
    """The newest attempt at each step that has one."""
    latest: dict[int, Generation] = {}
    for generation in generations:
        known = latest.get(generation.step_index)
        if known is None or generation.attempt > known.attempt:
            latest[generation.step_index] = generation
    return latest
