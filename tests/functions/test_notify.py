"""What leaves the table's stream reaches WebSockets and the bus."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from functions.notify import app
from spellcast import bootstrap
from spellcast.ports.store import Connection
from tests.functions.scene import ACCOUNT, CAST, CONNECTION, Scene, load_event, now


@pytest.fixture
def watched(scene: Scene) -> Scene:
    """An account with an open WebSocket."""
    opened = now() - timedelta(minutes=1)
    scene.access.put_connection(Connection(CONNECTION, ACCOUNT, opened, opened + timedelta(hours=2)))
    return scene


def posts(scene: Scene) -> list[Any]:
    return [item.json for item in scene.neighbours.asked if item.path.startswith("/live/")]


def paths(scene: Scene) -> set[str]:
    return {item.path for item in scene.neighbours.asked if item.path.startswith("/live/")}


def test_a_generation_and_its_cast_are_pushed_and_published_in_order(watched: Scene) -> None:
    event = load_event("notify.cast_completed")
    assert app.lambda_handler(event, None) == {"batchItemFailures": []}
    assert [(post["type"], post["payload"]["revision"]) for post in posts(watched)] == [
        ("generationUpdate", 4),
        ("castUpdate", 2),
    ]
    assert {post["payload"]["castId"] for post in posts(watched)} == {CAST}
    published = watched.published()
    assert [(item["detail-type"], item["detail"]["revision"]) for item in published] == [
        ("Generation Updated", 4),
        ("Cast Updated", 2),
    ]
    (webhook,) = watched.published("WebhookRule")
    assert webhook["detail"]["castId"] == CAST
    assert "webhookSecret" not in json.dumps(published)
    # At least once: the same batch again is told again, and nothing is stored.
    before = watched.rows()
    watched.restart()
    assert app.lambda_handler(event, None) == {"batchItemFailures": []}
    assert len(posts(watched)) == 4
    assert watched.rows() == before


def test_the_queued_event_is_the_one_that_send_webhook_is_tested_with(watched: Scene) -> None:
    app.lambda_handler(load_event("notify.cast_completed"), None)
    (webhook,) = watched.published("WebhookRule")
    (record,) = load_event("send_webhook.completed")["Records"]
    assert webhook["detail"] == json.loads(record["body"])["detail"]


def test_a_cast_without_a_webhook_is_not_queued(watched: Scene) -> None:
    event = load_event("notify.cast_completed")
    del event["Records"][1]["dynamodb"]["NewImage"]["webhookUrl"]
    app.lambda_handler(event, None)
    assert watched.published("WebhookRule") == []
    assert len(watched.published()) == 2


def test_an_open_connection_is_acknowledged(scene: Scene) -> None:
    event = load_event("notify.connection_opened")
    for _ in range(2):
        assert app.lambda_handler(event, None) == {"batchItemFailures": []}
    assert [post["type"] for post in posts(scene)] == ["connection_ack"] * 2
    assert scene.published() == []


def test_a_connection_that_is_gone_is_forgotten_and_the_bus_told(watched: Scene) -> None:
    app.lambda_handler(load_event("notify.cast_completed"), None)
    for path in paths(watched):
        watched.neighbours.answers[path] = (410, {"message": "gone"})
    assert app.lambda_handler(load_event("notify.cast_completed"), None) == {"batchItemFailures": []}
    assert watched.access.list_connections(ACCOUNT) == []
    assert len(watched.published()) == 4


def test_a_connection_that_takes_nothing_silences_nobody(watched: Scene) -> None:
    opened = now() - timedelta(minutes=1)
    watched.access.put_connection(Connection("zz=", ACCOUNT, opened, opened + timedelta(hours=2)))
    slow = "/live/@connections/" + quote(CONNECTION)
    watched.neighbours.answers[slow] = (429, {"message": "its buffer is full"})
    assert app.lambda_handler(load_event("notify.cast_completed"), None) == {"batchItemFailures": []}
    assert [item.json["type"] for item in watched.neighbours.asked if item.path.endswith(quote("zz="))] == [
        "generationUpdate",
        "castUpdate",
    ]
    # Each message twice, at once; then its client is to connect anew.
    assert [item.method for item in watched.neighbours.asked if item.path == slow] == ["POST", "POST", "DELETE"] * 2
    assert len(watched.published("WebhookRule")) == 1
    assert len(watched.access.list_connections(ACCOUNT)) == 2
    assert [entry["connections"] for entry in watched.entries()] == [{CONNECTION: "429"}] * 2


def test_a_post_is_waited_for_two_seconds_and_repeated_by_nobody_but_us(scene: Scene) -> None:
    config: Any = bootstrap.parts().connections.meta.config
    assert (config.connect_timeout, config.read_timeout, config.retries["total_max_attempts"]) == (1, 2, 1)


def test_those_from_the_first_failure_on_are_delivered_again(watched: Scene) -> None:
    event = load_event("notify.cast_completed")
    watched.dynamodb.delete_table(TableName=watched.table.name)
    first = event["Records"][0]["dynamodb"]["SequenceNumber"]
    assert app.lambda_handler(event, None) == {"batchItemFailures": [{"itemIdentifier": first}]}
    # The bus does not wait for the connections to be known; it is told again, and its receivers know the revision.
    assert [item["detail-type"] for item in watched.published()] == ["Generation Updated"]


def test_a_failure_of_the_second_leaves_the_first_delivered(watched: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    event = load_event("notify.cast_completed")
    told: list[object] = []

    def fail_at_the_second(written: object) -> None:
        told.append(written)
        if len(told) == 2:
            raise ConnectionError("the bus is away")

    monkeypatch.setattr(bootstrap, "notify", lambda: fail_at_the_second)
    second = event["Records"][1]["dynamodb"]["SequenceNumber"]
    assert app.lambda_handler(event, None) == {"batchItemFailures": [{"itemIdentifier": second}]}


def test_a_failure_is_logged_with_its_cast(watched: Scene) -> None:
    watched.dynamodb.delete_table(TableName=watched.table.name)
    app.lambda_handler(load_event("notify.cast_completed"), None)
    (entry,) = watched.entries()
    assert entry["castId"] == CAST


def test_what_lies_in_the_bucket_is_not_read_and_holds_up_nobody_where_it_is_lost(watched: Scene) -> None:
    event = load_event("notify.cast_completed")
    for record, name in zip(event["Records"], ("responsePayload", "outputs"), strict=True):
        record["dynamodb"]["NewImage"][name] = {"S": "s3:documents/not/there.json"}
    assert app.lambda_handler(event, None) == {"batchItemFailures": []}
    told = posts(watched)
    assert [("outputs" in post["payload"], post["truncated"]) for post in told] == [(False, True)] * 2
    for item in watched.published():
        assert not {"outputs", "responsePayload"} & item["detail"].keys()
        assert item["detail"]["truncated"] is True
    # Its caster is called all the same.
    assert len(watched.published("WebhookRule")) == 1


def test_a_record_that_cannot_be_read_is_reported_by_its_number(watched: Scene) -> None:
    event = load_event("notify.cast_completed")
    image = event["Records"][1]["dynamodb"]["NewImage"]
    image["outputs"] = {"S": "{"}
    second = event["Records"][1]["dynamodb"]["SequenceNumber"]
    assert app.lambda_handler(event, None) == {"batchItemFailures": [{"itemIdentifier": second}]}
