"""A deployment goes on only when a smoke spell, cast by the new version, came to its end as it should."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from functions.check_deployment import app
from functions.execute_step import app as execute_step
from functions.finalize_cost import app as finalize_cost
from functions.process_output import app as process_output
from spellcast.domain import documents
from tests.functions.scene import CAST, Scene, load_event

EVENT = load_event("check_deployment.before_traffic")
CHECKED = "check-d-7qmv41xyz"
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:spellcast-cast-test"
REPORT = "PutLifecycleEventHookExecutionStatus"


def run_the_machine(scene: Scene) -> None:
    """What Step Functions does with the execution that was started, by the functions themselves."""
    content = documents.from_text(scene.neighbours.told("StartExecution")[0]["input"])
    call = {"castId": CHECKED, "execution": CHECKED}
    for segment in content["segments"]:
        execute_step.lambda_handler({**call, "segment": segment, "taskToken": "token"}, None)
    process_output.lambda_handler({"castId": CHECKED, "segments": content["segments"]}, None)
    finalize_cost.lambda_handler(call, None)
    ends(scene, "SUCCEEDED")


def fail_the_machine(scene: Scene) -> None:
    finalize_cost.lambda_handler({"castId": CHECKED, "execution": CHECKED}, None)
    ends(scene, "FAILED", error="Runtime.ImportModuleError", cause="")


def ends(scene: Scene, status: str, **more: str) -> None:
    described = {"executionArn": "x", "stateMachineArn": "x", "startDate": 0, "status": status, **more}
    scene.neighbours.executions[CHECKED] = (200, described)


def check(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[Scene], None] = run_the_machine
) -> dict[str, bool]:
    """By a new container, which waits for what happens meanwhile."""
    monkeypatch.setenv("SPELLCAST_CAST_MACHINE", f"{MACHINE}:7")
    monkeypatch.setattr("time.sleep", lambda seconds: meanwhile(scene))
    scene.restart()
    return app.lambda_handler(EVENT, None)


def report(status: str) -> dict[str, str]:
    return {
        "deploymentId": EVENT["DeploymentId"],
        "lifecycleEventHookExecutionId": EVENT["LifecycleEventHookExecutionId"],
        "status": status,
    }


def test_a_version_by_which_the_spell_is_cast_is_let_in_and_nothing_is_left(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = scene.rows()
    assert check(scene, monkeypatch) == {"passed": True}
    assert scene.neighbours.told(REPORT) == [report("Succeeded")]
    [started] = scene.neighbours.told("StartExecution")
    assert (started["name"], started["stateMachineArn"].rpartition(":")[2]) == (CHECKED, "7")
    assert scene.rows() == before
    assert {entry.get("castId") for entry in scene.entries()} == {CHECKED}


def test_a_version_whose_machine_fails_is_not_let_in_and_nothing_is_left(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = scene.rows()
    assert check(scene, monkeypatch, fail_the_machine) == {"passed": False}
    assert scene.neighbours.told(REPORT) == [report("Failed")]
    assert scene.rows() == before
    [entry] = [entry for entry in scene.entries() if entry["message"] == "Checked the deployment"]
    assert (entry["status"], entry["code"]) == ("failed", "Runtime.ImportModuleError")


def test_a_version_that_cannot_start_the_machine_is_not_let_in(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    before = scene.rows()

    def refuse(*_: Any) -> None:
        raise PermissionError

    monkeypatch.setattr("spellcast.aws.machine.StepFunctionsMachine.start_cast", refuse)
    assert check(scene, monkeypatch) == {"passed": False}
    assert (scene.neighbours.told(REPORT), scene.rows()) == ([report("Failed")], before)


def test_a_repeat_of_a_check_that_died_before_it_cleaned_up_finds_its_cast(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = scene.rows()

    def die(self: Any, cast_id: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as first:
        first.setattr("spellcast.aws.cast_store.DynamoCastStore.erase_cast", die)
        with pytest.raises(KeyboardInterrupt):
            check(scene, first)
    assert scene.rows() != before
    assert check(scene, monkeypatch) == {"passed": True}
    assert scene.neighbours.told(REPORT) == [report("Succeeded")] * 2
    assert scene.rows() == before


def test_records_of_others_are_left_alone(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.add_spell()
    scene.add_cast()
    before = scene.rows()
    check(scene, monkeypatch)
    assert scene.rows() == before
    assert scene.cast().cast_id == CAST
