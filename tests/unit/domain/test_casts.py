from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from spellcast.domain.budgets import DailyBudget
from spellcast.domain.casts import Cast, CastFailure, Closing, Delivery, OpenCast
from spellcast.domain.errors import IllegalTransition
from tests.fakes.records import a_cast, a_generation, in_seconds

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
        closings=(Closing(1),),
        revision=2,
    )


def test_every_closing_is_remembered_with_the_late_bills_in_its_sum() -> None:
    first = settled(a_cast(), failure=FAILURE, billed_late=("c1.0.1",))
    assert first.closings == (Closing(1, ("c1.0.1",)),)
    resumed = replace(first, status="running", execution=3)
    assert settled(resumed).closings == (Closing(1, ("c1.0.1",)), Closing(3))


def test_with_a_failure_it_is_failed_and_never_completed() -> None:
    cast = settled(a_cast(), failure=FAILURE, outputs=None)
    assert (cast.status, cast.failure, cast.failed_at, cast.completed_at) == ("failed", FAILURE, in_seconds(7), None)


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
@pytest.mark.parametrize("failure", [None, FAILURE])
def test_a_terminal_cast_is_not_settled_again(status: str, failure: CastFailure | None) -> None:
    with pytest.raises(IllegalTransition, match=f"^c1 is {status}$"):
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


COMPLETED = settled(a_cast())
GIVEN_UP = COMPLETED.delivery_ended(attempts=3, error="Webhook returned 500: err", now=in_seconds(50))
TOLD = COMPLETED.delivery_ended(attempts=2, error=None, now=in_seconds(12))


def test_a_delivery_is_a_revision_of_its_own() -> None:
    told = COMPLETED.delivery_ended(attempts=2, error=None, now=in_seconds(12))
    given_up = COMPLETED.delivery_ended(attempts=3, error="Webhook returned 500: err", now=in_seconds(50))
    assert told.delivery == Delivery("sent", 2, in_seconds(12))
    assert given_up.delivery == Delivery("failed", 3, in_seconds(50), "Webhook returned 500: err")
    for cast in (told, given_up):
        assert (cast.revision, cast.status, cast.completed_at) == (3, "completed", COMPLETED.completed_at)


def test_whoever_was_given_up_may_still_be_told_and_the_attempts_add_up() -> None:
    assert GIVEN_UP.owes_webhook
    told = GIVEN_UP.delivery_ended(attempts=1, error=None, now=in_seconds(90))
    assert told.delivery == Delivery("sent", 4, in_seconds(90))
    again = GIVEN_UP.delivery_ended(attempts=3, error="Webhook returned 401", now=in_seconds(90))
    assert again.delivery == Delivery("failed", 6, in_seconds(90), "Webhook returned 401")


@pytest.mark.parametrize(
    "cast",
    [
        pytest.param(a_cast(), id="it runs"),
        pytest.param(a_cast(status="cancelled"), id="it was cancelled"),
        pytest.param(settled(a_cast(webhook_url=None)), id="nobody is to be told"),
        pytest.param(TOLD, id="its caster was told"),
    ],
)
@pytest.mark.parametrize("error", [None, "Webhook returned 500"])
def test_nobody_is_told_who_is_not_to_be_told_or_was(cast: Cast, error: str | None) -> None:
    assert not cast.owes_webhook
    with pytest.raises(IllegalTransition, match=r"^c1 owes no webhook$"):
        cast.delivery_ended(attempts=1, error=error, now=in_seconds(60))


@pytest.mark.parametrize("failure", [None, FAILURE])
@pytest.mark.parametrize("seconds", [-1, 0, 0.0004, 1])
def test_only_the_revision_that_closed_the_cast_has_just_ended(failure: CastFailure | None, seconds: float) -> None:
    ended, now = settled(a_cast(), failure=failure), in_seconds(7 + seconds)
    assert not a_cast().has_just_ended and ended.has_just_ended
    billed = ended.billed(cost_usd=Decimal("0.05"), points=15, now=now)
    delivered = ended.delivery_ended(attempts=1, error=None, now=now)
    both = billed.delivery_ended(attempts=1, error=None, now=now)
    assert not billed.has_just_ended and not delivered.has_just_ended and not both.has_just_ended
    assert delivered.billed(cost_usd=Decimal("0.05"), points=15, now=now).delivery == delivered.delivery


