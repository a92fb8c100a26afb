"""How a job's result enters: callbacks, events on the bus, polls; once, however often it comes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from spellcast.domain import callback_tokens, standard_webhooks
from tests.cloud import Cloud, Document, called, drawn, words


def waiting_job(cloud: Cloud, prompt: str, inputs: Document | None = None) -> Document:
    """A cast that waits for a callback which its provider never sends."""
    cast = cloud.cast(cloud.spell(called(f"{prompt} [fault:drop]"), words(node="after")), inputs)
    cloud.await_generation(f"{cast['castId']}.0.1", "processing")
    return cast


def callback_token(cloud: Cloud, generation_id: str, late: timedelta = timedelta()) -> str:
    secret = cloud.aws("secretsmanager").get_secret_value(SecretId="spellcast/local/callback-signing")["SecretString"]
    return callback_tokens.sign(generation_id, datetime.now(UTC) - late, secret)


def signed_callback(cloud: Cloud, run_id: str, **prediction: Any) -> tuple[bytes, dict[str, str]]:
    secrets = cloud.aws("secretsmanager")
    config = json.loads(secrets.get_secret_value(SecretId="spellcast/local/replicate")["SecretString"])
    body = json.dumps({"id": run_id, **prediction}).encode()
    return body, standard_webhooks.sign(config["webhookSecret"], f"msg_{run_id}", datetime.now(UTC), body)


def test_an_event_on_the_bus_continues_a_waiting_cast(cloud: Cloud) -> None:
    with cloud.listening() as listener:
        cast = waiting_job(cloud, "by bus")
        cloud.put_on_bus(
            generationId=f"{cast['castId']}.0.1",
            status="succeeded",
            type="image",
            data={"images": [{"url": "https://o/1.png"}]},
            costUsd="0.0042",
        )
        listener.until_ended(cast)
    ended = cloud.get_cast(cast)
    assert (ended["status"], ended["costUsd"]) == ("completed", "0.0042")
    refused = {"kept": False, "reason": "The address is refused: its host is a local name"}
    assert ended["generations"][0]["outputs"] == {"images": [{"url": "https://o/1.png", **refused}]}


def test_a_failure_on_the_bus_fails_the_cast_with_its_reason(cloud: Cloud) -> None:
    with cloud.listening() as listener:
        cast = waiting_job(cloud, "failed by bus")
        cloud.put_on_bus(generationId=f"{cast['castId']}.0.1", status="failed", error={"message": "no more paint"})
        told = listener.until_ended(cast)
    assert told["failure"]["code"] == "JOB_FAILED" and told["failureReason"] == "no more paint"


def test_two_identical_callbacks_change_nothing_the_second_time(cloud: Cloud) -> None:
    with cloud.listening() as listener:
        cast = waiting_job(cloud, "twice")
        generation = cloud.api.get(f"/v1/generations/{cast['castId']}.0.1").json()
        token = callback_token(cloud, generation["generationId"])
        body, headers = signed_callback(
            cloud, generation["metadata"]["run_id"], status="succeeded", output=["https://o/1.png"]
        )
        first = httpx.post(f"{cloud.outputs['httpUrl']}/v1/completions/{token}", content=body, headers=headers)
        assert first.status_code == 200, first.text
        listener.until_ended(cast)
        before = cloud.get_cast(cast)
        cloud.reset_counts()
        again = httpx.post(f"{cloud.outputs['httpUrl']}/v1/completions/{token}", content=body, headers=headers)
        assert (again.status_code, again.json()) == (200, first.json())
        assert cloud.get_cast(cast) == before
        assert cloud.counts()["writesByKey"] == {}, "the repeat writes nothing"
        updates = [item for item in listener.of(cast, "generationUpdate") if item["stepIndex"] == 0]
        assert sum(update["status"] == "completed" for update in updates) == 1


def test_forged_expired_and_unsigned_callbacks_are_refused_and_change_nothing(cloud: Cloud) -> None:
    cast = waiting_job(cloud, "refused")
    before = cloud.api.get(f"/v1/generations/{cast['castId']}.0.1").json()
    run_id = before["metadata"]["run_id"]
    good = callback_token(cloud, before["generationId"])
    body, headers = signed_callback(cloud, run_id, status="succeeded", output=["https://o/1.png"])
    forged = callback_tokens.sign(before["generationId"], datetime.now(UTC), "another secret")
    expired = callback_token(cloud, before["generationId"], late=timedelta(hours=25))
    unknown = callback_token(cloud, f"{cast['castId']}.7.1")
    url = f"{cloud.outputs['httpUrl']}/v1/completions"
    cases = {
        "forged token": (forged, headers, body),
        "expired token": (expired, headers, body),
        "a token of no generation": (unknown, headers, body),
        "nonsense token": ("nonsense", headers, body),
        "no signature": (good, {}, body),
        "a body that was not signed": (good, headers, body + b" "),
    }
    for name, (token, sent, content) in cases.items():
        answer = httpx.post(f"{url}/{token}", content=content, headers=sent)
        assert answer.status_code == 401, f"{name}: {answer.status_code} {answer.text}"
    large = httpx.post(f"{url}/{good}", content=b"x" * 1_000_001)
    assert large.status_code == 413
    assert cloud.api.get(f"/v1/generations/{cast['castId']}.0.1").json() == before
    cloud.put_on_bus(generationId=before["generationId"], status="failed")


def test_a_job_that_never_ends_is_cancelled_at_its_deadline(cloud: Cloud) -> None:
    tool_id = f"stalling-{datetime.now(UTC).timestamp():.0f}"
    slow = cloud.api.get("/v1/tools/comfyui-text-to-image").json()
    cloud.tool(slow | {"toolId": tool_id, "displayName": tool_id, "deadlineSeconds": 3})
    cloud.provider.post("/control", json={"reset": True})
    ended = cloud.run(cloud.spell({**drawn("[fault:stall]"), "toolIdentifier": tool_id}))
    assert ended["failure"]["code"] == "TIMED_OUT"
    assert ended["failureReason"] == "Job did not complete within timeout period"
    assert cloud.provider.get("/control/counts").json()["comfyui"]["cancels"] == 1


def test_a_job_ends_well_though_its_tool_is_deleted_while_it_runs(cloud: Cloud) -> None:
    tool_id = f"passing-{datetime.now(UTC).timestamp():.0f}"
    passing = cloud.api.get("/v1/tools/replicate-flux-schnell").json()
    cloud.tool(passing | {"toolId": tool_id, "displayName": tool_id})
    settings = {"tools": {tool_id: {"aspect_ratio": "16:9"}}}
    cloud.api.put("/v1/accounts/me/settings", json=settings).raise_for_status()
    try:
        spell = cloud.spell(called("a cat [seconds:2]", tool=tool_id), called(node="second", tool=tool_id))
        with cloud.listening() as listener:
            cast = cloud.cast(spell)
            cloud.await_generation(f"{cast['castId']}.0.1", "processing")
            assert cloud.api.delete(f"/v1/tools/{tool_id}").status_code == 204
            assert cloud.api.delete(f"/v1/tools/{tool_id}").status_code == 404
            listener.until_ended(cast)
    finally:
        cloud.api.put("/v1/accounts/me/settings", json={"tools": {}}).raise_for_status()
    ended = cloud.get_cast(cast)
    first, second = ended["generations"]
    assert (first["status"], first["costUsd"]) == ("completed", "0.003")
    assert first["requestPayload"]["aspect_ratio"] == "16:9"
    assert (second["status"], second["error"]["code"]) == ("failed", "TOOL_NOT_FOUND")
    message = f"Tool with name or ID '{tool_id}' not found in registry for step 1 of spell \"a spell\"."
    assert (ended["status"], ended["failureReason"], ended["costUsd"]) == ("failed", message, "0.003")
