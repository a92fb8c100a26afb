from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.application.finalize_cost import interruption_of
from spellcast.application.update_cast import CastUpdate, UpdateCast
from spellcast.domain import errors, results
from spellcast.domain.casts import Cast, CastFailure
from spellcast.domain.errors import CastNotFound, DocumentLost, JobCancelled, JobFailed, StepFailed
from spellcast.domain.generations import Generation
from spellcast.domain.results import Failure, ToolResult
from spellcast.ports.machine import Execution
from tests.fakes.crash import Crash
from tests.fakes.records import a_generation, text_result
from tests.fakes.store import in_row
from tests.fakes.world import World, make_tool

STOPPED = Failure("CAST_INTERRUPTED", "Stopped.", True)


@pytest.fixture
def world() -> World:
    return World(make_tool("dear", amount="1000.0000001"))


def done(world: World, *tools: str) -> Cast:
    """A cast of immediate steps, all of them processed."""
    cast = world.cast(*tools)
    world.execute(cast)
    world.process(cast)
    return cast


def test_a_cast_whose_steps_are_completed_is_completed(world: World) -> None:
    cast = done(world, "free", "paid", "dear")
    world.clock.advance(7)
    closed = world.settle(cast)
    assert (closed.status, closed.completed_at, closed.failure) == ("completed", world.clock.now(), None)
    assert closed.cost_usd == Decimal("1000.0100001")
    assert closed.points_spent == sum(world.generation(cast, position).points_spent for position in range(3))
    assert closed.step_generation_ids == tuple(f"{cast.cast_id}.{position}.1" for position in range(3))
    assert closed.outputs == {"text": "<<<>>>"}
    assert closed == world.cast_of(cast)


def test_a_generation_keeps_its_own_cost(world: World) -> None:
    cast = done(world, "paid", "paid")
    world.settle(cast)
    assert [world.generation(cast, position).cost_usd for position in range(2)] == [Decimal("0.01")] * 2


@pytest.mark.parametrize("again", [None, STOPPED])
def test_closing_it_again_changes_nothing(world: World, again: Failure | None) -> None:
    cast = done(world, "paid")
    closed = world.settle(cast)
    writes = len(world.store.writes)
    world.clock.advance(60)
    assert world.settle(cast, again) == closed
    assert len(world.store.writes) == writes


LARGE = "x" * 200_001


