from __future__ import annotations

from decimal import Decimal

import pytest

from spellcast.application.create_tool import CreateTool
from spellcast.application.delete_tool import DeleteTool
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.errors import ToolExists, ToolNotFound
from spellcast.domain.polling import Polling
from spellcast.domain.results import Failure
from tests.fakes.records import text_result, tool_document
from tests.fakes.world import ACCOUNT, World, make_tool

SERVICES = {"fake": ("immediate", "async", "webhook")}


@pytest.fixture
def world() -> World:
    return World()


def started(world: World, mode: str, amount: str = "0.5") -> Cast:
    """A cast whose job runs with a tool that is deleted meanwhile."""
    world.store.create_tool(ACCOUNT, make_tool("own", mode, amount))
    cast = world.cast("own")
    world.execute(cast)
    DeleteTool(world.store)(ACCOUNT, "own")
    return cast


def test_a_deleted_tool_is_neither_found_nor_listed(world: World) -> None:
    world.store.create_tool(ACCOUNT, make_tool("own"))
    DeleteTool(world.store)(ACCOUNT, "own")
    assert world.find_tools.known(ACCOUNT, ["own", "Own"]) == {}
    assert "own" not in [tool.tool_id for tool in world.find_tools.list(ACCOUNT)]


@pytest.mark.parametrize(
    ("account", "tool_id"), [(ACCOUNT, "free"), (ACCOUNT, "nope"), (ACCOUNT, "Own"), ("bob", "own")]
)
def test_only_ones_own_tool_can_be_deleted_and_by_its_id(world: World, account: str, tool_id: str) -> None:
    world.store.create_tool(ACCOUNT, make_tool("own"))
    with pytest.raises(ToolNotFound):
        DeleteTool(world.store)(account, tool_id)
    assert world.find_tools.known(ACCOUNT, ["own", "free"]).keys() == {"own", "free"}


def test_it_is_deleted_once(world: World) -> None:
    world.store.create_tool(ACCOUNT, make_tool("own"))
    DeleteTool(world.store)(ACCOUNT, "own")
    with pytest.raises(ToolNotFound):
        DeleteTool(world.store)(ACCOUNT, "own")


@pytest.mark.parametrize(("tool_id", "name"), [("own", "Another"), ("another", "Own"), ("own", "Own")])
def test_its_id_and_its_name_are_free_again(world: World, tool_id: str, name: str) -> None:
    world.store.create_tool(ACCOUNT, make_tool("own"))
    DeleteTool(world.store)(ACCOUNT, "own")
    create = CreateTool(world.store, SERVICES)
    tool = create(ACCOUNT, tool_document(toolId=tool_id, displayName=name))
    assert world.find_tools.get(ACCOUNT, tool_id) == world.find_tools.get(ACCOUNT, name) == tool
    with pytest.raises(ToolExists):
        create(ACCOUNT, tool_document(toolId=tool_id, displayName=name))


def test_a_job_that_runs_is_polled_and_priced(world: World) -> None:
    cast = started(world, "async")
    world.adapter.on_poll = lambda run_id: text_result()
    assert world.poll_job(Polling(f"{cast.cast_id}.0.1")).finished
    world.process(cast)
    closed = world.settle(cast)
    assert (closed.status, closed.cost_usd, closed.points_spent) == ("completed", Decimal("0.5"), 1484)


def test_a_job_that_runs_is_called_back_and_priced(world: World) -> None:
    cast = started(world, "webhook")
    token = world.adapter.started[0].callback_url.rpartition("/")[2]
    world.receive_callback(token, {"x-signature": "good"}, b'{"status":"succeeded","output":{"text":"t"}}')
    world.process(cast)
    assert world.settle(cast).cost_usd == Decimal("0.5")


def test_a_job_that_runs_is_taken_up_by_a_second_invocation(world: World) -> None:
    cast = started(world, "webhook")
    world.adapter.on_poll = lambda run_id: text_result()
    world.execute(cast, token="second")
    assert world.machine.answers == {"second": f"{cast.cast_id}.0.1"}
    assert len(world.adapter.started) == 1


def test_a_job_that_is_overdue_is_given_up_and_cancelled(world: World) -> None:
    cast = started(world, "async")
    world.clock.advance(901)
    assert world.poll_job(Polling(f"{cast.cast_id}.0.1")).finished
    assert world.adapter.cancelled == ["job-1"]
    closed = world.process(cast)
    assert closed.failure is not None
    assert closed.failure.code == "TIMED_OUT"


def test_a_job_stays_one_though_its_tool_is_defined_anew_as_something_else(world: World) -> None:
    cast = started(world, "async")
    world.store.create_tool(ACCOUNT, make_tool("own"))
    world.execute(cast, token="second")
    generation = world.generation(cast, 0)
    assert (generation.status, generation.result, generation.task_token) == ("processing", None, "second")


@pytest.mark.parametrize(
    ("step", "named"), [({"id": "n1"}, "1"), ({"stepId": 7}, "7"), ({"stepId": "painter"}, "painter")], ids=str
)
@pytest.mark.parametrize("mode", ["immediate", "async"])
def test_a_step_that_has_not_begun_fails_and_says_which_tool_of_which_spell(
    world: World, mode: str, step: Document, named: str
) -> None:
    world.store.create_tool(ACCOUNT, make_tool("own", mode))
    steps = [{"id": "n0", "toolIdentifier": "polled"}, {**step, "toolIdentifier": "Own"}]
    cast = world.cast_steps("Painted cat", steps)
    world.execute(cast, 0, "first")
    DeleteTool(world.store)(ACCOUNT, "own")
    world.complete_job(f"{cast.cast_id}.0.1", text_result())
    world.process(cast)
    world.execute(cast, 1, "second")
    message = f"Tool with name or ID 'Own' not found in registry for step {named} of spell \"Painted cat\"."
    assert world.machine.answers["second"] == Failure("TOOL_NOT_FOUND", message)
    closed = world.settle(cast, Failure("TOOL_NOT_FOUND", message))
    assert closed.failure is not None
    assert (closed.status, closed.failure.step_index, closed.failure.message) == ("failed", 1, message)
