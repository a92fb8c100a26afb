from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain import results
from spellcast.domain.budgets import Reservation
from spellcast.domain.errors import IllegalTransition, JobFailed
from spellcast.domain.generations import TERMINAL, Generation, latest_attempts
from spellcast.domain.results import Failure, ToolResult
from spellcast.domain.tools import parse_tool
from tests.fakes.clock import START
from tests.fakes.records import a_generation, a_step, in_seconds, text_result, tool_document

FAILURE = Failure("JOB_FAILED", "No.")
ONE_CENT = Decimal("0.01")

TRANSITIONS: dict[str, Callable[[Generation], Generation]] = {
    "submitted": lambda generation: generation.submitted("r2"),
    "unanswered": lambda generation: generation.unanswered(),
    "with_task_token": lambda generation: generation.with_task_token("t2"),
    "received": lambda generation: generation.received(text_result(), in_seconds(5)),
    "completed": lambda generation: generation.completed(cost_usd=ONE_CENT, points=3, now=in_seconds(6)),
    "failed": lambda generation: generation.failed(FAILURE, now=in_seconds(6)),
    "cancelled": lambda generation: generation.cancelled(cost_usd=ONE_CENT, points=3, now=in_seconds(6)),
    "with_bill": lambda generation: generation.with_bill(ONE_CENT),
    "billed": lambda generation: generation.billed(ONE_CENT, 3, in_seconds(9)),
}
STATES: dict[str, Generation] = {
    "pending": a_generation(task_token="t1"),
    "processing": a_generation(task_token="t1", run_id="r1", status="processing", revision=2),
    "processing with result": a_generation(
        task_token="t1", status="processing", result=text_result(), received_at=in_seconds(4), revision=3
    ),
    "processing with verdict": a_generation(
        task_token="t1", status="processing", result=results.failed(JobFailed("No.")), revision=3
    ),
    "processing with billed verdict": a_generation(
        task_token="t1", status="processing", result=results.failed(JobFailed("No."), cost_usd=ONE_CENT), revision=3
    ),
    "completed": a_generation(status="completed", result=text_result(), revision=4),
    "failed": a_generation(status="failed", failure=FAILURE, revision=4),
    "failed with result": a_generation(
        status="failed", failure=FAILURE, result=results.failed(JobFailed("No.")), revision=4
    ),
    "failed at a cost": a_generation(status="failed", failure=FAILURE, cost_usd=ONE_CENT, revision=4),
    "failed and billed": a_generation(status="failed", failure=FAILURE, billed_late=True, revision=5),
    "cancelled": a_generation(status="cancelled", revision=4),
    "skipped": a_generation(status="skipped", revision=4),
}
LEGAL: dict[tuple[str, str], str] = {
    ("pending", "submitted"): "processing",
    ("pending", "unanswered"): "pending",
    ("pending", "with_task_token"): "pending",
    ("pending", "received"): "processing",
    ("pending", "completed"): "completed",
    ("pending", "failed"): "failed",
    ("pending", "cancelled"): "cancelled",
    ("processing", "with_task_token"): "processing",
    ("processing", "received"): "processing",
    ("processing", "completed"): "completed",
    ("processing", "failed"): "failed",
    ("processing", "cancelled"): "cancelled",
    ("processing with result", "submitted"): "processing",
    ("processing with result", "with_task_token"): "processing",
    ("processing with result", "completed"): "completed",
    ("processing with result", "failed"): "failed",
    ("processing with result", "cancelled"): "cancelled",
    ("processing with verdict", "submitted"): "processing",
    ("processing with verdict", "with_task_token"): "processing",
    ("processing with verdict", "completed"): "completed",
    ("processing with verdict", "failed"): "failed",
    ("processing with verdict", "cancelled"): "cancelled",
    ("processing with verdict", "with_bill"): "processing",
    ("processing with billed verdict", "submitted"): "processing",
    ("processing with billed verdict", "with_task_token"): "processing",
    ("processing with billed verdict", "completed"): "completed",
    ("processing with billed verdict", "failed"): "failed",
    ("processing with billed verdict", "cancelled"): "cancelled",
    ("failed", "billed"): "failed",
    ("failed with result", "billed"): "failed",
    ("cancelled", "billed"): "cancelled",
}


@pytest.mark.parametrize("transition", TRANSITIONS)
@pytest.mark.parametrize("state", STATES)
def test_a_generation_changes_only_as_its_life_allows(state: str, transition: str) -> None:
    generation = STATES[state]
    if (state, transition) in LEGAL:
        after = TRANSITIONS[transition](generation)
        assert after.status == LEGAL[state, transition]
        assert after.revision == generation.revision + 1
    else:
        with pytest.raises(IllegalTransition):
            TRANSITIONS[transition](generation)


