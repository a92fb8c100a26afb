"""The WebSocket's routes."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from functions.websocket import app
from spellcast.application.watch_casts import MAX_CONNECTIONS
from spellcast.ports.store import Connection
from tests.functions.scene import ACCOUNT, CAST, CONNECTION, Scene, load_event, now

DONE = {"statusCode": 200}


def posts(scene: Scene) -> list[Any]:
    assert all(CONNECTION[:-1] in item.path for item in scene.neighbours.asked)
    return [item.json for item in scene.neighbours.asked]


def test_connecting_remembers_the_connection_and_posts_nothing(scene: Scene) -> None:
    for _ in range(2):
        assert app.lambda_handler(load_event("websocket.connect"), None) == DONE
    (connection,) = scene.access.list_connections(ACCOUNT)
    assert connection.connection_id == CONNECTION
    assert 7190 < (connection.expires_at - connection.connected_at).total_seconds() <= 7200
    assert scene.neighbours.asked == []


def test_one_connection_too_many_is_refused(scene: Scene) -> None:
    for number in range(MAX_CONNECTIONS):
        scene.access.put_connection(Connection(f"open {number}", ACCOUNT, now(), now() + timedelta(hours=2)))
    answer = app.lambda_handler(load_event("websocket.connect"), None)
    assert (answer["statusCode"], json.loads(answer["body"])["error"]["code"]) == (429, "TOO_MANY_CONNECTIONS")
    assert len(scene.access.list_connections(ACCOUNT)) == MAX_CONNECTIONS


def test_disconnecting_forgets_it(scene: Scene) -> None:
    app.lambda_handler(load_event("websocket.connect"), None)
    for _ in range(2):
        assert app.lambda_handler(load_event("websocket.disconnect"), None) == DONE
    assert scene.access.list_connections(ACCOUNT) == []


def test_subscribing_is_answered_with_the_whole_cast(scene: Scene) -> None:
    scene.add_cast()
    scene.add_generation(0)
    before = scene.rows()
    for _ in range(2):
        assert app.lambda_handler(load_event("websocket.subscribe"), None) == DONE
    assert [post["type"] for post in posts(scene)] == ["castSnapshot"] * 2
    assert posts(scene)[0]["payload"]["generations"][0]["generationId"] == f"{CAST}.0.1"
    assert scene.rows() == before


def test_anothers_cast_does_not_exist(scene: Scene) -> None:
    scene.add_cast(account_id="somebody-else")
    app.lambda_handler(load_event("websocket.subscribe"), None)
    (post,) = posts(scene)
    assert (post["type"], post["payload"]["code"]) == ("error", "CAST_NOT_FOUND")


def test_a_ping_is_answered_with_a_pong(scene: Scene) -> None:
    for _ in range(2):
        assert app.lambda_handler(load_event("websocket.ping"), None) == DONE
    assert [post["type"] for post in posts(scene)] == ["pong"] * 2


@pytest.mark.parametrize(
    "body",
    ["", "{", "null", "1", "[]", '{"action":"dance"}', '{"action":"subscribe"}', '{"castId":"x"}', "[" * 50_000, None],
)
def test_everything_else_is_answered_with_what_to_send(scene: Scene, body: str | None) -> None:
    assert app.lambda_handler({**load_event("websocket.ping"), "body": body}, None) == DONE
    (post,) = posts(scene)
    assert (post["type"], post["payload"]["code"]) == ("error", "INVALID_INPUT")


def test_an_answer_to_a_connection_that_is_gone_is_no_error(scene: Scene) -> None:
    app.lambda_handler(load_event("websocket.ping"), None)
    scene.neighbours.answers[scene.neighbours.asked[0].path] = (410, {"message": "gone"})
    assert app.lambda_handler(load_event("websocket.ping"), None) == DONE


def test_no_message_reaches_the_log(scene: Scene) -> None:
    event = {**load_event("websocket.ping"), "body": json.dumps({"action": "sing", "prompt": "a red fox in deep snow"})}
    app.lambda_handler(event, None)
    assert "fox" not in scene.log.getvalue()
