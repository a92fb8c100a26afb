"""What an adapter hands over: the outcome of an immediate run, or the state of a job."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeGuard

from spellcast.domain.documents import Document
from spellcast.domain.errors import StepFailed

# Of one run, in either direction; a figure beyond it is a fault of its sender's, and costs stay exact in 38 digits.
MOST_TOKENS = 10**9


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a step failed, as the caller reads it: no secret, no prompt, no traceback."""

    code: str
    message: str
    retryable: bool = False

    @classmethod
    def of(cls, error: StepFailed) -> Failure:
        """The failure that an error of the closed list stands for."""
        return cls(error.code, error.message, error.retryable)


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens that a model read and wrote."""

    input_tokens: int
    output_tokens: int

    @classmethod
    def is_count(cls, value: object) -> TypeGuard[int]:
        """Whether the value can be a number of tokens."""
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS

    @classmethod
    def of(cls, read: object, written: object) -> Usage | None:
        """What a provider counted; None where it counted neither."""
        if not cls.is_count(read) and not cls.is_count(written):
            return None
        return cls(read if cls.is_count(read) else 0, written if cls.is_count(written) else 0)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """`payload` is `[{type, data}]`; `cost_usd` only where the provider says what it billed.

    `duration_ms` is the provider's own figure of its run time, `usage` its count of tokens, where it gives them;
    `progress` goes from 0 to 1, and `is_queued` says of a job that it has not begun. `run_id` is the job that a
    callback speaks of: it has to be the generation's.
    """

    status: Literal["succeeded", "failed", "processing"]
    payload: tuple[Document, ...] = ()
    cost_usd: Decimal | None = None
    duration_ms: int | None = None
    failure: Failure | None = None
    progress: float | None = None
    live_status: str | None = None
    usage: Usage | None = None
    is_queued: bool = False
    run_id: str | None = None

    @property
    def is_final(self) -> bool:
        """Whether the job is over."""
        return self.status != "processing"


@dataclass(frozen=True, slots=True)
class Job:
    """A job that a provider has accepted, under the provider's id; without a callback it has to be polled."""

    run_id: str
    calls_back: bool


def succeeded(
    kind: str,
    data: Document,
    *,
    cost_usd: Decimal | None = None,
    duration_ms: int | None = None,
    usage: Usage | None = None,
) -> ToolResult:
    """One element of output, as most tools give it."""
    payload = ({"type": kind, "data": data},)
    return ToolResult("succeeded", payload, cost_usd=cost_usd, duration_ms=duration_ms, usage=usage)


def failed(error: StepFailed, *, cost_usd: Decimal | None = None, duration_ms: int | None = None) -> ToolResult:
    """A run that ended without a result."""
    return ToolResult("failed", failure=Failure.of(error), cost_usd=cost_usd, duration_ms=duration_ms)
