"""The budgets of writes (performance.md), counted on the store."""

from __future__ import annotations

import pytest

from spellcast.domain import results
from spellcast.domain.casts import Cast
from spellcast.domain.errors import JobFailed
from spellcast.domain.generations import Generation
from tests.fakes.crashes import Provider, StepFunctions
from tests.fakes.records import text_result
from tests.fakes.world import World, make_tool

# Writes of a step, and of one that is its segment's last.
BUDGETS = {"free": (1, 2), "paid": (2, 3), "polled": (4, 4), "called": (4, 4)}
CAST_BUDGET = 5


def writes_of(world: World, cast: Cast, position: int) -> int:
    own = [item for item in world.store.writes if isinstance(item, Generation)]
    return sum(item.generation_id == f"{cast.cast_id}.{position}.1" for item in own)


@pytest.mark.parametrize(
    "tools",
    [
        ("free",),
        ("paid",),
        ("polled",),
        ("called",),
        ("free",) * 10,
        ("free", "paid", "free"),
        ("paid", "polled", "called", "paid"),
        ("called", "called", "called", "free"),
        ("free", "called", "paid", "polled"),
    ],
    ids=", ".join,
)
def test_a_cast_keeps_its_budget_of_writes(tools: tuple[str, ...]) -> None:
    world = World()
    step_functions = StepFunctions(world, Provider(world))
    cast = world.cast(*tools)
    last = {segment.last for segment in world.segments(cast)}
    assert step_functions.run(cast.cast_id).status == "completed"
    for position, tool in enumerate(tools):
        assert 0 < writes_of(world, cast, position) <= BUDGETS[tool][position in last], (position, tool)
    assert 0 < sum(isinstance(item, Cast) for item in world.store.writes) <= CAST_BUDGET


@pytest.mark.parametrize("tool", ["polled", "called"])
def test_a_failed_job_keeps_it_too(tool: str) -> None:
    world = World()
    cast = world.cast(tool)
    world.execute(cast)
    world.complete_job(f"{cast.cast_id}.0.1", results.failed(JobFailed("No.")))
    world.process(cast)
    assert writes_of(world, cast, 0) <= 4


@pytest.mark.parametrize("mode", ["immediate", "async", "webhook"])
def test_a_step_that_is_refused_is_written_at_most_twice(mode: str) -> None:
    world = World(make_tool("needy", mode, "0.01", inputSchema={"picture": {"type": "image"}}))
    cast = world.cast("needy")
    world.execute(cast)
    world.settle(cast)
    assert 0 < writes_of(world, cast, 0) <= 2


def test_what_is_repeated_writes_nothing_more() -> None:
    world = World()
    cast = world.cast("called")
    world.execute(cast)
    for _ in range(5):
        world.complete_job(f"{cast.cast_id}.0.1", text_result())
    for _ in range(5):
        world.process(cast)
    for _ in range(5):
        world.settle(cast)
    assert writes_of(world, cast, 0) == 4
    assert sum(isinstance(item, Cast) for item in world.store.writes) == 2


def test_a_poll_without_news_writes_nothing() -> None:
    world = World()
    provider = Provider(world, polls_needed=10)
    cast = world.cast("polled")
    assert StepFunctions(world, provider).run(cast.cast_id).status == "completed"
    assert len(world.adapter.polled) == 10
    assert writes_of(world, cast, 0) == 4
