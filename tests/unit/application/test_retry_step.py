"""One step of an ended cast is run again, with other inputs where its caster wants, and what follows with it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from spellcast.application.resume_cast import ResumeOrder
from spellcast.domain import results
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.errors import (
    CastRunning,
    GenerationNotFound,
    GenerationSuperseded,
    InvalidInput,
    JobFailed,
)
from spellcast.domain.results import ToolResult
from tests.fakes.records import text_result
from tests.fakes.world import ACCOUNT, World, make_tool

ORDER = ResumeOrder(fingerprint="f")
NO = results.failed(JobFailed("No."))
SIZED = make_tool(
    "sized",
    mode="async",
    inputSchema={
        "prompt": {"type": "string", "required": False},
        "width": {"type": "integer", "required": False},
        "kind": {"type": "enum", "enum": ["a", "b"], "required": False, "default": "a"},
        "detail": {"type": "string", "required": False, "visibleIf": {"field": "kind", "values": ["b"]}},
    },
)


@pytest.fixture
def world() -> World:
    return World(SIZED, make_tool("open", mode="async", inputSchema={}))


def run(world: World, cast: Cast, *told: ToolResult) -> Cast:
    """The cast's current execution to its end; its jobs have these results, and succeed where there is none left."""
    cast, left = world.cast_of(cast), list(told)
    for number, segment in enumerate(world.segments(cast)):
        world.execute(cast, number, token=f"{cast.execution_name}/{number}")
        generation = world.generation(cast, segment.last, segment.attempt)
        if generation.result is None and not generation.is_terminal:
            world.complete_job(generation.generation_id, left.pop(0) if left else text_result("t"))
        if world.process(cast, number).is_terminal:
            return world.cast_of(cast)
    return world.settle(cast)


def retry(world: World, cast: Cast, position: int, attempt: int = 1, inputs: Document | None = None) -> Cast:
    return world.retry_step(ACCOUNT, f"{cast.cast_id}.{position}.{attempt}", inputs or {}, ORDER)


def requests(world: World, cast: Cast, position: int) -> dict[int, Document]:
    """What the attempts at a step were asked with."""
    loaded = world.store.load_cast(cast.cast_id)
    assert loaded is not None
    return {item.attempt: item.request_payload for item in loaded[1] if item.step_index == position}


def test_a_step_of_a_completed_cast_and_all_after_it_are_run_again(world: World) -> None:
    cast = world.cast("paid", "polled", "paid")
    assert run(world, cast).cost_usd == Decimal("0.04")
    started = retry(world, cast, 1, inputs={"prompt": "a dog"})
    assert (started.status, started.outputs, started.first_step) == ("running", None, 1)
    assert world.find_casts.get(ACCOUNT, cast.cast_id)["stepGenerationIds"] == [f"{cast.cast_id}.0.1"]
    end = run(world, cast, text_result("a dog, drawn"))
    assert (end.status, end.cost_usd) == ("completed", Decimal("0.07")), "both attempts are paid"
    assert end.step_generation_ids == tuple(f"{cast.cast_id}.{name}" for name in ("0.1", "1.2", "2.2"))
    assert requests(world, cast, 1)[2]["prompt"] == "a dog"
    assert requests(world, cast, 2)[2]["text"] == "a dog, drawn"
    assert world.generation(cast, 1).status == "completed", "what was made stays made"


def test_a_failed_step_may_be_retried_with_other_inputs(world: World) -> None:
    cast = world.cast("sized")
    run(world, cast, NO)
    end = run(world, retry(world, cast, 0, inputs={"width": 512, "kind": "b", "detail": "fur"}))
    assert end.status == "completed"
    assert requests(world, cast, 0)[2] == {"width": 512, "kind": "b", "detail": "fur"}


def test_what_a_form_does_not_show_is_not_given_to_its_tool(world: World) -> None:
    cast = world.cast("sized")
    run(world, cast)
    run(world, retry(world, cast, 0, inputs={"detail": "fur"}))
    assert requests(world, cast, 0)[2] == {"kind": "a"}


def test_a_tool_without_a_schema_takes_everything(world: World) -> None:
    cast = world.cast("open")
    run(world, cast)
    run(world, retry(world, cast, 0, inputs={"anything": [1]}))
    assert requests(world, cast, 0)[2]["anything"] == [1]


def test_what_was_set_stays_set_until_it_is_taken_back(world: World) -> None:
    cast = world.cast("sized", "sized", inputs={"prompt": "a cat"})
    run(world, cast)
    run(world, retry(world, cast, 0, inputs={"width": 512, "kind": "b"}), NO)
    resumed = world.resume_cast(ACCOUNT, cast.cast_id, ORDER)
    assert resumed.overrides == {"n0": {"width": 512, "kind": "b"}}
    run(world, resumed)
    run(world, retry(world, cast, 0, 3, {"width": None, "prompt": "a dog"}))
    run(world, retry(world, cast, 1, 4, {"width": 64}))
    widths = {attempt: request.get("width") for attempt, request in requests(world, cast, 0).items()}
    assert widths == {1: None, 2: 512, 3: 512, 4: None}
    assert requests(world, cast, 0)[4] == {"prompt": "a dog", "kind": "b"}
    assert world.cast_of(cast).overrides == {"n0": {"kind": "b", "prompt": "a dog"}, "n1": {"width": 64}}
    retry(world, cast, 1, 5, {"width": None})
    assert world.cast_of(cast).overrides == {"n0": {"kind": "b", "prompt": "a dog"}}


