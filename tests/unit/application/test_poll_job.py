from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from spellcast.domain import results
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.errors import JobCancelled, JobFailed, ProviderUnavailable
from spellcast.domain.polling import MISSES_BEFORE_LOST, Polling
from spellcast.domain.results import Failure, Job, ToolResult
from spellcast.ports.adapter import Request
from tests.fakes.adapters import lost
from tests.fakes.records import text_result
from tests.fakes.world import ACCOUNT, World, make_tool


@pytest.fixture
def world() -> World:
    return World()


def started(world: World, tool: str = "polled") -> tuple[Cast, Polling]:
    cast = world.cast(tool)
    world.execute(cast)
    return cast, Polling(f"{cast.cast_id}.0.1")


def down(run_id: str) -> ToolResult:
    raise ProviderUnavailable("Down.")


def test_a_job_that_runs_is_asked_after_again(world: World) -> None:
    _, polling = started(world)
    following = world.poll_job(polling)
    assert following == Polling(polling.generation_id, 1, 0, 3)
    assert (world.adapter.polled, world.machine.answers) == (["job-1"], {})


def test_its_progress_is_passed_on_and_not_stored(world: World) -> None:
    cast, polling = started(world)
    writes = len(world.store.writes)
    world.poll_job(polling)
    ((account, message),) = world.announcer.pushed
    assert (account, message["type"], message["payload"]["progress"]) == (ACCOUNT, "generationProgress", 0.5)
    assert message["payload"]["revision"] == world.generation(cast, 0).revision
    assert len(world.store.writes) == writes


@pytest.mark.parametrize("result", [text_result(), results.failed(JobFailed("No."))], ids=["succeeded", "failed"])
def test_a_job_that_is_over_completes_the_step(world: World, result: ToolResult) -> None:
    cast, polling = started(world)
    world.adapter.on_poll = lambda run_id: result
    assert world.poll_job(polling).finished
    assert world.generation(cast, 0).result == result
    assert world.machine.answers == {"token": polling.generation_id}


def test_a_failed_poll_is_no_news(world: World) -> None:
    _, polling = started(world)
    world.adapter.on_poll = down
    for polls in range(1, 8):
        polling = world.poll_job(polling)
        assert (polling.finished, polling.polls, polling.misses) == (False, polls, 0)
    world.adapter.on_poll = lambda run_id: text_result()
    assert world.poll_job(polling).finished


def test_a_job_that_is_missed_several_times_in_a_row_is_lost(world: World) -> None:
    cast, polling = started(world)
    world.adapter.on_poll = lost
    for misses in range(1, MISSES_BEFORE_LOST):
        polling = world.poll_job(polling)
        assert (polling.finished, polling.misses) == (False, misses)
    assert world.poll_job(polling).finished
    failure = world.process(cast).failure
    assert failure is not None
    assert failure.code == "JOB_LOST"


@pytest.mark.parametrize("between", ["processing", "down"])
def test_misses_count_only_in_a_row(world: World, between: str) -> None:
    _, polling = started(world)
    for _ in range(3):
        world.adapter.on_poll = lost
        for _ in range(MISSES_BEFORE_LOST - 1):
            polling = world.poll_job(polling)
        assert not polling.finished
        world.adapter.on_poll = down if between == "down" else lambda run_id: ToolResult("processing")
        polling = world.poll_job(polling)
        assert polling.misses == 0


def test_row_11_a_job_is_awaited_until_its_deadline_and_then_given_up(world: World) -> None:
    cast, polling = started(world)
    begun = world.clock.now()
    while not polling.finished:
        assert not world.adapter.cancelled
        assert world.clock.now() <= world.generation(cast, 0).deadline_at
        world.clock.advance(polling.wait_seconds)
        polling = world.poll_job(polling)
    assert 900 <= (world.clock.now() - begun).total_seconds() <= 901
    assert world.adapter.cancelled == ["job-1"]
    failure = world.process(cast).failure
    assert failure is not None
    assert (failure.code, failure.message) == ("TIMED_OUT", "Job did not complete within timeout period")


def test_at_the_deadline_the_job_is_asked_after_before_it_is_given_up(world: World) -> None:
    cast, polling = started(world)
    world.clock.advance(10_000)
    world.adapter.on_poll = lambda run_id: text_result()
    world.poll_job(polling)
    assert world.adapter.cancelled == []
    world.process(cast)
    assert world.generation(cast, 0).status == "completed"


@pytest.mark.parametrize("poll", [down, lost])
def test_an_overdue_job_is_given_up_though_its_poll_failed(world: World, poll: object) -> None:
    cast, polling = started(world)
    world.clock.advance(900)
    world.adapter.on_poll = poll  # type: ignore[assignment]
    assert world.poll_job(polling).finished
    failure = world.process(cast).failure
    assert failure is not None
    assert failure.code == "TIMED_OUT"