def test_a_reserved_generation_knows_its_step_its_tool_and_its_deadline() -> None:
    tool = parse_tool(tool_document(deliveryMode="webhook", deadlineSeconds=90))
    generation = Generation.reserve(
        cast_id="c1",
        account_id="alice",
        spell_id="s1",
        position=3,
        attempt=2,
        step=a_step(id="n7"),
        tool=tool,
        inputs={"prompt": "p"},
        now=START,
        task_token="t",
        collection={"cookId": "k"},
        execution=4,
    )
    assert generation == a_generation(
        step_index=3,
        step_id="n7",
        attempt=2,
        delivery_mode="webhook",
        request_payload={"prompt": "p"},
        deadline_at=in_seconds(90),
        task_token="t",
        collection={"cookId": "k"},
        execution=4,
    )
    assert generation.generation_id == "c1.3.2"


def test_a_cancelled_step_keeps_what_it_cost_and_says_why_it_ended() -> None:
    cancelled = STATES["processing"].cancelled(cost_usd=ONE_CENT, points=3, now=in_seconds(6))
    assert cancelled == a_generation(
        run_id="r1",
        status="cancelled",
        revision=3,
        cost_usd=ONE_CENT,
        points_spent=3,
        failure=Failure("CAST_CANCELLED", "The cast was cancelled.", False),
        response_timestamp=in_seconds(6),
        duration_ms=6_000,
    )
    free = STATES["processing"].cancelled(now=in_seconds(6))
    assert (free.cost_usd, free.points_spent) == (Decimal(0), 0)


def test_a_fallback_takes_the_place_of_the_first_tools_reservation() -> None:
    first = a_generation(tool_id="dear", revision=3)
    assert a_generation(tool_id="plain").instead_of(first, FAILURE) == a_generation(
        tool_id="plain", revision=4, fallback_from={"toolId": "dear", "code": "JOB_FAILED", "message": "No."}
    )


def test_a_job_that_was_faster_than_its_submission_is_attached_all_the_same() -> None:
    attached = STATES["processing with result"].submitted("r1")
    assert (attached.run_id, attached.result, attached.status) == ("r1", text_result(), "processing")
    with pytest.raises(IllegalTransition):
        attached.submitted("r2")


def test_submission_keeps_the_job_and_the_token() -> None:
    submitted = a_generation(task_token="t").submitted("r1")
    assert (submitted.run_id, submitted.task_token) == ("r1", "t")


@pytest.mark.parametrize(
    ("state", "transition", "reason"),
    [
        ("completed", "completed", "c1.0.1 is completed"),
        ("pending", "billed", "c1.0.1 is pending"),
        ("processing", "submitted", "c1.0.1 has its job"),
        ("processing with result", "received", "c1.0.1 takes one final result"),
        ("failed and billed", "billed", "c1.0.1 has been billed"),
        ("processing with billed verdict", "with_bill", "c1.0.1 has been billed"),
    ],
)
def test_a_refused_change_names_the_generation_and_the_reason(state: str, transition: str, reason: str) -> None:
    with pytest.raises(IllegalTransition, match=f"^{reason}$"):
        TRANSITIONS[transition](STATES[state])


def test_a_new_token_takes_the_place_of_the_old_one() -> None:
    assert a_generation(task_token="t1").with_task_token("t2").task_token == "t2"


def test_a_result_is_kept_with_its_time_and_not_yet_processed() -> None:
    received = a_generation(task_token="t").received(text_result(), in_seconds(5))
    assert (received.result, received.received_at, received.task_token) == (text_result(), in_seconds(5), "t")
    assert received.response_timestamp is None


def test_a_state_on_the_way_is_no_result() -> None:
    with pytest.raises(IllegalTransition):
        a_generation().received(ToolResult("processing", progress=0.5), START)


def test_a_received_payload_has_the_one_form_whoever_brings_it() -> None:
    brought = ToolResult("succeeded", ({"type": "text", "data": {"result": ["x"]}}, {"9": {"images": ["u"]}}))
    assert a_generation().received(brought, START).result == ToolResult(
        "succeeded",
        ({"type": "text", "data": {"result": ["x"], "text": ["x"]}}, {"type": "image", "data": {"images": ["u"]}}),
    )


