"""The worked scenarios S9 and S12 of original-system.md §9; the others are in tests/unit/application."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime

from spellcast.domain.documents import to_text
from tests.cloud import Cloud, called, drawn
from tests.receiver import receiving

SECRET = "s3cr3t"


def test_s9_a_job_that_never_ends_has_a_bounded_budget_and_its_own_reason(cloud: Cloud) -> None:
    tool = cloud.api.get("/v1/tools/comfyui-text-to-image").json()
    tool_id = f"never-{datetime.now(UTC).timestamp():.0f}"
    cloud.tool(tool | {"toolId": tool_id, "displayName": tool_id, "deadlineSeconds": 3})
    with cloud.listening() as listener:
        cast = cloud.cast(cloud.spell({**drawn("[fault:stall]"), "toolIdentifier": tool_id}))
        told = listener.until_ended(cast)
        updates = listener.of(cast, "generationUpdate")
    reason = "Job did not complete within timeout period"
    assert (told["status"], told["failureReason"]) == ("failed", reason)
    assert told["failure"]["code"] == "TIMED_OUT"
    assert cloud.get_cast(cast)["generations"][0]["error"]["message"] == reason
    assert len({item["revision"] for item in updates if item["status"] == "failed"}) == 1


def test_s12_a_cast_with_a_result_webhook(cloud: Cloud) -> None:
    with receiving() as receiver, cloud.listening() as listener:
        cast = cloud.cast(
            cloud.spell(called("[fault:stall]"), name="Caption"), webhookUrl=receiver.url, webhookSecret=SECRET
        )
        generation_id = f"{cast['castId']}.0.1"
        cloud.await_generation(generation_id, "processing")
        cloud.put_on_bus(
            generationId=generation_id, status="succeeded", data={"text": ["cap"]}, type="text", costUsd="0.00444"
        )
        listener.until_ended(cast)
        headers, body = receiver.next()
        listener.until(lambda message: message["payload"].get("delivery", {}).get("deliveryStatus") == "sent")
        assert receiver.calls.empty(), "exactly one POST"
    told = json.loads(body)
    assert list(told) == [
        *("event", "castId", "spellId", "spellSlug", "status", "generationIds", "costUsd", "startedAt", "completedAt"),
        *("finalOutputs", "signature"),
    ]
    assert (told["event"], told["costUsd"], told["finalOutputs"]) == ("spell.completed", "0.00444", {"text": "cap"})
    assert told["generationIds"] == [generation_id]
    signature = told.pop("signature")
    assert headers["x-webhook-signature"] == f"sha256={signature}"
    assert signature == hmac.new(SECRET.encode(), to_text(told).encode(), hashlib.sha256).hexdigest()
    found = cloud.get_cast(cast)["delivery"]
    assert (found["deliveryStatus"], found["deliveryAttempts"]) == ("sent", 1)


def test_s12_the_signature_is_the_one_of_the_reference() -> None:
    body = b'{"event":"spell.completed","castId":"c1","status":"completed","costUsd":0.00444}'
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert signature == "c040a83829511869e76addd2d9386f2d4f376806f73cc808e2ef14dbc3bb9627"