GIVEN_UP: list[tuple[ToolResult, str, str | None, str]] = [
    (results.failed(JobCancelled("Stopped."), cost_usd=Decimal("0.50")), "failed", "TIMED_OUT", "0.50"),
    (results.failed(JobCancelled("Stopped.")), "failed", "TIMED_OUT", "0"),
    (results.failed(JobFailed("No."), cost_usd=Decimal("0.07")), "failed", "JOB_FAILED", "0.07"),
    (text_result(), "completed", None, "0.02"),
]


def by_its_polling(world: World, cast: Cast) -> Cast:
    world.poll_job(Polling(f"{cast.cast_id}.0.1"))
    return world.process(cast)


def by_its_segment(world: World, cast: Cast) -> Cast:
    world.execute(cast, token="t2")
    return world.process(cast)


def by_the_sweep(world: World, cast: Cast) -> Cast:
    world.clock.moment = cast.deadline_at
    assert world.sweep(is_time_left=lambda: True).mended == {"settled": 1}
    return world.cast_of(cast)


@pytest.mark.parametrize("give_up", [by_its_polling, by_its_segment, by_the_sweep])
@pytest.mark.parametrize(("end", "status", "code", "cost"), GIVEN_UP, ids=["billed", "not billed", "failed", "done"])
def test_i5_a_job_that_is_given_up_is_asked_once_more_what_it_cost(
    world: World, give_up: Callable[[World, Cast], Cast], end: ToolResult, status: str, code: str | None, cost: str
) -> None:
    cast, _ = started(world)
    world.clock.advance(900)
    world.adapter.on_poll = lambda run_id: end if world.adapter.cancelled else ToolResult("processing")
    closed = give_up(world, cast)
    generation = world.generation(cast, 0)
    assert (generation.status, generation.failure and generation.failure.code) == (status, code)
    assert (generation.cost_usd, world.cast_of(cast).cost_usd) == (Decimal(cost), Decimal(cost) * closed.is_terminal)
    assert (world.adapter.polled, world.adapter.cancelled) == (["job-1"] * 2, ["job-1"])


def test_a_cancellation_that_fails_does_not_keep_the_job(world: World) -> None:
    _, polling = started(world)
    world.clock.advance(900)

    def refuse(run_id: str) -> None:
        raise ProviderUnavailable("Down.")

    world.adapter.cancel_job = refuse  # type: ignore[method-assign]
    assert world.poll_job(polling).finished
    assert world.machine.answers == {"token": polling.generation_id}


def test_a_result_that_somebody_else_brought_is_answered_and_the_polling_ends(world: World) -> None:
    _, polling = started(world)
    world.complete_job(polling.generation_id, text_result())
    world.machine.answers.clear()
    assert world.poll_job(polling).finished
    assert world.machine.answers == {"token": polling.generation_id}
    assert world.adapter.polled == []


def test_a_poll_and_a_webhook_at_once_are_one_result(world: World) -> None:
    cast, polling = started(world, "called")
    world.adapter.on_poll = lambda run_id: text_result("polled")
    world.store.meanwhile.append(lambda: world.complete_job(polling.generation_id, text_result("called back")))
    assert world.poll_job(polling).finished
    assert world.generation(cast, 0).result == text_result("called back")
    world.process(cast)
    assert world.settle(cast).cost_usd == Decimal("0.03")


def test_a_step_that_has_ended_is_not_asked_after(world: World) -> None:
    cast, polling = started(world)
    world.settle(cast, Failure("CAST_INTERRUPTED", "Stopped."))
    world.adapter.polled.clear()
    assert world.poll_job(polling).finished
    assert world.adapter.polled == []


def test_a_generation_that_does_not_exist_ends_the_polling(world: World) -> None:
    assert world.poll_job(Polling("c1.0.1")).finished


def test_a_job_that_is_not_submitted_ends_the_polling(world: World) -> None:
    world.adapter.on_start = _killed
    cast = world.cast("polled")
    with pytest.raises(KeyboardInterrupt):
        world.execute(cast)
    assert world.poll_job(Polling(f"{cast.cast_id}.0.1")).finished


def _killed(request: Request) -> Job:
    raise KeyboardInterrupt


def test_a_job_whose_tool_is_gone_is_lost_in_the_end(world: World) -> None:
    world.store.create_tool(ACCOUNT, make_tool("own", "async"))
    cast, polling = started(world, "own")
    world.store.forget_tool(ACCOUNT, "own")
    for _ in range(MISSES_BEFORE_LOST):
        polling = world.poll_job(polling)
    assert polling.finished
    failure = world.process(cast).failure
    assert failure is not None
    assert failure.code == "JOB_LOST"


def test_progress_that_cannot_be_passed_on_holds_up_nobody(world: World) -> None:
    _, polling = started(world)

    def fail(account_id: str, message: Document) -> None:
        raise ConnectionError("The WebSocket API is throttled.")

    world.announcer.push = fail  # type: ignore[method-assign]
    assert world.poll_job(polling) == Polling(polling.generation_id, 1, 0, 3)


def test_a_defect_of_an_adapter_is_no_news(world: World) -> None:
    _, polling = started(world)

    def fail(run_id: str) -> ToolResult:
        raise KeyError("status")

    world.adapter.on_poll = fail
    assert world.poll_job(polling) == Polling(polling.generation_id, 1, 0, 3)