def test_the_terminal_revision_has_cost_duration_and_no_token() -> None:
    received = a_generation(task_token="t").received(text_result(), in_seconds(5))
    ended = received.completed(cost_usd=ONE_CENT, points=30, now=in_seconds(9))
    assert (ended.cost_usd, ended.points_spent, ended.task_token, ended.failure) == (ONE_CENT, 30, None, None)
    # The result's arrival counts, not the moment at which it was processed.
    assert (ended.response_timestamp, ended.duration_ms) == (in_seconds(5), 5000)


def test_the_providers_own_duration_wins() -> None:
    received = a_generation().received(text_result(duration_ms=1234), in_seconds(5))
    assert received.completed(cost_usd=ONE_CENT, points=3, now=in_seconds(9)).duration_ms == 1234


def test_a_provider_may_say_that_it_took_no_time() -> None:
    received = a_generation().received(text_result(duration_ms=0), in_seconds(5))
    assert received.completed(cost_usd=ONE_CENT, points=3, now=in_seconds(9)).duration_ms == 0


def test_a_failed_step_keeps_its_reason_and_its_bill() -> None:
    failed = a_generation().failed(FAILURE, now=in_seconds(2), cost_usd=ONE_CENT, points=30)
    assert (failed.failure, failed.cost_usd, failed.points_spent, failed.duration_ms) == (FAILURE, ONE_CENT, 30, 2000)


def test_a_failed_step_costs_nothing_unless_it_is_said() -> None:
    failed = a_generation().failed(FAILURE, now=in_seconds(2))
    assert (failed.cost_usd, failed.points_spent) == (Decimal(0), 0)


def test_a_bill_before_the_verdict_is_processed_is_kept_with_the_verdict() -> None:
    verdict = STATES["processing with verdict"]
    assert verdict.with_bill(ONE_CENT) == replace(
        verdict, result=results.failed(JobFailed("No."), cost_usd=ONE_CENT), revision=4
    )


def test_a_late_bill_adds_its_cost_and_nothing_else() -> None:
    failed = a_generation(status="failed", failure=FAILURE, duration_ms=7)
    billed = failed.billed(ONE_CENT, 30, in_seconds(9))
    assert billed == a_generation(
        status="failed",
        failure=FAILURE,
        duration_ms=7,
        cost_usd=ONE_CENT,
        points_spent=30,
        billed_late=True,
        billed_at=in_seconds(9),
        revision=2,
    )


@pytest.mark.parametrize("code", ["TIMED_OUT", "OUTCOME_UNKNOWN", "JOB_LOST"])
def test_a_step_that_was_given_up_takes_a_late_bill_too(code: str) -> None:
    # What was stored is our own verdict, which says nothing of what the provider billed.
    verdict = Failure(code, "Given up.")
    given_up = a_generation().received(ToolResult("failed", failure=verdict), START).failed(verdict, now=START)
    assert given_up.billed(ONE_CENT, 3, START).cost_usd == ONE_CENT


INTERRUPTED = Failure("CAST_INTERRUPTED", "The cast ended before this step did.")


@pytest.mark.parametrize(
    ("changes", "runs_on"),
    [
        ({}, True),
        ({"delivery_mode": "webhook"}, True),
        ({"delivery_mode": "immediate"}, False),
        ({"failure": FAILURE}, False),
        ({"failure": None, "status": "completed"}, False),
        ({"result": ToolResult("failed", failure=FAILURE)}, False),
        ({"cost_usd": ONE_CENT}, False),
        ({"billed_late": True}, False),
    ],
)
def test_the_job_of_a_step_that_was_closed_with_its_cast_may_run_on(changes: dict[str, Any], runs_on: bool) -> None:
    closed = {"status": "failed", "failure": INTERRUPTED}
    assert a_generation(**{**closed, **changes}).may_run_on is runs_on


@pytest.mark.parametrize(("seconds", "overdue"), [(899.999, False), (900, True), (901, True)])
def test_a_generation_is_overdue_from_its_deadline_on(seconds: float, overdue: bool) -> None:
    assert a_generation().is_overdue(START + timedelta(seconds=seconds)) is overdue


@given(st.lists(st.sampled_from(sorted(TRANSITIONS)), max_size=20))
def test_revisions_strictly_grow_and_nothing_leaves_a_terminal_state_but_one_late_bill(names: list[str]) -> None:
    lives = [a_generation(task_token="t1")]
    for name in names:
        try:
            lives.append(TRANSITIONS[name](lives[-1]))
        except IllegalTransition:
            continue
    assert [life.revision for life in lives] == list(range(1, len(lives) + 1))
    terminal = [life for life in lives if life.is_terminal]
    assert lives[len(lives) - len(terminal) :] == terminal
    assert len({life.status for life in terminal}) <= 1
    assert len(terminal) <= (2 if terminal and terminal[0].status == "failed" else 1)
    assert sum(life.received_at != before.received_at for before, life in itertools.pairwise(lives)) <= 1