@pytest.mark.parametrize(
    ("now", "updated_at"),
    [
        (in_seconds(9), in_seconds(9)),
        (in_seconds(7), in_seconds(7) + timedelta(milliseconds=1)),
        (in_seconds(3), in_seconds(7) + timedelta(milliseconds=1)),
    ],
)
def test_a_late_bill_is_later_than_the_end_by_any_clock(now: datetime, updated_at: datetime) -> None:
    billed = settled(a_cast()).billed(cost_usd=Decimal(1), points=1, now=now)
    assert billed.updated_at == updated_at
    assert not billed.has_just_ended


@pytest.mark.parametrize(
    ("changes", "is_open"),
    [
        ({}, True),
        ({"webhook_url": None}, True),
        ({"status": "completed"}, True),
        ({"status": "failed"}, True),
        ({"status": "cancelled"}, False),
        ({"status": "completed", "webhook_url": None}, False),
        ({"status": "completed", "delivery": Delivery("sent", 1, in_seconds(9))}, False),
        ({"status": "failed", "delivery": Delivery("failed", 3, in_seconds(9), "HTTP 500")}, False),
    ],
)
def test_a_cast_is_open_until_it_has_ended_and_its_webhook_is_done_with(changes: dict[str, Any], is_open: bool) -> None:
    assert a_cast(**changes).is_open is is_open


def test_a_restarted_cast_is_run_by_a_further_execution() -> None:
    restarted = a_cast(execution=2, revision=4).restarted(now=in_seconds(9))
    assert restarted == a_cast(execution=3, revision=5, updated_at=in_seconds(9))


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_a_terminal_cast_is_not_restarted(status: str) -> None:
    with pytest.raises(IllegalTransition, match=f"^c1 is {status}$"):
        a_cast(status=status).restarted(now=in_seconds(9))


@pytest.mark.parametrize(("execution", "name"), [(1, "c1"), (2, "c1-2")])
def test_a_cast_is_run_by_its_current_execution(execution: int, name: str) -> None:
    cast = a_cast(execution=execution)
    assert cast.execution_name == OpenCast.of(cast).execution_name == name


def test_the_list_of_open_casts_knows_when_one_ended() -> None:
    found = [OpenCast.of(a_cast(**changes)) for changes in ({}, {"failed_at": in_seconds(7), "execution": 2})]
    deadline = a_cast().deadline_at
    assert found == [OpenCast("c1", 1, deadline, None), OpenCast("c1", 2, deadline, in_seconds(7))]


def test_an_execution_is_named_after_its_cast() -> None:
    assert [a_cast(execution=number).execution_name for number in (1, 2)] == ["c1", "c1-2"]


# --- cancelled, and run again ---


def resumed(cast: Cast, **changes: Any) -> Cast:
    values: dict[str, Any] = {
        "first_step": 1,
        "overrides": {"n1": {"width": 1}},
        "version": 2,
        "step_count": 3,
        "step_generation_ids": ("c1.0.2",),
        "budget_usd": Decimal(2),
        "daily_budget": DailyBudget("2026-02-01", Decimal(3)),
        "deadline_at": in_seconds(99),
        "resumed_by": "me",
        "now": in_seconds(9),
        **changes,
    }
    return cast.resumed(**values)


def test_a_cancelled_cast_has_neither_failure_nor_outputs() -> None:
    cast = settled(a_cast().cancelling(in_seconds(3)), failure=FAILURE)
    assert cast == a_cast(
        status="cancelled",
        cost_usd=Decimal("0.03"),
        points_spent=9,
        step_generation_ids=("c1.0.1",),
        cancel_requested_at=in_seconds(3),
        deadline_at=in_seconds(3),
        cancelled_at=in_seconds(7),
        closings=(Closing(1, ()),),
        updated_at=in_seconds(7),
        revision=3,
    )
    assert not cast.is_open and not cast.tells_its_end and not cast.is_cancelling


