from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from spellcast.domain.casts import Cast, CastFailure
from spellcast.domain.errors import IllegalTransition
from tests.fakes.records import a_cast, in_seconds

FAILURE = CastFailure("JOB_FAILED", "No.", 1, "n1", "c1.1.1")


def settled(cast: Cast, **changes: Any) -> Cast:
    values: dict[str, Any] = {
        "cost_usd": Decimal("0.03"),
        "points": 9,
        "step_generation_ids": ("c1.0.1",),
        "outputs": {"text": "t"},
        "failure": None,
        "now": in_seconds(7),
        **changes,
    }
    return cast.settled(**values)


def test_a_settled_cast_is_completed() -> None:
    cast = settled(a_cast())
    assert cast == a_cast(
        status="completed",
        cost_usd=Decimal("0.03"),
        points_spent=9,
        step_generation_ids=("c1.0.1",),
        outputs={"text": "t"},
        completed_at=in_seconds(7),
        updated_at=in_seconds(7),
        revision=2,
    )


def test_with_a_failure_it_is_failed_and_never_completed() -> None:
    cast = settled(a_cast(), failure=FAILURE, outputs=None)
    assert (cast.status, cast.failure, cast.failed_at, cast.completed_at) == ("failed", FAILURE, in_seconds(7), None)


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
@pytest.mark.parametrize("failure", [None, FAILURE])
def test_a_terminal_cast_is_not_settled_again(status: str, failure: CastFailure | None) -> None:
    with pytest.raises(IllegalTransition):
        settled(a_cast(status=status), failure=failure)


@pytest.mark.parametrize("status", ["running", "completed", "failed", "cancelled"])
def test_a_late_bill_changes_the_total_and_not_the_status(status: str) -> None:
    cast = a_cast(status=status, revision=4)
    assert cast.billed(cost_usd=Decimal("0.05"), points=15, now=in_seconds(9)) == a_cast(
        status=status, revision=5, cost_usd=Decimal("0.05"), points_spent=15, updated_at=in_seconds(9)
    )


@pytest.mark.parametrize(
    ("status", "terminal"), [("running", False), ("completed", True), ("failed", True), ("cancelled", True)]
)
def test_only_a_running_cast_is_not_terminal(status: str, terminal: bool) -> None:
    assert a_cast(status=status).is_terminal is terminal


def test_its_representation_does_not_show_the_webhook_secret() -> None:
    assert "s3cr3t" not in repr(a_cast())
