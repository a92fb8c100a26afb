"""A provider's callback, and a completion from the bus."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import Any

import pytest

from functions.complete_job import app
from spellcast.domain import standard_webhooks
from spellcast.domain.errors import GenerationNotFound, InvalidInput
from tests.functions.scene import CAST, PROVIDER_WEBHOOK_SECRET, TASK_TOKEN, Scene, load_event, now


@pytest.fixture
def waiting(scene: Scene) -> Scene:
    scene.add_spell()
    scene.add_cast()
    scene.add_generation(1)
    scene.add_generation(2)
    return scene


def callback(body: str | None = None) -> dict[str, Any]:
    """The event, signed by the provider today."""
    event = load_event("complete_job.replicate_callback")
    event["body"] = event["body"] if body is None else body
    signed = standard_webhooks.sign(PROVIDER_WEBHOOK_SECRET, "msg_1", now(), event["body"].encode())
    return {**event, "headers": {**event["headers"], **signed}}


def invoke(event: dict[str, Any]) -> tuple[int, Any]:
    answer = app.lambda_handler(event, None)
    assert answer is not None
    return answer["statusCode"], json.loads(answer["body"])


def told(scene: Scene) -> list[str]:
    return [item["taskToken"] for item in scene.neighbours.told("SendTaskSuccess")]


def test_a_callback_is_stored_once_and_answers_each_time(waiting: Scene) -> None:
    assert invoke(callback()) == (200, {"generationId": f"{CAST}.2.1"})
    result = waiting.generation(2).result
    assert result is not None
    assert result.payload[0]["data"]["images"][0]["url"] == "https://replicate.delivery/xezq/fox-0.png"
    before = waiting.rows()
    waiting.restart()
    assert invoke(callback())[0] == 200
    assert waiting.rows() == before
    assert told(waiting) == [TASK_TOKEN] * 2
    assert {entry.get("castId") for entry in waiting.entries()} == {CAST}


def test_a_callback_in_base64_is_the_same(waiting: Scene) -> None:
    event = callback()
    event |= {"body": base64.b64encode(event["body"].encode()).decode(), "isBase64Encoded": True}
    assert invoke(event)[0] == 200


@pytest.mark.parametrize("body", ["", "{", "null", "[]", "\x00", "[" * 100_000, '{"status":"odd"}', '{"status":{}}'])
def test_garbage_with_a_good_signature_is_a_400(waiting: Scene, body: str) -> None:
    before = waiting.rows()
    status, answer = invoke(callback(body))
    assert (status, answer["error"]["code"]) == (400, "PROVIDER_ANSWER_INVALID")
    assert waiting.rows() == before


@pytest.mark.parametrize("output", ['{"a":1e999}', r'"\ud800"'])
def test_a_result_that_cannot_be_stored_is_a_4xx(waiting: Scene, output: str) -> None:
    assert invoke(callback(f'{{"status":"succeeded","output":{output}}}'))[0] == 400


def test_a_stale_signature_is_refused(waiting: Scene) -> None:
    before = waiting.rows()
    status, answer = invoke(load_event("complete_job.replicate_callback"))
    assert (status, answer["error"]["code"]) == (401, "INVALID_SIGNATURE")
    assert waiting.rows() == before


def test_a_forged_token_is_refused(waiting: Scene) -> None:
    before = waiting.rows()
    for _ in range(2):
        status, answer = invoke(load_event("complete_job.forged_token"))
        assert (status, answer["error"]["code"]) == (401, "INVALID_TOKEN")
    assert waiting.rows() == before
    assert told(waiting) == []


def test_the_log_never_holds_the_token(waiting: Scene) -> None:
    event = callback()
    invoke(event)
    invoke(load_event("complete_job.forged_token"))
    assert event["pathParameters"]["token"] not in waiting.log.getvalue()
    assert "forged.token" not in waiting.log.getvalue()


def test_a_completion_from_the_bus_is_applied_once(waiting: Scene) -> None:
    event = load_event("complete_job.job_completed")
    assert app.lambda_handler(event, None) is None
    result = waiting.generation(1).result
    assert result is not None
    assert (result.status, result.cost_usd) == ("succeeded", Decimal("0.0125"))
    assert result.payload == ({"type": "image", "data": event["detail"]["data"]},)
    before = waiting.rows()
    waiting.restart()
    app.lambda_handler(event, None)
    app.lambda_handler({**event, "detail": {**event["detail"], "status": "failed"}}, None)
    assert waiting.rows() == before
    assert {entry.get("castId") for entry in waiting.entries()} == {CAST}


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ({"generationId": "nonsense"}, ["generationId"]),
        ({"status": "done"}, ["status"]),
        ({"type": 7}, ["type"]),
        ({"costUsd": 0.1}, ["costUsd"]),
        ({"costUsd": "-1"}, ["costUsd"]),
        ({"generationId": 1, "status": None, "costUsd": "x"}, ["generationId", "status", "costUsd"]),
    ],
)
def test_a_wrong_completion_names_its_faults_and_changes_nothing(
    waiting: Scene, change: dict[str, Any], paths: list[str]
) -> None:
    event = load_event("complete_job.job_completed")
    before = waiting.rows()
    with pytest.raises(InvalidInput) as refused:
        app.lambda_handler({**event, "detail": {**event["detail"], **change}}, None)
    assert [fault.path for fault in refused.value.faults] == paths
    assert waiting.rows() == before


def test_a_completion_of_nothing_is_an_error_of_the_function(scene: Scene) -> None:
    with pytest.raises(GenerationNotFound):
        app.lambda_handler(load_event("complete_job.job_completed"), None)


def test_an_invocation_is_not_logged_under_the_cast_of_the_one_before(waiting: Scene) -> None:
    app.lambda_handler(load_event("complete_job.job_completed"), None)
    invoke(load_event("complete_job.forged_token"))
    refusal = waiting.entries()[-1]
    assert refusal["message"] == "A callback was refused"
    assert "castId" not in refusal
