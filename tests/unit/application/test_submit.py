"""What is sent to a provider again, when, and how often: only what its outcome proved not to have begun."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from spellcast.domain import results
from spellcast.domain.errors import (
    AdapterFault,
    InvalidStepInput,
    OutcomeUnknown,
    ProviderNotConfigured,
    ProviderRefused,
    ProviderUnavailable,
    StepFailed,
)
from spellcast.domain.generations import Generation
from spellcast.domain.results import Failure, Job, ToolResult
from tests.fakes.records import text_result
from tests.fakes.world import World, make_tool

TOOLS = ["paid", "polled", "called"]


@pytest.fixture
def world() -> World:
    return World()


def busy(retry_after: float | None = None) -> ProviderUnavailable:
    return ProviderUnavailable("No more at the moment (429)", nothing_started=True, retry_after=retry_after)


def answering(world: World, *answers: Exception | None) -> list[float]:
    """The provider's answers in their order; None, and all that follow the last, is a success. When it was asked."""
    left, asked = list(answers), list[float]()

    def answer(success: Any) -> Any:
        asked.append(world.clock.now().timestamp())
        error = left.pop(0) if left else None
        if error is not None:
            raise error
        return success

    world.adapter.on_execute = lambda request: answer(text_result())
    world.adapter.on_start = lambda request: answer(Job("job-1", request.tool.delivery_mode == "webhook"))
    return asked


def failure_of(world: World, tool: str, *answers: Exception) -> tuple[Failure | None, int, Generation]:
    """Why the step failed, how often its provider was asked, and its record."""
    asked = answering(world, *answers)
    cast = world.cast(tool)
    world.execute(cast)
    world.process(cast) if world.generation(cast, 0).result else None
    return world.generation(cast, 0).failure, len(asked), world.generation(cast, 0)


@pytest.mark.parametrize("tool", TOOLS)
def test_what_was_not_begun_is_asked_for_again(world: World, tool: str) -> None:
    failure, asked, generation = failure_of(world, tool, busy(), busy())
    assert (failure, asked, world.slept) == (None, 3, [0.5, 0.5])
    assert generation.submission == (None if tool == "paid" else "submitted")


@pytest.mark.parametrize("tool", TOOLS)
def test_it_is_asked_four_times_at_most_and_fails_with_its_reason(world: World, tool: str) -> None:
    failure, asked, generation = failure_of(world, tool, *[busy()] * 9)
    assert failure == Failure("PROVIDER_UNAVAILABLE", "No more at the moment (429)", retryable=True)
    assert (asked, len(world.slept)) == (4, 3)
    assert generation.submission == (None if tool == "paid" else "notStarted")


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(lambda: ProviderUnavailable("Somewhere."), id="unavailable, and nothing is proved"),
        pytest.param(lambda: OutcomeUnknown("Lost."), id="the answer was lost"),
        pytest.param(lambda: OutcomeUnknown("Lost.", "r1"), id="the answer of a job with an id of ours was lost"),
        pytest.param(lambda: ProviderRefused("No credit."), id="refused"),
        pytest.param(lambda: ProviderNotConfigured("No key."), id="not configured"),
        pytest.param(lambda: InvalidStepInput("No."), id="a wrong input"),
        pytest.param(lambda: AdapterFault("Oh."), id="a fault of the adapter"),
        pytest.param(lambda: KeyError("oh"), id="a defect of the adapter"),
    ],
)
@pytest.mark.parametrize("tool", TOOLS)
def test_nothing_else_is_asked_for_again(world: World, tool: str, error: Callable[[], Exception]) -> None:
    _, asked, _ = failure_of(world, tool, error())
    assert (asked, world.slept) == (1, [])


@pytest.mark.parametrize("tool", TOOLS)
def test_nor_after_an_answer_that_was_lost_the_second_time(world: World, tool: str) -> None:
    _, asked, generation = failure_of(world, tool, busy(), OutcomeUnknown("Lost."))
    assert asked == 2
    if tool != "paid":
        assert generation.submission == "unknown"


def test_the_provider_says_how_long_to_wait(world: World) -> None:
    world.draw = lambda: 1.0
    _, asked, _ = failure_of(world, "called", busy(7.0), busy())
    assert (asked, world.slept) == (3, [8.0, 2.5])


@pytest.mark.parametrize(
    ("retry_after", "asked", "slept"),
    [
        pytest.param(60.0, 2, [60.0], id="a minute"),
        pytest.param(60.5, 1, [], id="more than a minute"),
        pytest.param(35.0, 2, [35.0], id="more than a minute together"),
    ],
)
def test_an_invocation_waits_for_a_minute_in_all(
    world: World, retry_after: float, asked: int, slept: list[float]
) -> None:
    failure, times, _ = failure_of(world, "called", *[busy(retry_after)] * 3)
    assert failure is not None
    assert (times, world.slept) == (asked, slept)