def test_outputs_that_were_not_read_are_forgotten_with_the_end() -> None:
    ended = settled(a_cast(unread={"inputs": "s3:i", "outputs": "s3:o"}))
    assert resumed(ended).unread == {"inputs": "s3:i"}


def test_a_cancel_is_a_revision_of_its_own_and_said_again_another() -> None:
    cast = a_cast().cancelling(in_seconds(3))
    assert (cast.updated_at, cast.revision) == (in_seconds(3), 2)
    again = cast.cancelling(in_seconds(5))
    assert again == replace(cast, updated_at=in_seconds(5), revision=3)


def test_a_cast_that_was_closed_before_its_step_is_to_be_stopped_as_one_that_is_cancelled_is() -> None:
    interrupted = replace(FAILURE, code="CAST_INTERRUPTED")
    closed = settled(a_cast(), failure=interrupted)
    assert a_cast().cancelling(in_seconds(3)).is_to_be_stopped and closed.is_to_be_stopped
    assert not closed.billed(cost_usd=Decimal("0.05"), points=15, now=in_seconds(9)).is_to_be_stopped
    others = [a_cast(), settled(a_cast()), settled(a_cast(), failure=FAILURE)]
    others.append(settled(a_cast(), failure=CastFailure("CAST_INTERRUPTED", "No step had begun.")))
    assert not any(cast.is_to_be_stopped for cast in others)


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_what_has_ended_is_not_cancelled_and_what_runs_is_not_resumed(status: str) -> None:
    with pytest.raises(IllegalTransition, match=f"^c1 is {status}$"):
        a_cast(status=status).cancelling(in_seconds(3))
    with pytest.raises(IllegalTransition, match=r"^c1 is running$"):
        resumed(a_cast())


@pytest.mark.parametrize(
    "ended",
    [
        settled(a_cast()),
        settled(a_cast(), failure=FAILURE).delivery_ended(attempts=3, error="No.", now=in_seconds(8)),
        settled(a_cast().cancelling(in_seconds(3))),
    ],
    ids=lambda cast: str(cast.status),
)
def test_a_resumed_cast_has_nothing_of_its_end_but_what_it_cost(ended: Cast) -> None:
    cast = resumed(ended)
    assert cast == a_cast(
        status="running",
        revision=ended.revision + 1,
        execution=2,
        attempt=2,
        first_step=1,
        overrides={"n1": {"width": 1}},
        version=2,
        step_count=3,
        step_generation_ids=("c1.0.2",),
        budget_usd=Decimal(2),
        daily_budget=DailyBudget("2026-02-01", Decimal(3)),
        cost_usd=Decimal("0.03"),
        points_spent=9,
        deadline_at=in_seconds(99),
        resumed_at=in_seconds(9),
        resumed_by="me",
        closings=(Closing(1, ()),),
        updated_at=in_seconds(9),
    )
    assert cast.running_since == in_seconds(9)


@pytest.mark.parametrize(
    ("first_step", "attempt", "known", "current"),
    [
        (0, 1, [(0, 1), (1, 1)], {0: 1, 1: 1}),
        (0, 2, [(0, 1), (1, 1)], {}),
        (1, 2, [(0, 1), (1, 1), (2, 1)], {0: 1}),
        (1, 2, [(0, 1), (1, 1), (1, 2), (2, 1)], {0: 1, 1: 2}),
        (2, 3, [(0, 1), (1, 1), (1, 2), (2, 1), (2, 2), (2, 3)], {0: 1, 1: 2, 2: 3}),
    ],
)
def test_of_steps_that_are_run_again_only_the_new_attempt_counts(
    first_step: int, attempt: int, known: list[tuple[int, int]], current: dict[int, int]
) -> None:
    generations = [a_generation(step_index=index, attempt=number) for index, number in known]
    found = a_cast(first_step=first_step, attempt=attempt).current(generations)
    assert {index: generation.attempt for index, generation in found.items()} == current
