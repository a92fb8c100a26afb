"""A cast: one run of a spell version, from running to exactly one of completed, failed and cancelled."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from spellcast.domain.documents import Document
from spellcast.domain.errors import IllegalTransition
from spellcast.domain.money import ZERO

CastStatus = Literal["running", "completed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class CastFailure:
    """Which step failed and why; no step where the cast failed outside of one."""

    code: str
    message: str
    step_index: int | None = None
    step_id: str | None = None
    generation_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """The record of a run. The webhook secret is kept for signing and never shown."""

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
    metadata: Document = field(default_factory=dict)
    budget_usd: Decimal | None = None
    webhook_url: str | None = None
    webhook_secret: str | None = field(default=None, repr=False)
    cost_usd: Decimal = ZERO
    points_spent: int = 0
    outputs: Document | list[Document] | None = None
    step_generation_ids: tuple[str, ...] = ()
    completed_at: datetime | None = None
    failed_at: datetime | None = None
    failure: CastFailure | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether nothing but a late bill can still change the record."""
        return self.status != "running"

    @property
    def has_just_ended(self) -> bool:
        """Whether this revision is the one that closed the cast; a late bill makes another."""
        return self.updated_at in (self.completed_at, self.failed_at)

    def settled(
        self,
        *,
        cost_usd: Decimal,
        points: int,
        step_generation_ids: tuple[str, ...],
        outputs: Document | list[Document] | None,
        failure: CastFailure | None,
        now: datetime,
    ) -> Cast:
        """The end: completed, or failed where a failure is given. Raises IllegalTransition where there is one."""
        if self.is_terminal:
            raise IllegalTransition(f"{self.cast_id} is {self.status}")
        return replace(
            self,
            status="failed" if failure else "completed",
            cost_usd=cost_usd,
            points_spent=points,
            step_generation_ids=step_generation_ids,
            outputs=outputs,
            failure=failure,
            completed_at=None if failure else now,
            failed_at=now if failure else None,
            updated_at=now,
            revision=self.revision + 1,
        )

    def billed(self, *, cost_usd: Decimal, points: int, now: datetime) -> Cast:
        """The same status at another total, after a late bill (contract I3, I5)."""
        # Always after the end, so that nobody takes this revision for the one that closed the cast.
        later = max(now, self.updated_at + timedelta(milliseconds=1))
        return replace(self, cost_usd=cost_usd, points_spent=points, updated_at=later, revision=self.revision + 1)
