"""A cast is closed once, whoever asks for it."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from functions.finalize_cost import app
from spellcast import bootstrap
from spellcast.aws.history_store import DynamoHistoryStore
from spellcast.catalog import built_in_tools
from spellcast.domain.errors import CastNotFound
from spellcast.domain.results import succeeded
from tests.functions.scene import CAST, Scene, load_event, now

PICTURE = succeeded("image", {"images": [{"url": "https://x/fox.png"}]})


def twice(scene: Scene, event: dict[str, Any]) -> dict[str, Any]:
    """The answer to both, when the second has changed nothing."""
    answer = app.lambda_handler(event, None)
    before = scene.rows()
    scene.restart()
    assert app.lambda_handler(event, None) == answer
    assert scene.rows() == before
    assert {entry.get("castId") for entry in scene.entries()} == {CAST}
    return answer


def test_a_cast_whose_steps_are_done_is_completed_with_their_exact_sum(scene: Scene) -> None:
    scene.add_cast()
    for step_index, cost in enumerate(("0.1", "0.2", "0.0000004")):
        scene.add_generation(step_index, status="completed", cost_usd=Decimal(cost), result=PICTURE)
    assert twice(scene, load_event("finalize_cost.completed")) == {"castId": CAST, "status": "completed"}
    cast = scene.cast()
    assert (cast.status, cast.cost_usd) == ("completed", Decimal("0.3000004"))
    assert cast.outputs == {"images": [{"url": "https://x/fox.png"}]}
    assert cast.step_generation_ids == tuple(f"{CAST}.{number}.1" for number in range(3))


def test_what_the_steps_cost_is_in_the_history_that_quotes_rest_on(scene: Scene) -> None:
    scene.add_cast()
    ended = {"status": "completed", "result": PICTURE, "response_timestamp": now(), "duration_ms": 700}
    for step_index, cost in enumerate(("0", "0.2", "0.0000004")):
        scene.add_generation(step_index, cost_usd=Decimal(cost), **ended)
    twice(scene, load_event("finalize_cost.completed"))
    history = DynamoHistoryStore(scene.table, built_in_tools().keys())
    tools = ("string-primitive", "comfyui-text-to-image", "replicate-flux-schnell")
    found = {
        tool: [(run.cost_usd, run.duration_ms) for run in runs] for tool, runs in history.list_runs("x", tools).items()
    }
    assert found == {tools[0]: [], tools[1]: [(Decimal("0.2"), 700)], tools[2]: [(Decimal("0.0000004"), 700)]}


def test_what_a_closing_and_a_late_bill_cost_is_measured_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sum of the metric is the sum of the casts, whatever is repeated and whenever a bill comes."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "spellcast-prod")
    scene.add_cast(cost_usd=Decimal("0.1"))  # a late bill that came before
    for step_index, cost in enumerate(("0.1", "0.2", "0.0000004")):
        scene.add_generation(step_index, status="completed", cost_usd=Decimal(cost), result=PICTURE)
    twice(scene, load_event("finalize_cost.completed"))
    [closed] = metrics(capsys)
    assert (closed["CastCostUsd"], closed["service"]) == ([0.2000004], "spellcast-prod")
    [[dimensions]] = [item["Dimensions"] for item in closed["_aws"]["CloudWatchMetrics"]]
    assert dimensions == ["service"]
    late = succeeded("text", {"text": "late"}, cost_usd=Decimal("0.05"))
    generation = scene.generation(2)
    scene.casts.save_generation(
        replace(generation, status="failed", result=None, cost_usd=Decimal(0), revision=generation.revision + 1),
        generation,
    )
    bootstrap.finalize_cost().add_late_bill(scene.generation(2), late)
    bootstrap.finalize_cost().add_late_bill(scene.generation(2), late)
    assert sum(line["CastCostUsd"][0] for line in metrics(capsys)) == pytest.approx(0.0499996)


def metrics(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines of the log from which CloudWatch makes metrics."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    return [line for line in lines if "_aws" in line]


def test_only_this_function_writes_the_history(scene: Scene) -> None:
    assert bootstrap.finalize_cost().history is not None
    assert bootstrap.complete_job().finalize_cost.history is None
    assert bootstrap.parts().finalize_cost.history is None, "what cast_api closes casts with"


def test_only_this_function_stops_what_was_cancelled(scene: Scene) -> None:
    assert bootstrap.finalize_cost().stop_cast is not None
    assert bootstrap.parts().finalize_cost.stop_cast is None, "what may not ask providers"


def test_a_step_that_timed_out_fails_the_cast_with_its_place(scene: Scene) -> None:
    scene.add_cast()
    scene.add_generation(0, status="completed", result=PICTURE)
    scene.add_generation(1)
    assert twice(scene, load_event("finalize_cost.timed_out"))["status"] == "failed"
    failure = scene.cast().failure
    assert failure is not None
    assert (failure.code, failure.step_index, failure.generation_id) == ("TIMED_OUT", 1, f"{CAST}.1.1")
    assert scene.generation(1).status == "failed"


def test_a_machine_that_was_stopped_closes_its_cast_and_open_steps(scene: Scene) -> None:
    scene.add_cast()
    scene.add_generation(0, status="completed", cost_usd=Decimal("0.1"), result=PICTURE)
    scene.add_generation(1, result=succeeded("image", {}, cost_usd=Decimal("0.2")))
    scene.add_generation(2)
    assert twice(scene, load_event("finalize_cost.execution_aborted"))["status"] == "failed"
    cast = scene.cast()
    assert cast.failure is not None
    assert (cast.failure.code, cast.failure.step_index, cast.cost_usd) == ("CAST_INTERRUPTED", 2, Decimal("0.3"))
    assert (scene.generation(1).status, scene.generation(2).status) == ("completed", "failed")


def test_a_cancelled_cast_is_stopped_with_its_job_and_closed(scene: Scene) -> None:
    scene.add_cast(cancel_requested_at=now())
    scene.add_generation(0, status="completed", cost_usd=Decimal("0.1"), result=PICTURE)
    scene.add_generation(1)
    scene.neighbours.answers["/api/jobs/job-of-step-1/cancel"] = (200, {"cancelled": True})
    assert twice(scene, load_event("finalize_cost.cast_cancelled")) == {"castId": CAST, "status": "cancelled"}
    cast = scene.cast()
    assert (cast.status, cast.failure, cast.cost_usd) == ("cancelled", None, Decimal("0.1"))
    assert scene.generation(1).status == "cancelled"
    execution = f"arn:aws:states:us-east-1:123456789012:execution:spellcast-cast-test:{CAST}"
    assert scene.neighbours.told("StopExecution") == [{"executionArn": execution}]
    assert scene.neighbours.lines("/api/jobs/") == ["POST /api/jobs/job-of-step-1/cancel"]


def test_an_announcement_that_is_late_closes_no_cast_that_goes_on(scene: Scene) -> None:
    scene.add_cast(execution=2)
    before = scene.rows()
    assert twice(scene, load_event("finalize_cost.cast_cancelled"))["status"] == "running"
    assert scene.rows() == before


def test_a_cast_that_was_closed_before_its_machine_ended_stays_as_it_is(scene: Scene) -> None:
    scene.add_cast(status="completed", cost_usd=Decimal("0.5"))
    scene.add_generation(0, status="completed", cost_usd=Decimal("0.5"), result=PICTURE)
    before = scene.rows()
    assert twice(scene, load_event("finalize_cost.execution_aborted"))["status"] == "completed"
    assert scene.rows() == before


@pytest.mark.parametrize(
    "name", ["finalize_cost.completed", "finalize_cost.execution_aborted", "finalize_cost.cast_cancelled"]
)
def test_a_cast_that_does_not_exist_is_an_error_of_the_function(scene: Scene, name: str) -> None:
    with pytest.raises(CastNotFound):
        app.lambda_handler(load_event(name), None)
