"""The caster's webhook, delivered to a receiver on loopback."""

from __future__ import annotations

import hashlib
import hmac
import json
import traceback
from decimal import Decimal
from typing import Any

import pytest

from functions.send_webhook import app
from spellcast.domain.casts import CastFailure
from tests.functions.neighbours import Asked
from tests.functions.scene import (
    CAST,
    PROMPT,
    WEBHOOK_QUEUE,
    WEBHOOK_SECRET,
    WEBHOOK_TOKEN,
    Scene,
    load_event,
    now,
)

PATH = f"/hook?t={WEBHOOK_TOKEN}"
MESSAGE = "059f36b4-87a3-44ab-83d2-661975830a7d"


def add_ended_cast(scene: Scene, **changes: Any) -> None:
    fields: dict[str, Any] = {
        "status": "completed",
        "revision": 2,
        "webhook_url": scene.neighbours.url + PATH,
        "webhook_secret": WEBHOOK_SECRET,
        "cost_usd": Decimal("0.0155"),
        "outputs": {"text": "done"},
        "completed_at": now(),
    }
    scene.add_cast(**{**fields, **changes})
    scene.neighbours.answers[PATH] = (200, {})


def receive(attempt: int = 1) -> Any:
    """The event's message, received for the so many-th time by a cold function; whether it is done with."""
    event = load_event("send_webhook.completed")
    event["Records"][0]["attributes"]["ApproximateReceiveCount"] = str(attempt)
    event["Records"][0]["receiptHandle"] = f"receipt-{attempt}"
    answer = app.lambda_handler(event, None)
    assert answer in ({"batchItemFailures": []}, {"batchItemFailures": [{"itemIdentifier": MESSAGE}]})
    return not answer["batchItemFailures"]


def posts(scene: Scene) -> list[Asked]:
    return [asked for asked in scene.neighbours.asked if asked.path == PATH]


def postponed(scene: Scene) -> list[tuple[str, int]]:
    told = scene.neighbours.told("ChangeMessageVisibility")
    assert all(item["QueueUrl"] == WEBHOOK_QUEUE for item in told)
    return [(item["ReceiptHandle"], item["VisibilityTimeout"]) for item in told]


def test_the_webhook_is_posted_signed_and_recorded(scene: Scene) -> None:
    add_ended_cast(scene)
    assert app.lambda_handler(load_event("send_webhook.completed"), None) == {"batchItemFailures": []}
    (asked,) = posts(scene)
    body = asked.json
    assert (body["event"], body["castId"], body["costUsd"]) == ("spell.completed", CAST, "0.0155")
    signature = body.pop("signature")
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    assert signature == hmac.new(WEBHOOK_SECRET.encode(), text, hashlib.sha256).hexdigest()
    assert asked.headers["x-webhook-signature"] == f"sha256={signature}"
    delivery = scene.cast().delivery
    assert delivery is not None
    assert (delivery.status, delivery.attempts, delivery.error) == ("sent", 1, None)
    assert postponed(scene) == []
    assert scene.entries() == []


def test_a_message_that_comes_again_is_told_and_written_once(scene: Scene) -> None:
    add_ended_cast(scene)
    assert receive(1)
    before = scene.rows()
    scene.restart()
    assert receive(2)
    assert len(posts(scene)) == 1
    assert scene.rows() == before


def test_a_failed_cast_is_told_with_its_reason(scene: Scene) -> None:
    failure = CastFailure("JOB_FAILED", "too dark", 1, "n1", f"{CAST}.1.1")
    add_ended_cast(scene, status="failed", failure=failure, failed_at=now(), completed_at=None, outputs=None)
    app.lambda_handler(load_event("send_webhook.completed"), None)
    (asked,) = scene.neighbours.asked
    assert asked.json["event"] == "spell.failed"
    assert asked.json["error"] == {"code": "JOB_FAILED", "message": "too dark"}


@pytest.mark.parametrize("status", [301, 400, 404, 410, 500, 503])
def test_after_three_attempts_the_record_says_what_the_receiver_said_and_the_log_does_not(
    scene: Scene, status: int
) -> None:
    add_ended_cast(scene)
    before = scene.rows()
    # A receiver that repeats what it was sent: the scene looks for the prompt in the log.
    scene.neighbours.answers[PATH] = (status, {"refused": PROMPT})
    for attempt in (1, 2):
        assert not receive(attempt)
        assert scene.rows() == before
        scene.restart()
    assert not receive(3)
    delivery = scene.cast().delivery
    assert delivery is not None
    error = f'Webhook returned {status}: {{"refused": "{PROMPT}"}}'
    assert (delivery.status, delivery.attempts, delivery.error) == ("failed", 3, error)
    assert postponed(scene) == [("receipt-1", 5), ("receipt-2", 30), ("receipt-3", 0)]
    assert len({asked.headers["webhook-id"] for asked in posts(scene)}) == 1
    assert [(entry["castId"], entry["code"], entry["status"], entry["attempt"]) for entry in scene.entries()] == [
        (CAST, "WEBHOOK_NOT_DELIVERED", status, attempt) for attempt in (1, 2, 3)
    ]


def test_a_receiver_that_recovers_is_told(scene: Scene) -> None:
    add_ended_cast(scene)
    scene.neighbours.answers[PATH] = (500, {})
    assert not receive(1)
    scene.neighbours.answers[PATH] = (200, {})
    assert receive(2)
    delivery = scene.cast().delivery
    assert delivery is not None
    assert (delivery.status, delivery.attempts) == ("sent", 2)


def test_a_queue_that_cannot_be_told_brings_the_message_again_by_itself(scene: Scene) -> None:
    add_ended_cast(scene)
    scene.neighbours.answers[PATH] = (500, {"refused": PROMPT})
    scene.neighbours.answers["/"] = (400, {"__type": "com.amazonaws.sqs#ReceiptHandleIsInvalid"})
    with pytest.raises(Exception, match="its text is withheld") as raised:
        receive()
    assert type(raised.value).__name__ == "ReceiptHandleIsInvalid"
    assert PROMPT not in "".join(traceback.format_exception(raised.value))


def test_an_address_that_must_not_be_called_is_not_called(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPELLCAST_ALLOW_LOOPBACK", "false")
    add_ended_cast(scene)
    assert not receive(3)
    assert posts(scene) == []
    (entry,) = scene.entries()
    assert (entry["code"], entry.get("status")) == ("ADDRESS_REFUSED", None)
    delivery = scene.cast().delivery
    assert delivery is not None and delivery.error is not None
    assert (delivery.status, delivery.error.partition(":")[0]) == ("failed", "The address is refused")


def test_a_cast_without_a_webhook_calls_nobody(scene: Scene) -> None:
    add_ended_cast(scene, webhook_url=None)
    assert app.lambda_handler(load_event("send_webhook.completed"), None) == {"batchItemFailures": []}
    assert scene.neighbours.asked == []


def test_a_cast_that_does_not_exist_ends_in_the_dead_letters(scene: Scene) -> None:
    answer = app.lambda_handler(load_event("send_webhook.completed"), None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": MESSAGE}]}
