"""The original's two operations as Python has them."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import spellcast
from spellcast import WorkflowExecutionService
from spellcast.domain.casts import Cast
from spellcast.domain.errors import (
    GenerationNotFound,
    InvalidGenerationRecord,
    InvalidInput,
    SpellNotExecutable,
)
from tests.fakes.world import ACCOUNT, World

METADATA = {"spell": {"name": "x"}, "stepIndex": 0, "pipelineContext": {}, "originalContext": {}}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def service(world: World) -> WorkflowExecutionService:
    return WorkflowExecutionService(world.execute_spell, world.complete_generation)


@pytest.fixture
def cast(world: World) -> Cast:
    """A job that somebody else will complete."""
    cast = world.cast("called", "free")
    world.execute(cast)
    return cast


def record(cast: Cast, **changes: Any) -> dict[str, Any]:
    return {
        "_id": f"{cast.cast_id}.0.1",
        "status": "completed",
        "responsePayload": {"result": "done"},
        "metadata": METADATA,
        **changes,
    }


def test_it_is_loaded_by_those_who_ask_for_it() -> None:
    probe = "import spellcast, sys; assert 'spellcast.bootstrap' not in sys.modules; spellcast.WorkflowExecutionService"
    environment = {"PYTHONPATH": str(Path(spellcast.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="nonsense"):
        _ = spellcast.nonsense


def test_execute_casts_and_answers_nothing(service: WorkflowExecutionService, world: World) -> None:
    spell = {"_id": "65f1", "name": "A cat", "steps": [{"toolIdentifier": "Free"}]}
    context = {"masterAccountId": ACCOUNT, "parameterOverrides": {"prompt": "hi"}}
    assert service.execute(spell, context) is None  # type: ignore[func-returns-value]
    (cast,) = world.store.list_casts(ACCOUNT, status=None, limit=9, cursor=None).items
    world.execute(cast)
    world.process(cast)
    ended = world.settle(cast)
    assert ended.status == "completed"
    assert context == {"masterAccountId": ACCOUNT, "parameterOverrides": {"prompt": "hi"}}


def test_execute_raises_the_originals_errors(service: WorkflowExecutionService) -> None:
    with pytest.raises(SpellNotExecutable, match='Invalid stepIndex 0 for spell "A cat" with 0 steps'):
        service.execute({"name": "A cat", "steps": []}, {"masterAccountId": ACCOUNT})


@pytest.mark.parametrize("cost", ["0.0042", 0.0042, {"$numberDecimal": "0.0042"}, Decimal("0.0042")], ids=str)
def test_a_completed_record_continues_the_cast(
    service: WorkflowExecutionService, world: World, cast: Cast, cost: Any
) -> None:
    assert service.continue_execution(record(cast, costUsd=cost)) is None  # type: ignore[func-returns-value]
    assert world.machine.answers == {"token": f"{cast.cast_id}.0.1"}
    world.process(cast)
    first = world.generation(cast, 0)
    assert (first.status, first.cost_usd) == ("completed", Decimal("0.0042"))
    world.execute(cast, 1)
    assert world.generation(cast, 1).request_payload["text"] == "done"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"statusReason": "no paint"}, "no paint"),
        ({"metadata": {**METADATA, "error": {"message": "no brush"}}, "statusReason": "no paint"}, "no brush"),
        ({"metadata": {**METADATA, "errorDetails": {"message": "no wall"}}}, "no wall"),
        ({"deliveryError": "Polling error: x"}, "Polling error: x"),
        ({}, "Step execution failed"),
    ],
)
def test_a_failed_record_fails_the_cast_with_its_reason(
    service: WorkflowExecutionService, world: World, cast: Cast, changes: dict[str, Any], reason: str
) -> None:
    service.continue_execution(record(cast, status="failed", **changes))
    ended = world.process(cast)
    assert ended.failure is not None
    assert (ended.failure.code, ended.failure.message) == ("JOB_FAILED", reason)


def test_a_repeat_and_a_contradiction_change_nothing(
    service: WorkflowExecutionService, world: World, cast: Cast
) -> None:
    service.continue_execution(record(cast))
    stored = world.generation(cast, 0)
    writes = len(world.store.writes)
    for again in (record(cast), record(cast, status="failed"), record(cast, responsePayload="other")):
        service.continue_execution(again)
    assert world.generation(cast, 0) == stored
    world.process(cast)
    terminal = world.generation(cast, 0)
    for again in (record(cast), record(cast, status="failed", costUsd="9")):
        service.continue_execution(again)
    assert world.generation(cast, 0) == terminal
    assert len(world.store.writes) == writes + 1


def test_a_terminal_record_of_a_failed_step_is_not_billed_by_a_repeat(
    service: WorkflowExecutionService, world: World, cast: Cast
) -> None:
    service.continue_execution(record(cast, status="failed"))
    ended = world.process(cast)
    service.continue_execution(record(cast, status="failed", costUsd="9"))
    assert world.cast_of(cast) == ended


def test_the_record_that_a_read_gives_can_be_handed_back(
    service: WorkflowExecutionService, world: World, cast: Cast
) -> None:
    read = world.find_casts.get_generation(ACCOUNT, f"{cast.cast_id}.0.1")
    service.continue_execution(
        {**read, "status": "completed", "responsePayload": [{"type": "text", "data": {"text": "a"}}]}
    )
    result = world.generation(cast, 0).result
    assert result is not None and result.payload == ({"type": "text", "data": {"text": "a"}},)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metadata": None}, "Generation record missing metadata"),
        ({"metadata": {**METADATA, "spell": None}}, "Generation metadata missing spell definition"),
        (
            {"metadata": {"spell": {"name": "x"}, "pipelineContext": {}}},
            "Generation metadata missing or invalid stepIndex: undefined",
        ),
        ({"metadata": {**METADATA, "stepIndex": -1}}, "Generation metadata missing or invalid stepIndex: -1"),
        ({"metadata": {**METADATA, "stepIndex": "0"}}, "Generation metadata missing or invalid stepIndex: 0"),
        ({"metadata": {**METADATA, "stepIndex": None}}, "Generation metadata missing or invalid stepIndex: null"),
        ({"metadata": {**METADATA, "stepIndex": True}}, "Generation metadata missing or invalid stepIndex: true"),
        ({"metadata": {**METADATA, "pipelineContext": None}}, "Generation metadata missing pipelineContext"),
        ({"metadata": {**METADATA, "originalContext": "x"}}, "Generation metadata missing originalContext"),
        ({"_id": None}, "Generation record missing _id"),
    ],
)
def test_a_record_that_is_none_is_refused_in_the_originals_words(
    service: WorkflowExecutionService, world: World, cast: Cast, changes: dict[str, Any], message: str
) -> None:
    before = list(world.store.writes)
    with pytest.raises(InvalidGenerationRecord) as raised:
        service.continue_execution(record(cast, **changes))
    assert str(raised.value) == message
    assert world.store.writes == before


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"status": "processing"}, "status"),
        ({"costUsd": "much"}, "costUsd"),
        ({"costUsd": -1}, "costUsd"),
        ({"costUsd": "NaN"}, "costUsd"),
        ({"costUsd": True}, "costUsd"),
        ({"costUsd": 1e12}, "costUsd"),
        ({"responsePayload": {"at": object()}}, "responsePayload"),
        ({"durationMs": "1"}, "durationMs"),
    ],
    ids=str,
)
def test_a_wrong_outcome_is_refused_with_its_path(
    service: WorkflowExecutionService, world: World, cast: Cast, changes: dict[str, Any], path: str
) -> None:
    before = list(world.store.writes)
    with pytest.raises(InvalidInput) as raised:
        service.continue_execution(record(cast, **changes))
    assert [fault.path for fault in raised.value.faults] == [path]
    assert world.store.writes == before


@pytest.mark.parametrize("changes", [{"_id": "65f1"}, {"masterAccountId": "bob"}], ids=str)
def test_a_record_of_nobody_or_of_another_account_is_not_found(
    service: WorkflowExecutionService, cast: Cast, changes: dict[str, Any]
) -> None:
    with pytest.raises(GenerationNotFound):
        service.continue_execution(record(cast, **changes))
