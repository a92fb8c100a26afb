from __future__ import annotations

from decimal import Decimal
from typing import Literal

import pytest

from spellcast.domain import results
from spellcast.domain.errors import JobFailed, StepTimedOut
from spellcast.domain.results import Failure, ToolResult, Usage


@pytest.mark.parametrize(("status", "final"), [("succeeded", True), ("failed", True), ("processing", False)])
def test_a_job_is_over_unless_it_is_processing(
    status: Literal["succeeded", "failed", "processing"], final: bool
) -> None:
    assert ToolResult(status).is_final is final


def test_a_succeeded_run_has_one_element() -> None:
    result = results.succeeded("text", {"text": "t"}, cost_usd=Decimal("0.1"), duration_ms=7)
    assert result == ToolResult("succeeded", ({"type": "text", "data": {"text": "t"}},), Decimal("0.1"), 7)


def test_a_failed_run_has_the_errors_code_and_whether_it_may_be_asked_again() -> None:
    assert results.failed(JobFailed("No.")).failure == Failure("JOB_FAILED", "No.", False)
    assert results.failed(StepTimedOut("Late."), cost_usd=Decimal(1)) == ToolResult(
        "failed", cost_usd=Decimal(1), failure=Failure("TIMED_OUT", "Late.", True)
    )


def test_a_failed_run_keeps_the_providers_own_duration() -> None:
    assert results.failed(JobFailed("No."), duration_ms=7).duration_ms == 7


@pytest.mark.parametrize(
    ("read", "written", "usage"),
    [
        (25, 20, Usage(25, 20)),
        (0, 0, Usage(0, 0)),
        (None, 20, Usage(0, 20)),
        (25, "20", Usage(25, 0)),
        (True, -1, None),
        (None, None, None),
    ],
)
def test_what_a_provider_counted(read: object, written: object, usage: Usage | None) -> None:
    assert Usage.of(read, written) == usage
