"""The caster's webhook, delivered to a receiver on loopback."""

from __future__ import annotations

import hashlib
import hmac
import json
from decimal import Decimal
from typing import Any

import pytest

from functions.send_webhook import app
from spellcast.domain.casts import CastFailure
from tests.functions.scene import CAST, WEBHOOK_SECRET, WEBHOOK_TOKEN, Scene, load_event, now

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


def test_the_webhook_is_posted_signed_and_under_one_id(scene: Scene) -> None:
    add_ended_cast(scene)
    before = scene.rows()
    for _ in range(2):
        assert app.lambda_handler(load_event("send_webhook.completed"), None) == {"batchItemFailures": []}
        scene.restart()
    first, second = scene.neighbours.asked
    body = first.json
    assert (body["event"], body["castId"], body["costUsd"]) == ("spell.completed", CAST, "0.0155")
    signature = body.pop("signature")
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    assert signature == hmac.new(WEBHOOK_SECRET.encode(), text, hashlib.sha256).hexdigest()
    assert first.headers["x-webhook-signature"] == f"sha256={signature}"
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert scene.rows() == before


def test_a_failed_cast_is_told_with_its_reason(scene: Scene) -> None:
    failure = CastFailure("JOB_FAILED", "too dark", 1, "n1", f"{CAST}.1.1")
    add_ended_cast(scene, status="failed", failure=failure, failed_at=now(), completed_at=None, outputs=None)
    app.lambda_handler(load_event("send_webhook.completed"), None)
    (asked,) = scene.neighbours.asked
    assert asked.json["event"] == "spell.failed"
    assert asked.json["error"] == {"code": "JOB_FAILED", "message": "too dark"}


@pytest.mark.parametrize("status", [301, 400, 404, 410, 500, 503])
def test_a_receiver_that_does_not_take_it_is_tried_again_by_the_queue(scene: Scene, status: int) -> None:
    add_ended_cast(scene)
    scene.neighbours.answers[PATH] = (status, {})
    answer = app.lambda_handler(load_event("send_webhook.completed"), None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": MESSAGE}]}
    (entry,) = scene.entries()
    assert (entry["castId"], entry["reason"]) == (CAST, f"Webhook returned {status}")


def test_an_address_that_must_not_be_called_is_not_called(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPELLCAST_ALLOW_LOOPBACK", "false")
    add_ended_cast(scene)
    answer = app.lambda_handler(load_event("send_webhook.completed"), None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": MESSAGE}]}
    assert scene.neighbours.asked == []
    assert scene.entries()[0]["code"] == "ADDRESS_REFUSED"


def test_a_cast_without_a_webhook_calls_nobody(scene: Scene) -> None:
    add_ended_cast(scene, webhook_url=None)
    assert app.lambda_handler(load_event("send_webhook.completed"), None) == {"batchItemFailures": []}
    assert scene.neighbours.asked == []


def test_a_cast_that_does_not_exist_ends_in_the_dead_letters(scene: Scene) -> None:
    answer = app.lambda_handler(load_event("send_webhook.completed"), None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": MESSAGE}]}
