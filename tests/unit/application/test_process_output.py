from __future__ import annotations

from decimal import Decimal

import pytest

from spellcast.domain import results
from spellcast.domain.casts import Cast
from spellcast.domain.errors import GenerationNotFound, IllegalTransition, JobFailed, StepEndedInFailure
from spellcast.domain.results import Failure, ToolResult, Usage
from spellcast.domain.segments import Segment
from tests.fakes.records import a_generation, text_result
from tests.fakes.world import ACCOUNT, World, make_tool


@pytest.fixture
def world() -> World:
    return World(make_tool("timed", "async", "0.001", "second"))


def answered(world: World, tool: str = "polled", result: ToolResult | None = None) -> Cast:
    """A cast whose first step's result came after 30 seconds; a free step follows."""
    cast = world.cast(tool, "free")
    world.execute(cast)
    world.clock.advance(30)
    world.complete_job(f"{cast.cast_id}.0.1", result or text_result())
    return cast


def test_it_finishes_the_segments_last_step_and_answers_the_segments_that_are_left(world: World) -> None:
    cast = answered(world)
    segments = world.segments(cast)
    assert world.process_output(cast.cast_id, segments) == segments[1:]
    generation = world.generation(cast, 0)
    assert (generation.status, generation.cost_usd, generation.points_spent) == ("completed", Decimal("0.02"), 59)
    assert (generation.duration_ms, generation.task_token) == (30_000, None)


def test_after_the_last_segment_none_is_left(world: World) -> None:
    cast = world.cast("free", "free")
    world.execute(cast)
    assert list(world.process_output(cast.cast_id, world.segments(cast))) == []


def test_doing_it_again_writes_nothing(world: World) -> None:
    cast = answered(world)
    segments = world.segments(cast)
    first = world.process_output(cast.cast_id, segments)
    before, writes = world.generation(cast, 0), len(world.store.writes)
    world.clock.advance(60)
    assert world.process_output(cast.cast_id, segments) == first
    assert (world.generation(cast, 0), len(world.store.writes)) == (before, writes)


def test_two_at_once_write_one_terminal_revision(world: World) -> None:
    cast = answered(world)
    segments = world.segments(cast)
    world.store.meanwhile.append(lambda: world.process_output(cast.cast_id, segments))
    assert world.process_output(cast.cast_id, segments) == segments[1:]
    assert world.generation(cast, 0).revision == 4


def test_a_new_token_meanwhile_does_not_disturb_it(world: World) -> None:
    cast = answered(world)
    world.store.meanwhile.append(lambda: world.execute(cast, token="t2"))
    world.process_output(cast.cast_id, world.segments(cast))
    assert world.generation(cast, 0).status == "completed"


@pytest.mark.parametrize(
    ("cost", "told"), [(None, Decimal(0)), (Decimal("0.002"), Decimal("0.002"))], ids=["for nothing", "billed"]
)
def test_a_failed_step_is_written_and_the_machine_told(world: World, cost: Decimal | None, told: Decimal) -> None:
    cast = answered(world, result=results.failed(JobFailed("No cats."), cost_usd=cost))
    for _ in range(2):
        with pytest.raises(StepEndedInFailure) as raised:
            world.process_output(cast.cast_id, world.segments(cast))
        # The runtime logs it: the reason itself may quote a prompt.
        assert raised.value.message == f"{cast.cast_id}.0.1 ended with JOB_FAILED."
    generation = world.generation(cast, 0)
    assert (generation.status, generation.failure) == ("failed", Failure("JOB_FAILED", "No cats."))
    assert (generation.cost_usd, generation.points_spent) == (told, 6 if told else 0)


def test_a_failure_without_a_reason_has_one(world: World) -> None:
    cast = answered(world, result=ToolResult("failed"))
    with pytest.raises(StepEndedInFailure):
        world.process_output(cast.cast_id, world.segments(cast))
    assert world.generation(cast, 0).failure == Failure("JOB_FAILED", "The provider gave no reason.")


def test_a_rate_per_second_is_of_the_time_between_request_and_result(world: World) -> None:
    cast = answered(world, "timed")
    world.clock.advance(1000)  # the processing may be late
    world.process_output(cast.cast_id, world.segments(cast))
    assert world.generation(cast, 0).cost_usd == Decimal("0.03")


def test_the_providers_own_duration_and_figure_come_first(world: World) -> None:
    cast = answered(world, "timed", text_result(duration_ms=2500))
    world.process_output(cast.cast_id, world.segments(cast))
    assert world.generation(cast, 0).cost_usd == Decimal("0.0025")
    cast = answered(world, "timed", text_result(duration_ms=2500, cost_usd=Decimal("0.7")))
    world.process_output(cast.cast_id, world.segments(cast))
    assert world.generation(cast, 0).cost_usd == Decimal("0.7")


@pytest.mark.parametrize(("cost", "told", "points"), [(None, Decimal(0), 3), (Decimal("0.002"), Decimal("0.002"), 6)])
def test_a_tool_that_is_gone_costs_what_the_provider_says(
    world: World, cost: Decimal | None, told: Decimal, points: int
) -> None:
    world.store.create_tool(ACCOUNT, make_tool("own", "async", "0.5"))
    cast = answered(world, "own", text_result(cost_usd=cost))
    world.store.forget_tool(ACCOUNT, "own")
    world.process_output(cast.cast_id, world.segments(cast))
    generation = world.generation(cast, 0)
    assert (generation.status, generation.cost_usd, generation.points_spent) == ("completed", told, points)


def test_a_price_is_of_the_steps_own_inputs_and_of_the_tokens_that_were_counted() -> None:
    prices = {"cheap": {"input": "0.001", "output": "0.002"}, "dear": {"input": "1", "output": "2"}}
    costing = {"rateSource": "static", "staticCost": {"amount": 0, "unit": "token"}}
    schema = {"model": {"type": "string"}}
    world = World(
        make_tool("chat", "async", inputSchema=schema, costingModel=costing, metadata={"tokenPrices": prices})
    )
    cast = world.cast("chat", inputs={"model": "dear"})
    world.execute(cast)
    world.complete_job(f"{cast.cast_id}.0.1", text_result(usage=Usage(1_500, 250)))
    world.process_output(cast.cast_id, world.segments(cast))
    assert world.generation(cast, 0).cost_usd == Decimal(2)


@pytest.mark.parametrize(("service", "points"), [("fake", 3), ("string", 0)])
def test_a_free_step_takes_points_unless_its_service_is_never_charged(service: str, points: int) -> None:
    world = World(make_tool("gratis", "async", service=service))
    world.store.save_generation(
        a_generation(tool_id="gratis", service_name=service, status="processing", result=text_result()), None
    )
    assert world.process_output.finish_stored("c1.0.1").points_spent == points


def test_a_step_without_a_result_is_not_finished(world: World) -> None:
    cast = world.cast("polled")
    world.execute(cast)
    with pytest.raises(IllegalTransition):
        world.process_output(cast.cast_id, world.segments(cast))
    assert world.generation(cast, 0).status == "processing"


def test_a_step_that_was_never_begun_is_an_error(world: World) -> None:
    with pytest.raises(GenerationNotFound):
        world.process_output("c1", [Segment(0, 0, 1, 60)])