def test_steps_that_were_not_run_again_yet_are_not_finished(world: World) -> None:
    """Cancelled between the retried step and the next: what the next one made before does not count."""
    cast = world.cast("polled", "polled")
    run(world, cast)
    again = retry(world, cast, 0)
    world.execute(again, token="again")
    world.complete_job(f"{cast.cast_id}.0.2", text_result("new"))
    world.process(again)
    world.cancel_cast(ACCOUNT, cast.cast_id)
    assert world.settle(again).step_generation_ids == (f"{cast.cast_id}.0.2",)
    with pytest.raises(GenerationSuperseded):
        retry(world, cast, 1)
    resumed = world.resume_cast(ACCOUNT, cast.cast_id, ORDER)
    assert resumed.first_step == 1
    end = run(world, resumed)
    assert end.step_generation_ids == (f"{cast.cast_id}.0.2", f"{cast.cast_id}.1.3")
    assert requests(world, cast, 1)[3]["text"] == "new"


def test_each_attempt_is_shown_with_the_context_that_it_found(world: World) -> None:
    cast = world.cast("polled", "polled")
    run(world, cast, text_result("old"))
    run(world, retry(world, cast, 0), text_result("new"))
    shown = [world.find_casts.get_generation(ACCOUNT, f"{cast.cast_id}.1.{attempt}") for attempt in (1, 2)]
    assert [item["metadata"]["pipelineContext"]["text"] for item in shown] == ["old", "new"]


def test_a_retry_that_fails_fails_the_cast_there(world: World) -> None:
    cast = world.cast("polled", "polled")
    run(world, cast)
    end = run(world, retry(world, cast, 0), NO)
    assert end.failure is not None
    assert (end.status, end.failure.generation_id, end.outputs) == ("failed", f"{cast.cast_id}.0.2", None)
    assert end.step_generation_ids == ()


def test_an_attempt_that_is_not_the_latest_is_refused(world: World) -> None:
    cast = world.cast("polled")
    run(world, cast)
    run(world, retry(world, cast, 0))
    before = world.cast_of(cast)
    with pytest.raises(GenerationSuperseded):
        retry(world, cast, 0, 1)
    assert world.cast_of(cast) == before


def test_a_running_cast_is_left_alone(world: World) -> None:
    cast = world.cast("polled")
    world.execute(cast)
    with pytest.raises(CastRunning):
        retry(world, cast, 0)


@pytest.mark.parametrize("inputs", [{}, {"width": 1}])
def test_the_same_request_again_is_the_same_retry_and_another_is_refused(world: World, inputs: Document) -> None:
    cast = world.cast("sized")
    run(world, cast)
    started = retry(world, cast, 0, inputs=inputs)
    assert retry(world, cast, 0, inputs=inputs) == started
    with pytest.raises(CastRunning):
        other = ResumeOrder(fingerprint="g")
        world.retry_step(ACCOUNT, f"{cast.cast_id}.0.1", {"width": 2}, other)


@pytest.mark.parametrize(
    ("account", "generation_id"),
    [
        ("mallory", "{cast}.0.1"),
        (ACCOUNT, "{cast}.0.2"),
        (ACCOUNT, "{cast}.1.1"),
        (ACCOUNT, "nobody.0.1"),
        (ACCOUNT, "{cast}"),
        (ACCOUNT, "x" * 3_000),
    ],
)
def test_what_does_not_exist_is_not_found(world: World, account: str, generation_id: str) -> None:
    cast = world.cast("polled")
    run(world, cast)
    with pytest.raises(GenerationNotFound):
        world.retry_step(account, generation_id.format(cast=cast.cast_id), {}, ORDER)
    assert world.cast_of(cast).status == "completed"


@pytest.mark.parametrize(
    ("inputs", "faults"),
    [
        ({"colour": "red"}, {"inputs.colour": "is no input of Sized"}),
        ({"width": "wide", "kind": "c", "prompt": "p"}, {"inputs.width": "number", "inputs.kind": "is none of a, b"}),
        ({"width": None, "colour": None}, {"inputs.colour": "is no input of Sized"}),
    ],
)
def test_inputs_that_the_tool_cannot_take_are_named(
    world: World, inputs: dict[str, Any], faults: dict[str, str]
) -> None:
    cast = world.cast("sized")
    run(world, cast)
    before = world.cast_of(cast)
    with pytest.raises(InvalidInput) as refusal:
        retry(world, cast, 0, inputs=inputs)
    assert {fault.path for fault in refusal.value.faults} == faults.keys()
    assert all(faults[fault.path] in fault.message for fault in refusal.value.faults)
    assert world.cast_of(cast) == before


def test_a_step_whose_tool_is_gone_is_not_retried(world: World) -> None:
    world.store.create_tool(ACCOUNT, make_tool("own", mode="async"))
    cast = world.cast("own")
    run(world, cast)
    world.store.delete_tool(ACCOUNT, "own")
    with pytest.raises(InvalidInput, match="does not exist any more"):
        retry(world, cast, 0)