@given(st.permutations([(index, attempt) for index in range(3) for attempt in (1, 2, 3)]))
def test_the_latest_attempt_counts_in_whatever_order_they_are_read(order: list[tuple[int, int]]) -> None:
    latest = latest_attempts(a_generation(step_index=index, attempt=attempt) for index, attempt in order)
    assert {index: generation.attempt for index, generation in latest.items()} == {0: 3, 1: 3, 2: 3}


def test_the_terminal_states_are_those_of_the_contract() -> None:
    assert {"completed", "failed", "cancelled", "skipped"} == TERMINAL


def verdict(code: str) -> ToolResult:
    return ToolResult("failed", failure=Failure(code, "No."))


FALLEN_BACK = a_generation(tool_id="second").instead_of(a_generation(), Failure("LIMIT_REACHED", "Full.", True))
# What a reader is told of a job's submission, by what the record says.
SUBMISSIONS: dict[str, tuple[Generation, str | None]] = {
    "an immediate step": (a_generation(delivery_mode="immediate"), None),
    "an immediate step that failed": (
        a_generation(delivery_mode="immediate", status="failed", failure=Failure("PROVIDER_REFUSED", "No.")),
        None,
    ),
    "reserved": (a_generation(), "submitting"),
    "reserved, and the answer was lost": (a_generation().unanswered(), "unknown"),
    "reserved, and taken up by a later invocation": (a_generation().with_task_token("t2"), "unknown"),
    "accepted": (a_generation().submitted("r1"), "submitted"),
    "found by its id after the answer was lost": (a_generation().unanswered().submitted("r1"), "submitted"),
    "the callback was faster than the answer": (a_generation().received(text_result(), START), "submitted"),
    "the callback told of a failure": (a_generation().received(verdict("JOB_FAILED"), START), "submitted"),
    "the callback told of a cancellation": (a_generation().received(verdict("JOB_CANCELLED"), START), "submitted"),
    "refused": (a_generation().received(verdict("PROVIDER_REFUSED"), START), "notStarted"),
    "not reached": (a_generation().received(verdict("PROVIDER_UNAVAILABLE"), START), "notStarted"),
    "reserved for the fallback": (FALLEN_BACK, "submitting"),
    "reserved for the fallback, and the answer was lost": (FALLEN_BACK.unanswered(), "unknown"),
    "reserved for the fallback, and taken up later": (FALLEN_BACK.with_task_token("t2"), "unknown"),
    "accepted of the fallback": (FALLEN_BACK.submitted("r1"), "submitted"),
    "lost for good": (a_generation().received(verdict("OUTCOME_UNKNOWN"), START), "unknown"),
    "an adapter's defect": (a_generation().received(verdict("ADAPTER_FAULT"), START), "unknown"),
    "interrupted while it was pending": (a_generation().failed(Failure("TIMED_OUT", "No."), now=START), "unknown"),
    "accepted, and over its time": (a_generation(status="failed", run_id="r1", failure=FAILURE), "submitted"),
    **{
        f"never asked: {code}": (a_generation().failed(Failure(code, "No."), now=START), "notStarted")
        for code in (
            "BUDGET_EXCEEDED",
            "INVALID_STEP_INPUT",
            "LIMIT_REACHED",
            "MISSING_INPUTS",
            "PROVIDER_NOT_CONFIGURED",
            "TOOL_NOT_FOUND",
        )
    },
}


@pytest.mark.parametrize("name", SUBMISSIONS)
def test_what_is_known_of_a_submission(name: str) -> None:
    generation, told = SUBMISSIONS[name]
    assert generation.submission == told


def test_a_record_may_hold_places_under_limits() -> None:
    assert a_generation().slots == ()
    assert a_generation().holding(("fake#jobs",)) == a_generation(slots=("fake#jobs",))


def test_a_fallbacks_record_takes_the_place_of_the_first_tools() -> None:
    why = {"toolId": "tool", "code": "LIMIT_REACHED", "message": "Full."}
    assert a_generation(tool_id="second", revision=2, fallback_from=why) == FALLEN_BACK


def test_a_lost_answer_changes_nothing_but_the_revision() -> None:
    assert a_generation().unanswered() == a_generation(revision=2)


def test_a_record_is_written_with_what_is_held_for_it() -> None:
    held = Reservation("2026-01-31", ONE_CENT)
    assert a_generation().counting(held) == a_generation(reservation=held)
