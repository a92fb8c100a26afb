"""Casts that are cancelled, resumed and retried, as their caster sees it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cloud import Cloud, Document, called, drawn, evaluated, wire, words


def asked(cloud: Cloud, path: str, body: Document | None = None, **headers: str) -> tuple[int, Any]:
    answer = cloud.api.post(path, json=body, headers=headers) if body is not None else cloud.api.post(path)
    return answer.status_code, answer.json()


def cancel(cloud: Cloud, cast: Document) -> tuple[int, Any]:
    return asked(cloud, f"/v1/casts/{cast['castId']}/cancel")


def counts(cloud: Cloud, service: str) -> Document:
    found: Document = cloud.provider.get("/control/counts").json()[service]
    return found


@pytest.fixture(autouse=True)
def nothing_counted(cloud: Cloud) -> None:
    cloud.provider.post("/control", json={"reset": True})


@pytest.mark.parametrize(
    ("step", "service"), [(drawn("[fault:stall]"), "comfyui"), (called("[fault:stall]"), "replicate")]
)
def test_a_running_job_is_cancelled_with_its_cast(cloud: Cloud, step: Document, service: str) -> None:
    with cloud.listening() as listener:
        cast = cloud.cast(cloud.spell(words(), step, words(node="never")))
        cloud.await_generation(f"{cast['castId']}.1.1", "processing")
        status, answer = cancel(cloud, cast)
        assert (status, answer["status"]) == (202, "running") and answer["cancelRequestedAt"]
        status, _ = cancel(cloud, cast)
        assert status == 202
        told = listener.until_ended(cast)
    assert (told["status"], told.get("failure")) == ("cancelled", None) and told["cancelledAt"]
    ended = cloud.get_cast(cast)
    assert [item["status"] for item in ended["generations"]] == ["completed", "cancelled"]
    assert counts(cloud, service)["cancels"] >= 1 and counts(cloud, service)["submits"] == 1
    status, again = cancel(cloud, cast)
    assert (status, again["status"]) == (202, "cancelled")
    execution = cloud.outputs["castStateMachineArn"].replace(":stateMachine:", ":execution:") + f":{cast['castId']}"
    assert cloud.aws("stepfunctions").describe_execution(executionArn=execution)["status"] == "ABORTED"
    status, resumed = asked(cloud, f"/v1/casts/{cast['castId']}/resume")
    assert (status, resumed["status"], resumed["stepGenerationIds"]) == (202, "running", [f"{cast['castId']}.0.1"])
    cloud.await_generation(f"{cast['castId']}.1.2", "processing")
    with cloud.listening() as listener:
        cancel(cloud, cast)
        assert listener.until_ended(cast)["status"] == "cancelled"


def test_a_completed_cast_cannot_be_cancelled(cloud: Cloud) -> None:
    ended = cloud.run(cloud.spell(words()))
    status, answer = cancel(cloud, ended)
    assert (status, answer["error"]["code"]) == (409, "CAST_ENDED")


def test_a_failed_cast_is_resumed_with_a_newer_version(cloud: Cloud) -> None:
    spell = cloud.spell(words(), drawn("[fault:fail]"), evaluated("$count($)", "count", input=wire("draw", "images")))
    ended = cloud.run(spell)
    assert ended["failure"]["stepIndex"] == 1
    steps = [words(), drawn("a dog"), words(node="last")]
    cloud.api.put(f"/v1/spells/{spell['spellId']}", json={"name": spell["name"], "steps": steps}).raise_for_status()
    with cloud.listening() as listener:
        status, resumed = asked(cloud, f"/v1/casts/{ended['castId']}/resume", {"version": 2})
        assert (status, resumed["version"]) == (202, 2)
        listener.until_ended(ended)
    ended = cloud.get_cast(ended)
    assert ended["status"] == "completed", ended
    assert ended["stepGenerationIds"] == [f"{ended['castId']}.{name}" for name in ("0.1", "1.2", "2.2")]
    assert [item["attempt"] for item in ended["generations"]] == [1, 1, 2, 2]
    assert counts(cloud, "comfyui")["submits"] == 2


def test_a_step_is_retried_with_other_inputs(cloud: Cloud) -> None:
    ended = cloud.run(cloud.spell(words(), drawn("a cat"), words(node="last")))
    path = f"/v1/generations/{ended['castId']}.1.1/retry"
    status, refused = asked(cloud, path, {"inputs": {"colour": "red"}})
    assert (status, refused["error"]["details"][0]["path"]) == (400, "inputs.colour")
    with cloud.listening() as listener:
        status, _ = asked(cloud, path, {"inputs": {"input_prompt": "a dog"}}, **{"Idempotency-Key": "once"})
        assert status == 202
        listener.until_ended(ended)
    again = cloud.get_cast(ended)
    assert (again["status"], again["stepOverrides"]) == ("completed", {"draw": {"input_prompt": "a dog"}})
    prompts = {item["attempt"]: item["requestPayload"]["input_prompt"] for item in again["generations"][1:3]}
    assert prompts == {1: "a cat", 2: "a dog"}
    # Without the key it would be run once more.
    status, repeated = asked(cloud, path, {"inputs": {"input_prompt": "a dog"}}, **{"Idempotency-Key": "once"})
    assert (status, repeated["status"], repeated["revision"]) == (202, "completed", again["revision"])
