"""A segment against its real store and real adapters, with a ComfyUI on loopback."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Any

import pytest

from functions.execute_step import app
from spellcast import bootstrap
from spellcast.aws.clock import SystemClock
from spellcast.aws.lease_store import DynamoLeaseStore
from spellcast.domain import results
from spellcast.domain.identifiers import job_uuid
from spellcast.domain.limits import Leases
from tests.functions.scene import CAST, PROMPT, STEPS, TASK_TOKEN, Scene, load_event, now, secrets_manager

RUN_ID = job_uuid(f"{CAST}.1.1")


@pytest.fixture
def comfyui(scene: Scene) -> Scene:
    """A ComfyUI that takes the job and has it in its queue."""
    scene.neighbours.answers |= {
        "/prompt": (200, {"prompt_id": RUN_ID, "number": 1, "node_errors": {}}),
        f"/history/{RUN_ID}": (200, {}),
        "/queue": (200, {"queue_running": [[1, RUN_ID, {}, {}, []]], "queue_pending": []}),
    }
    return scene


def logged_cast_ids(scene: Scene) -> set[Any]:
    return {entry.get("castId") for entry in scene.entries()}


def test_the_immediate_step_is_finished_the_job_submitted_and_its_polling_started(comfyui: Scene) -> None:
    comfyui.add_spell()
    comfyui.add_cast()
    app.lambda_handler(load_event("execute_step.job"), None)
    text, image = comfyui.generation(0), comfyui.generation(1)
    assert text.status == "completed"
    assert text.result is not None
    assert text.result.payload[0]["data"] == {"text": f"{PROMPT}, oil on canvas"}
    assert (image.status, image.run_id, image.task_token) == ("processing", RUN_ID, TASK_TOKEN)
    (submitted,) = [asked.json for asked in comfyui.neighbours.asked if asked.path == "/prompt"]
    assert submitted["prompt"]["6"]["inputs"]["text"] == f"{PROMPT}, oil on canvas"
    (started,) = comfyui.neighbours.told("StartExecution")
    assert started["name"] == f"{CAST}-1-1"
    assert json.loads(started["input"])["generationId"] == f"{CAST}.1.1"
    assert logged_cast_ids(comfyui) == {CAST}


def test_a_second_invocation_looks_for_the_job_and_submits_nothing(comfyui: Scene) -> None:
    comfyui.add_spell()
    comfyui.add_cast()
    app.lambda_handler(load_event("execute_step.job"), None)
    text = comfyui.generation(0)
    comfyui.restart()
    app.lambda_handler(load_event("execute_step.job"), None)
    assert comfyui.neighbours.lines("/prompt") == ["POST /prompt"]
    assert comfyui.generation(0) == text
    assert comfyui.generation(1).run_id == RUN_ID
    assert comfyui.neighbours.started == {f"{CAST}-1-1"}
    assert comfyui.neighbours.answered == set()


def test_a_segment_that_ends_immediately_answers_its_token(scene: Scene) -> None:
    scene.add_spell(STEPS[:1])
    scene.add_cast(step_count=1)
    app.lambda_handler(load_event("execute_step.immediate"), None)
    answer = {"taskToken": TASK_TOKEN, "output": json.dumps({"generationId": f"{CAST}.0.1"}, separators=(",", ":"))}
    assert scene.neighbours.told("SendTaskSuccess") == [answer]
    before = scene.rows()
    scene.restart()
    app.lambda_handler(load_event("execute_step.immediate"), None)
    assert scene.rows() == before
    assert scene.neighbours.told("SendTaskSuccess") == [answer] * 2
    assert logged_cast_ids(scene) == {CAST}


def test_a_provider_that_nobody_configured_fails_the_step_with_its_name(scene: Scene) -> None:
    scene.add_spell()
    scene.add_cast()
    secrets_manager().put_secret_value(SecretId="spellcast/test/comfyui", SecretString="{}")
    app.lambda_handler(load_event("execute_step.job"), None)
    generation = scene.generation(1)
    assert generation.failure is not None
    assert (generation.status, generation.failure.code) == ("failed", "PROVIDER_NOT_CONFIGURED")
    (refused,) = scene.neighbours.told("SendTaskFailure")
    assert refused["error"] == "PROVIDER_NOT_CONFIGURED"


def test_a_cast_that_does_not_exist_is_an_error_of_the_function(scene: Scene) -> None:
    with pytest.raises(Exception, match=CAST):
        app.lambda_handler(load_event("execute_step.job"), None)
    assert scene.rows()[0]["sk"] == {"S": "KEY"}


def test_a_job_waits_for_a_place_under_its_providers_limit_and_gives_it_back(comfyui: Scene) -> None:
    comfyui.add_spell()
    comfyui.add_cast()
    secret = secrets_manager().get_secret_value(SecretId="spellcast/test/comfyui")["SecretString"]
    limited = json.dumps({**json.loads(secret), "limits": {"jobsInFlight": 1}})
    secrets_manager().put_secret_value(SecretId="spellcast/test/comfyui", SecretString=limited)
    leases = DynamoLeaseStore(comfyui.table, SystemClock())
    leases.save_leases(Leases("comfyui#jobs", 1, {"another": now() + timedelta(minutes=1)}))
    app.lambda_handler(load_event("execute_step.job"), None)
    (refused,) = comfyui.neighbours.told("SendTaskFailure")
    assert (refused["taskToken"], refused["error"]) == (TASK_TOKEN, "NO_FREE_SLOT")
    assert comfyui.casts.get_generation(f"{CAST}.1.1") is None
    assert comfyui.neighbours.lines("/prompt") == []

    leases.save_leases(leases.get_leases("comfyui#jobs").given_back("another"))
    app.lambda_handler(load_event("execute_step.job"), None)
    assert comfyui.generation(1).run_id == RUN_ID
    assert set(leases.get_leases("comfyui#jobs").held) == {f"{CAST}.1.1"}
    # Whoever brings the result knows of the place from the record alone.
    bootstrap.complete_job()(f"{CAST}.1.1", results.succeeded("text", {"text": "done"}))
    assert leases.get_leases("comfyui#jobs").held == {}


def test_a_provider_that_is_busy_is_asked_again_by_the_same_invocation(
    comfyui: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        comfyui.neighbours.answers["/prompt"] = (200, {"prompt_id": RUN_ID, "number": 1, "node_errors": {}})

    monkeypatch.setattr(time, "sleep", sleep)
    comfyui.neighbours.answers["/prompt"] = (429, {})
    comfyui.add_spell()
    comfyui.add_cast()
    app.lambda_handler(load_event("execute_step.job"), None)
    assert comfyui.neighbours.lines("/prompt") == ["POST /prompt"] * 2
    assert (comfyui.generation(1).run_id, len(slept)) == (RUN_ID, 1)
    assert 0.5 <= slept[0] <= 1.5