def lose_documents(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads a large record finds that the bucket does not have its documents."""
    whole = world.store.get_generation

    def get_generation(generation_id: str) -> Generation | None:
        found = whole(generation_id)
        if found is not None and in_row(found).unread:
            raise DocumentLost("It is not in the bucket any more.")
        return found

    monkeypatch.setattr(world.store, "get_generation", get_generation)


def test_a_cast_is_closed_with_its_large_outputs_and_keeps_its_large_inputs(world: World) -> None:
    world.adapter.on_execute = lambda request: text_result(LARGE)
    cast = world.cast("free", inputs={"p": LARGE})
    world.execute(cast)
    world.process(cast)
    closed = world.settle(cast)
    assert closed.outputs == {"text": LARGE}
    stored = world.cast_of(cast)
    assert (stored.status, stored.inputs, stored.outputs) == ("completed", {"p": LARGE}, {"text": LARGE})
    assert world.generation(cast, 0).result == text_result(LARGE)


@pytest.mark.parametrize("ended", [True, False])
def test_i2_a_cast_whose_outputs_are_lost_is_failed_with_the_reason(
    world: World, monkeypatch: pytest.MonkeyPatch, ended: bool
) -> None:
    world.adapter.on_execute = lambda request: text_result(LARGE)
    cast = world.cast("free")
    world.execute(cast)
    if ended:
        world.process(cast)
    lose_documents(world, monkeypatch)
    closed = world.settle(cast, interruption_of("DocumentLost", ""))
    assert closed.failure is not None
    assert (closed.status, closed.failure.code, closed.failure.step_index) == ("failed", "DOCUMENT_LOST", 0)
    assert world.settle(cast) == world.cast_of(cast)


def test_a_document_that_is_lost_on_the_way_is_named_in_the_casts_reason(world: World) -> None:
    cast = world.cast("free", "free")
    closed = world.settle(cast, interruption_of("DocumentLost", "a traceback"))
    assert closed.failure == CastFailure("DOCUMENT_LOST", "An output of the cast is not in the bucket any more.")


@pytest.mark.parametrize("again", [None, STOPPED])
def test_two_closings_at_once_are_one(world: World, again: Failure | None) -> None:
    cast = done(world, "paid")
    world.store.meanwhile.append(lambda: world.settle(cast))
    assert world.settle(cast, again) == world.cast_of(cast)
    assert [item.is_terminal for item in world.store.writes if isinstance(item, Cast)].count(True) == 1


def test_a_failed_step_is_the_casts_reason_and_its_bill_is_in_the_sum(world: World) -> None:
    cast = world.cast("paid", "polled", "free")
    world.execute(cast)
    bill = Decimal("0.0000001")
    world.complete_job(f"{cast.cast_id}.1.1", results.failed(JobFailed("No cats."), cost_usd=bill))
    closed = world.process(cast)
    assert closed.failure == CastFailure("JOB_FAILED", "No cats.", 1, "n1", f"{cast.cast_id}.1.1")
    assert (closed.status, closed.failed_at, closed.completed_at) == ("failed", world.clock.now(), None)
    assert (closed.cost_usd, closed.outputs) == (Decimal("0.0100001"), None)
    assert closed.step_generation_ids == (f"{cast.cast_id}.0.1",)


def test_the_steps_reason_comes_before_what_the_machine_says(world: World) -> None:
    cast = world.cast("polled")
    world.execute(cast)
    world.complete_job(f"{cast.cast_id}.0.1", results.failed(JobFailed("No cats.")))
    failure = world.settle(cast, interruption_of("StepEndedInFailure", "JOB_FAILED: No cats.")).failure
    assert failure is not None
    assert (failure.code, failure.message) == ("JOB_FAILED", "No cats.")


@pytest.mark.parametrize(
    ("interruption", "code", "message"),
    [
        (STOPPED, "CAST_INTERRUPTED", "Stopped."),
        (None, "CAST_INTERRUPTED", "The cast ended before this step did."),
        (Failure("TIMED_OUT", "Late.", True), "TIMED_OUT", "Late."),
    ],
)
def test_open_generations_are_closed_first(world: World, interruption: Failure | None, code: str, message: str) -> None:
    cast = world.cast("paid", "polled")
    world.execute(cast)
    closed = world.settle(cast, interruption)
    generation = world.generation(cast, 1)
    assert generation.failure is not None
    assert (generation.status, generation.failure.code, generation.failure.retryable) == ("failed", code, True)
    assert closed.failure == CastFailure(code, message, 1, "n1", generation.generation_id)
    assert closed.cost_usd == Decimal("0.01")


ENDS: list[tuple[ToolResult, str, str | None, str]] = [
    (results.failed(JobCancelled("Stopped."), cost_usd=Decimal("0.50")), "failed", "CAST_INTERRUPTED", "0.50"),
    (results.failed(JobFailed("No."), cost_usd=Decimal("0.07")), "failed", "JOB_FAILED", "0.07"),
    (ToolResult("processing"), "failed", "CAST_INTERRUPTED", "0"),
    (text_result(), "completed", None, "0.02"),
]


def by_the_rule(world: World, cast: Cast) -> None:
    world.settle(cast, interruption_of("ABORTED", ""))


def by_the_sweep(world: World, cast: Cast) -> None:
    world.machine.ended[cast.execution_name] = Execution(False, "ABORTED")
    world.clock.advance(121)
    assert world.sweep(is_time_left=lambda: True).mended == {"settled": 1}


@pytest.mark.parametrize("close", [by_the_rule, by_the_sweep])
@pytest.mark.parametrize(("end", "status", "code", "cost"), ENDS, ids=["billed", "failed", "runs on", "done"])
def test_i5_a_machine_that_ends_leaves_no_job_that_runs_and_no_bill_behind(
    world: World, close: Callable[[World, Cast], None], end: ToolResult, status: str, code: str | None, cost: str
) -> None:
    cast = world.cast("polled")
    world.execute(cast)
    world.adapter.on_poll = lambda run_id: end if world.adapter.cancelled else ToolResult("processing")
    close(world, cast)
    generation, closed = world.generation(cast, 0), world.cast_of(cast)
    assert (generation.status, generation.failure and generation.failure.code) == (status, code)
    assert (closed.status, closed.cost_usd, generation.cost_usd) == (status, Decimal(cost), Decimal(cost))
    assert (world.adapter.cancelled, world.adapter.polled) == (["job-1"], ["job-1"])


@pytest.mark.parametrize(("cost", "times"), [("0.50", 1), ("0", 2)])
@pytest.mark.parametrize("tool", ["polled", "called"])
def test_i5_a_job_of_a_cast_that_was_closed_by_who_may_ask_nobody_is_stopped_by_who_may(
    world: World, tool: str, cost: str, times: int
) -> None:
    cast = world.cast("free", tool)
    world.execute(cast)
    update_cast = UpdateCast(world.store, world.complete_job.finalize_cost)
    update_cast(cast.cast_id, CastUpdate(status="failed"))
    assert (world.adapter.cancelled, world.adapter.polled) == ([], [])
    assert world.cast_of(cast).is_to_be_stopped, "and announced as such"
    billed = results.failed(JobCancelled("Stopped."), cost_usd=Decimal(cost))
    world.adapter.on_poll = lambda run_id: billed if world.adapter.cancelled else ToolResult("processing")
    for _ in range(2):
        world.settle(cast)
    generation = world.generation(cast, 1)
    assert (world.cast_of(cast).cost_usd, generation.cost_usd) == (Decimal(cost), Decimal(cost))
    assert generation.failure is not None
    assert (generation.status, generation.failure.code) == ("failed", "CAST_INTERRUPTED")
    assert (world.adapter.cancelled, world.adapter.polled) == (["job-1"] * times, ["job-1"] * times)
    assert sum(row.settled_usd for row in world.store._ledger.values()) == Decimal(cost)


def test_a_step_that_asked_nobody_outside_is_not_stopped_after_its_end(world: World) -> None:
    cast = world.cast("polled")
    world.execute(cast)
    world.complete_job(f"{cast.cast_id}.0.1", results.failed(JobFailed("No.")))
    world.process(cast)
    world.settle(cast)
    assert (world.adapter.cancelled, world.adapter.polled) == ([], [])


def test_a_cast_that_is_not_cancelled_does_not_stop_its_own_machine(world: World) -> None:
    cast = world.cast("polled")
    world.execute(cast)
    world.settle(cast, interruption_of("ClientError", ""))
    assert (world.adapter.cancelled, world.machine.stopped) == (["job-1"], [])


@pytest.mark.parametrize("tool", ["paid", "free"])
def test_i5_the_sum_is_mended_where_somebody_died_between_a_steps_end_and_the_cast(
    world: World, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    cast = world.cast(tool)
    world.adapter.repeatable = False
    # The step is begun, and its result stored, while the cast is being closed.
    world.store.meanwhile.append(lambda: world.execute(cast))
    save_cast, saved = world.store.save_cast, 0

    def dying(after: Cast, before: Cast) -> None:
        nonlocal saved
        saved += 1
        if saved == 2:
            raise Crash
        save_cast(after, before)

    monkeypatch.setattr(world.store, "save_cast", dying)
    with pytest.raises(Crash):
        world.settle(cast, STOPPED)
    monkeypatch.undo()
    for _ in range(2):
        writes = len(world.store.writes)
        closed, generation = world.settle(cast, STOPPED), world.generation(cast, 0)
        closed = world.cast_of(cast)
        assert (closed.cost_usd, closed.points_spent) == (generation.cost_usd, generation.points_spent)
    assert closed.points_spent > 0
    assert len(world.store.writes) == writes, "once"


def test_i5_a_late_bill_reaches_the_cast_though_who_brought_it_died(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast = world.cast("called")
    world.execute(cast)
    world.settle(cast, Failure("INTERNAL_ERROR", "Broken."))

    def die(after: Cast, before: Cast) -> None:
        raise Crash

    monkeypatch.setattr(world.store, "save_cast", die)
    with pytest.raises(Crash):
        world.complete_job(f"{cast.cast_id}.0.1", results.succeeded("text", {}, cost_usd=Decimal("0.7")))
    monkeypatch.undo()
    world.settle(cast)
    assert world.cast_of(cast).cost_usd == world.generation(cast, 0).cost_usd == Decimal("0.7")


def test_a_reserved_step_is_closed_too(world: World) -> None:
    cast = world.cast("polled")

    def killed(request: object) -> ToolResult:
        raise KeyboardInterrupt

    world.adapter.on_start = killed  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        world.execute(cast)
    world.settle(cast, STOPPED)
    assert world.generation(cast, 0).status == "failed"


def test_an_open_generation_that_has_its_result_is_finished_with_it(world: World) -> None:
    cast = world.cast("polled", "free")
    world.execute(cast)
    world.complete_job(f"{cast.cast_id}.0.1", text_result())
    closed = world.settle(cast, STOPPED)
    assert world.generation(cast, 0).status == "completed"
    assert (closed.status, closed.cost_usd) == ("failed", Decimal("0.02"))
    assert closed.failure == CastFailure("CAST_INTERRUPTED", "Stopped.")
    assert closed.step_generation_ids == (f"{cast.cast_id}.0.1",)


def test_a_cast_whose_last_result_had_come_is_completed_though_its_machine_ended(world: World) -> None:
    cast = world.cast("polled")
    world.execute(cast)
    world.complete_job(f"{cast.cast_id}.0.1", text_result("t"))
    closed = world.settle(cast, STOPPED)
    assert (closed.status, closed.outputs, closed.cost_usd) == ("completed", {"text": "t"}, Decimal("0.02"))


def test_a_cast_that_never_began_is_failed(world: World) -> None:
    closed = world.settle(world.cast("free"))
    assert (closed.status, closed.cost_usd) == ("failed", Decimal(0))
    assert closed.failure == CastFailure("CAST_INTERRUPTED", "The cast ended before its last step.")


def test_a_result_that_comes_while_the_cast_is_closed_is_kept(world: World) -> None:
    cast = world.cast("polled")
    world.execute(cast)
    world.store.meanwhile.append(lambda: world.complete_job(f"{cast.cast_id}.0.1", text_result("t")))
    closed = world.settle(cast, STOPPED)
    assert (closed.status, closed.cost_usd) == ("completed", Decimal("0.02"))


def test_only_the_latest_attempts_decide_and_all_of_them_cost(world: World) -> None:
    cast = world.cast("free")
    first = a_generation(
        cast_id=cast.cast_id, status="failed", failure=STOPPED, cost_usd=Decimal("0.01"), points_spent=3
    )
    second = a_generation(
        cast_id=cast.cast_id, attempt=2, status="completed", result=text_result("t"), cost_usd=Decimal("0.02")
    )
    world.store.save_generation(first, None)
    world.store.save_generation(second, None)
    closed = world.settle(cast)
    assert (closed.status, closed.cost_usd, closed.points_spent) == ("completed", Decimal("0.03"), 3)
    assert closed.step_generation_ids == (second.generation_id,)


# --- the history of runs ---


def history(world: World, *tools: str) -> dict[str, list[tuple[Decimal, int]]]:
    runs = world.store.list_runs("anybody", tools)
    return {tool: [(run.cost_usd, run.duration_ms) for run in found] for tool, found in runs.items()}


def test_what_completed_runs_cost_is_kept_and_free_runs_leave_no_trace(world: World) -> None:
    cast = world.cast("free", "paid", "polled", "free")
    world.execute(cast)
    world.clock.advance(3)
    world.complete_job(f"{cast.cast_id}.2.1", text_result())
    world.process(cast)
    world.execute(cast, 1)
    world.process(cast, 1)
    assert history(world, "paid") == {"paid": []}, "the cast is not closed yet"
    world.settle(cast)
    expected = {"free": [], "paid": [(Decimal("0.01"), 0)], "polled": [(Decimal("0.02"), 3_000)]}
    assert history(world, *expected) == expected


def test_of_a_failed_cast_the_completed_runs_are_kept(world: World) -> None:
    cast = world.cast("paid", "polled")
    world.execute(cast)
    world.complete_job(f"{cast.cast_id}.1.1", results.failed(JobFailed("No."), cost_usd=Decimal("0.5")))
    world.process(cast)
    assert history(world, "paid", "polled") == {"paid": [(Decimal("0.01"), 0)], "polled": []}


def test_a_history_that_cannot_be_written_holds_up_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(account_id: str, runs: object) -> None:
        raise RuntimeError("AccessDenied")

    monkeypatch.setattr(world.store, "record_runs", refuse)
    cast = done(world, "paid")
    assert world.settle(cast).status == "completed"


def test_a_function_that_has_no_history_writes_none(world: World) -> None:
    cast = done(world, "paid")
    assert replace(world.finalize_cost, history=None)(cast.cast_id).status == "completed"
    assert history(world, "paid") == {"paid": []}


def test_an_execution_that_another_took_over_from_closes_nothing(world: World) -> None:
    cast = done(world, "paid")
    world.store.save_cast(replace(world.cast_of(cast), execution=2, revision=99), world.cast_of(cast))
    assert world.settle(cast, Failure("CAST_INTERRUPTED", "Stopped.")).status == "running"
    assert world.settle(world.cast_of(cast)).status == "completed"


def test_a_cast_that_does_not_exist_is_an_error(world: World) -> None:
    with pytest.raises(CastNotFound):
        world.finalize_cost("nobody")


AMOUNTS = st.decimals(min_value=0, max_value=1000, places=7) | st.just(Decimal("1E-7"))


@given(st.lists(st.tuples(AMOUNTS, st.booleans()), min_size=1, max_size=50))
def test_i5_the_casts_cost_is_the_exact_sum_failed_ones_included(bills: list[tuple[Decimal, bool]]) -> None:
    world = World()
    cast = world.cast("free")
    for number, (amount, succeeded) in enumerate(bills):
        world.store.save_generation(
            a_generation(
                cast_id=cast.cast_id,
                step_index=number,
                status="completed" if succeeded else "failed",
                cost_usd=amount,
            ),
            None,
        )
    assert Fraction(world.settle(cast).cost_usd) == sum((Fraction(amount) for amount, _ in bills), Fraction(0))


@pytest.mark.parametrize(
    ("code", "message", "failure"),
    [
        ("States.Timeout", "", Failure("TIMED_OUT", "The step did not finish by its deadline.", True)),
        ("TIMED_OUT", "", Failure("TIMED_OUT", "The step did not finish by its deadline.", True)),
        ("ABORTED", "", Failure("CAST_INTERRUPTED", "The cast's machine was stopped.", True)),
        ("MISSING_INPUTS", "No prompt.", Failure("MISSING_INPUTS", "No prompt.")),
        (
            "KeyError",
            '{"errorMessage": "secret", "stackTrace": []}',
            Failure("INTERNAL_ERROR", "The step could not be run because of an internal error (KeyError).", True),
        ),
        (
            "States.DataLimitExceeded",
            "secret",
            Failure(
                "INTERNAL_ERROR",
                "The step could not be run because of an internal error (States.DataLimitExceeded).",
                True,
            ),
        ),
        (
            "FAILED",
            "secret",
            Failure("INTERNAL_ERROR", "The step could not be run because of an internal error (FAILED).", True),
        ),
    ],
)
def test_a_caller_reads_why_and_no_traceback(code: str, message: str, failure: Failure) -> None:
    assert interruption_of(code, message) == failure


STEP_ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, StepFailed)]


@pytest.mark.parametrize("kind", [kind for kind in STEP_ERRORS if kind.code != "TIMED_OUT"])
def test_what_the_machine_was_told_comes_back_as_it_was(kind: type[StepFailed]) -> None:
    failure = Failure.of(kind("The reason."))
    back = interruption_of(failure.code, failure.message)
    assert (back.code, back.message) == (failure.code, failure.message)


@pytest.mark.parametrize("kind", [kind for kind in STEP_ERRORS if kind.retryable and kind.code != "TIMED_OUT"])
def test_what_may_be_tried_again_is_said_to_be(kind: type[StepFailed]) -> None:
    assert interruption_of(kind.code, "The reason.").retryable
