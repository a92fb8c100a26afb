"""A provider that misbehaves fails its step with code and message, the cast is failed, and its caster is told."""

from __future__ import annotations

import json
import time

import pytest

from tests.cloud import PATIENCE, TERMINAL, Cloud, Document, called, drawn, words


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (drawn("[fault:refuse]"), "PROVIDER_REFUSED"),
        (drawn("[fault:fail]"), "JOB_FAILED"),
        (drawn("[fault:throttle]"), "PROVIDER_UNAVAILABLE"),
        (drawn("[fault:lose]"), "JOB_LOST"),
        (called("[fault:refuse]"), "PROVIDER_REFUSED"),
        (called("[fault:fail]"), "JOB_FAILED"),
        (called("[fault:throttle]"), "PROVIDER_UNAVAILABLE"),
    ],
    ids=[
        "polled refused",
        "polled failed",
        "polled throttled",
        "polled lost",
        "called refused",
        "called failed",
        "called throttled",
    ],
)
def test_a_provider_s_failure_is_the_cast_s(cloud: Cloud, step: Document, code: str) -> None:
    cloud.provider.post("/control", json={"reset": True})
    spell = cloud.spell(words(), step, words(node="never"))
    with cloud.listening() as listener:
        cast = cloud.cast(spell)
        told = listener.until_ended(cast)
    ended = cloud.get_cast(cast)
    assert told["status"] == ended["status"] == "failed"
    assert told["failure"] == ended["failure"]
    assert ended["failure"]["code"] == code and ended["failure"]["stepIndex"] == 1
    assert ended["failure"]["generationId"] == f"{cast['castId']}.1.1" and ended["failure"]["message"]
    assert [item["status"] for item in ended["generations"]] == ["completed", "failed"]
    submits = cloud.provider.get("/control/counts").json()
    # What is certain not to have begun is asked for again, a few times.
    asked = 4 if code == "PROVIDER_UNAVAILABLE" else 1
    assert submits["comfyui"].get("submits", 0) + submits["replicate"].get("submits", 0) == asked


@pytest.mark.parametrize("step", [drawn("[fault:garbage]"), drawn("[fault:broken]"), called("[fault:garbage]")])
def test_an_answer_that_was_lost_is_made_up_for_without_asking_again(cloud: Cloud, step: Document) -> None:
    cloud.provider.post("/control", json={"reset": True})
    ended = cloud.run(cloud.spell(step))
    assert ended["status"] == "completed", ended
    submits = cloud.provider.get("/control/counts").json()
    assert submits["comfyui"].get("submits", 0) + submits["replicate"].get("submits", 0) == 1


def test_missing_inputs_are_named_before_a_provider_is_asked(cloud: Cloud) -> None:
    cloud.provider.post("/control", json={"reset": True})
    ended = cloud.run(cloud.spell({"id": "enlarge", "toolIdentifier": "replicate-clarity-upscaler"}))
    assert ended["failure"]["code"] == "MISSING_INPUTS" and "image" in ended["failure"]["message"]
    assert "submits" not in cloud.provider.get("/control/counts").json()["replicate"]


def test_an_immediate_step_that_fails_stops_its_segment(cloud: Cloud) -> None:
    broken = {
        "id": "broken",
        "toolIdentifier": "expression",
        "parameterMappings": {"expression": {"type": "static", "value": "$sum("}},
    }
    ended = cloud.run(cloud.spell(words(), broken, words(node="never")))
    assert ended["failure"]["code"] == "EXPRESSION_FAILED" and ended["failure"]["stepId"] == "broken"
    assert len(ended["generations"]) == 2


def test_a_machine_that_is_stopped_leaves_no_cast_running(cloud: Cloud) -> None:
    cast = cloud.cast(cloud.spell(called("[fault:drop]")))
    cloud.await_generation(f"{cast['castId']}.0.1", "processing")
    execution = cloud.outputs["castStateMachineArn"].replace(":stateMachine:", ":execution:") + f":{cast['castId']}"
    cloud.aws("stepfunctions").stop_execution(executionArn=execution)
    deadline = time.monotonic() + PATIENCE
    while (ended := cloud.get_cast(cast))["status"] not in TERMINAL and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ended["status"] == "failed" and ended["failure"]["code"] == "CAST_INTERRUPTED"
    assert [item["status"] for item in ended["generations"]] == ["failed"]


def test_the_log_says_which_cast_and_no_secret(cloud: Cloud) -> None:
    prompt = "a very private prompt"
    ended = cloud.run(cloud.spell(called(prompt)), webhookSecret="a webhook secret")
    logs = cloud.aws("logs")
    lines: list[str] = []
    for group in logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/spellcast-local-")["logGroups"]:
        events = logs.filter_log_events(logGroupName=group["logGroupName"])["events"]
        lines += [event["message"] for event in events]
    own = [line for line in lines if ended["castId"] in line]
    assert own, "every function logs the cast's id"
    entries = [json.loads(line) for line in own if line.lstrip().startswith("{")]
    assert all(entry.get("castId") == ended["castId"] for entry in entries if "castId" in entry)
    everything = "\n".join(lines)
    for secret in (prompt, "a webhook secret", cloud.outputs["apiKey"], "/v1/completions/", "demo-key"):
        assert secret not in everything