@pytest.mark.parametrize(("seconds", "asked"), [(40, 2), (39, 1)])
@pytest.mark.parametrize("mode", ["immediate", "async", "webhook"])
def test_a_try_begins_in_the_first_half_of_the_steps_time(mode: str, seconds: int, asked: int) -> None:
    world = World(make_tool("short", mode, "0.01", deadlineSeconds=seconds))
    _, times, _ = failure_of(world, "short", busy(20.0))
    assert times == asked


@pytest.mark.parametrize("tool", TOOLS)
def test_a_cast_that_is_closed_in_the_meantime_is_not_asked_for_again(world: World, tool: str) -> None:
    asked = answering(world, busy())
    cast = world.cast(tool)
    world.on_sleep = lambda: world.settle(cast, Failure("CAST_INTERRUPTED", "Stopped."))
    world.execute(cast)
    assert len(asked) == 1
    assert world.cast_of(cast).status == "failed"
    assert world.cast_of(cast).cost_usd == 0


@pytest.mark.parametrize("tool", ["polled", "called"])
def test_asking_again_writes_nothing_more(world: World, tool: str) -> None:
    answering(world, busy(), busy())
    cast = world.cast(tool)
    world.execute(cast)
    world.complete_job(f"{cast.cast_id}.0.1", text_result())
    world.process(cast)
    assert sum(isinstance(item, Generation) for item in world.store.writes) == 4


# --- an answer that was lost ---


def test_a_lost_answer_of_a_job_that_may_call_back_is_recorded_within_the_budget_of_writes(world: World) -> None:
    answering(world, OutcomeUnknown("Lost."))
    cast = world.cast("called")
    world.execute(cast)
    assert (world.generation(cast, 0).status, world.generation(cast, 0).submission) == ("pending", "unknown")
    assert world.machine.answers == {}
    world.complete_job(f"{cast.cast_id}.0.1", text_result())
    assert world.generation(cast, 0).submission == "submitted"
    assert world.process(cast).status == "running"
    assert world.generation(cast, 0).status == "completed"
    assert sum(isinstance(item, Generation) for item in world.store.writes) == 4


def test_a_callback_that_was_faster_than_the_lost_answer_stands(world: World) -> None:
    cast = world.cast("called")

    def start(request: object) -> Job:
        world.complete_job(f"{cast.cast_id}.0.1", text_result())
        raise OutcomeUnknown("Lost.")

    world.adapter.on_start = start
    world.execute(cast)
    assert world.generation(cast, 0).result == text_result()
    assert world.machine.answers["token"] == f"{cast.cast_id}.0.1"


# --- the provider's circuit ---


@pytest.mark.parametrize("tool", TOOLS)
def test_a_provider_whose_circuit_is_open_is_not_asked(world: World, tool: str) -> None:
    world.breaker.open.add("fake")
    failure, asked, generation = failure_of(world, tool)
    assert failure == Failure("PROVIDER_UNAVAILABLE", "fake is left alone for a moment", retryable=True)
    assert asked == 0
    assert generation.submission == (None if tool == "paid" else "notStarted")


@pytest.mark.parametrize("tool", TOOLS)
def test_a_submit_counts_once_however_often_it_was_tried(world: World, tool: str) -> None:
    failure_of(world, tool, *[busy()] * 4)
    assert world.breaker.failed == {"fake": 1}


@pytest.mark.parametrize("error", [OutcomeUnknown("Lost."), ProviderRefused("No.")])
def test_what_is_no_failure_to_reach_the_provider_does_not_count(world: World, error: StepFailed) -> None:
    failure_of(world, "called", error)
    assert world.breaker.failed == {}


def test_a_job_that_is_taken_up_asks_without_the_circuit(world: World) -> None:
    cast = world.cast("polled")
    world.execute(cast, token="t1")
    world.breaker.open.add("fake")
    world.adapter.on_poll = lambda run_id: ToolResult("succeeded", text_result().payload)
    world.execute(cast, token="t2")
    assert world.machine.answers["t2"] == f"{cast.cast_id}.0.1"


def test_a_refused_job_has_its_verdict_before_its_deadline(world: World) -> None:
    begun = world.clock.now()
    failure_of(world, "called", *[busy()] * 4)
    assert world.clock.now() - begun < timedelta(minutes=1)
    assert results.failed(busy()).failure == Failure("PROVIDER_UNAVAILABLE", "No more at the moment (429)", True)
