"""The caster's own address is told how the cast ended, signed both ways."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest

from spellcast.domain import standard_webhooks
from spellcast.domain.documents import to_text
from tests.cloud import Cloud, Document, Listener, called, words
from tests.receiver import receiving

SECRET = "s3cr3t"


def test_a_completed_cast(cloud: Cloud) -> None:
    with receiving() as receiver:
        cast = cloud.cast(cloud.spell(words()), webhookUrl=receiver.url, webhookSecret=SECRET)
        headers, body = receiver.next()
    told = json.loads(body)
    assert list(told) == [
        "event",
        "castId",
        "spellId",
        "spellSlug",
        "status",
        "generationIds",
        "costUsd",
        "startedAt",
        "completedAt",
        "finalOutputs",
        "signature",
    ]
    assert (told["event"], told["castId"], told["finalOutputs"]) == (
        "spell.completed",
        cast["castId"],
        {"text": "a cat!"},
    )
    signature = told.pop("signature")
    assert signature == hmac.new(SECRET.encode(), to_text(told).encode(), hashlib.sha256).hexdigest()
    assert headers["x-webhook-signature"] == f"sha256={signature}"
    standard_webhooks.verify(SECRET, headers, body, datetime.now(UTC))


def test_a_failed_cast(cloud: Cloud) -> None:
    with receiving() as receiver:
        cast = cloud.cast(cloud.spell(called("[fault:refuse]")), webhookUrl=receiver.url)
        headers, body = receiver.next()
    told = json.loads(body)
    assert (told["event"], told["castId"], told["status"]) == ("spell.failed", cast["castId"], "failed")
    assert told["error"]["code"] == "PROVIDER_REFUSED" and told["error"]["message"]
    assert "signature" not in told and "x-webhook-signature" not in headers


def delivered(listener: Listener, cast: Document) -> Document:
    """How the delivery of the cast's webhook ended, as it is announced."""
    ended = listener.until(
        lambda message: (
            message["type"] == "castUpdate"
            and message["payload"]["castId"] == cast["castId"]
            and message["payload"].get("delivery", {}).get("deliveryStatus") in ("sent", "failed")
        )
    )
    delivery: Document = ended["payload"]["delivery"]
    assert delivery.pop("deliveryTimestamp")
    return delivery


def queue_url(cloud: Cloud, name: str) -> str:
    found = cloud.aws("cloudformation").describe_stack_resource(StackName="spellcast-local", LogicalResourceId=name)
    return str(found["StackResourceDetail"]["PhysicalResourceId"])


def dead_letter(cloud: Cloud, cast: Document) -> str:
    """The cast's message, out of the dead-letter queue."""
    queue_of_the_dead = queue_url(cloud, "WebhookDeadLetterQueue")
    found = cloud.aws("sqs").receive_message(QueueUrl=queue_of_the_dead, WaitTimeSeconds=10)["Messages"]
    (message,) = found
    assert json.loads(message["Body"])["detail"]["castId"] == cast["castId"]
    cloud.aws("sqs").delete_message(QueueUrl=queue_of_the_dead, ReceiptHandle=message["ReceiptHandle"])
    return str(message["Body"])


def test_a_receiver_that_recovers_is_told_at_the_second_attempt(cloud: Cloud) -> None:
    with receiving(refusals=1) as receiver, cloud.listening() as listener:
        cast = cloud.cast(cloud.spell(words()), webhookUrl=receiver.url, webhookSecret=SECRET)
        assert delivered(listener, cast) == {"deliveryStatus": "sent", "deliveryAttempts": 2}
        (first, body), (second, again) = receiver.next(), receiver.next()
    assert (first["webhook-id"], body) == (second["webhook-id"], again)
    found = cloud.get_cast(cast)["delivery"]
    assert (found["deliveryStatus"], found["deliveryAttempts"]) == ("sent", 2)


def test_after_three_attempts_the_record_says_why_and_the_dead_letter_can_be_sent_again(cloud: Cloud) -> None:
    with receiving(refusals=3) as receiver, cloud.listening() as listener:
        cast = cloud.cast(cloud.spell(words()), webhookUrl=receiver.url, webhookSecret=SECRET)
        assert delivered(listener, cast) == {
            "deliveryStatus": "failed",
            "deliveryAttempts": 3,
            "deliveryError": "Webhook returned 500: err",
        }
        assert len({receiver.next()[0]["webhook-id"] for _ in range(3)}) == 1
        letter = dead_letter(cloud, cast)
        assert receiver.calls.empty()
        cloud.aws("sqs").send_message(QueueUrl=queue_url(cloud, "WebhookQueue"), MessageBody=letter)
        assert delivered(listener, cast) == {"deliveryStatus": "sent", "deliveryAttempts": 4}
        receiver.next()
        assert receiver.calls.empty()
    found = cloud.get_cast(cast)
    # Closed, given up, told: each is a revision, and none of the last two called the caster again.
    updates = {update["revision"]: update for update in listener.of(cast, "castUpdate")}
    assert [updates[revision].get("delivery", {}).get("deliveryStatus") for revision in sorted(updates)][-3:] == [
        *("pending", "failed", "sent"),
    ]
    assert (found["status"], max(updates)) == ("completed", found["revision"])


def test_a_slow_receiver_holds_up_nobody(cloud: Cloud) -> None:
    spell = cloud.spell(words())
    with receiving() as slow, receiving() as quick, cloud.listening() as listener:
        slow.free.clear()
        held_up = cloud.cast(spell, webhookUrl=slow.url)
        slow.next()
        cast = cloud.cast(spell, webhookUrl=quick.url)
        assert delivered(listener, cast)["deliveryStatus"] == "sent"
        assert cloud.get_cast(held_up)["delivery"] == {"deliveryStatus": "pending"}
        slow.free.set()
        assert delivered(listener, held_up)["deliveryStatus"] == "sent"


@pytest.mark.parametrize("url", ["https://10.0.0.1/hook", "https://metadata.google.internal/", "ftp://example.org/"])
def test_an_address_that_must_not_be_called_is_refused_at_once(cloud: Cloud, url: str) -> None:
    spell = cloud.spell(words())
    answer = cloud.api.post("/v1/casts", json={"spell": spell["spellId"], "webhookUrl": url})
    assert answer.status_code == 400
    assert [fault["path"] for fault in answer.json()["error"]["details"]] == ["webhookUrl"]
