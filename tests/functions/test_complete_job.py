"""A provider's callback, and a completion from the bus."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from functions.complete_job import app
from spellcast.domain import callback_tokens, standard_webhooks
from spellcast.domain.errors import GenerationNotFound, InvalidInput
from tests.functions.scene import CAST, PROVIDER_WEBHOOK_SECRET, SIGNING_KEY, TASK_TOKEN, Scene, load_event, now


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


@pytest.mark.parametrize(
    "output", ['{"a":1e999}', r'"\ud800"', "9" * 4_301, "1e" + "9" * 1_000, '{"a":' * 10_000 + "1" + "}" * 10_000]
)
def test_a_result_that_cannot_be_stored_is_a_4xx(waiting: Scene, output: str) -> None:
    assert invoke(callback(f'{{"status":"succeeded","output":{output}}}'))[0] == 400


def test_a_stale_signature_is_refused(waiting: Scene) -> None:
    before = waiting.rows()
    status, answer = invoke(load_event("complete_job.replicate_callback"))
    assert (status, answer["error"]["code"]) == (401, "INVALID_SIGNATURE")
    assert waiting.rows() == before


def test_names_of_a_callbacks_headers_have_no_case(waiting: Scene) -> None:
    event = callback()
    event["headers"] = {name.title(): value for name, value in event["headers"].items()}
    assert invoke(event) == (200, {"generationId": f"{CAST}.2.1"})


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


# Poison: what is documented in docs/security.md, never a 5xx, and nothing is changed.

DONE: dict[str, Any] = {"id": "job-of-step-2", "status": "succeeded", "output": ["https://o.example/1.png"]}
LARGEST = 1_000_000
BOBS_CAST = "b0b" + CAST[3:]


def signed(
    body: bytes,
    *,
    age: int = 0,
    secret: str = PROVIDER_WEBHOOK_SECRET,
    message_id: str = "msg_1",
    token: str | None = None,
    **headers: str | None,
) -> dict[str, Any]:
    """A callback of Replicate's; a header of None is left out."""
    event = load_event("complete_job.replicate_callback")
    event |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    if token is not None:
        event["pathParameters"] = {"token": token}
    sent = standard_webhooks.sign(secret, message_id, now() - timedelta(seconds=age), body)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    event["headers"] = {
        name: value for name, value in {**event["headers"], **sent, **given}.items() if value is not None
    }
    return event


def told_as(document: Any = DONE) -> bytes:
    return json.dumps(document).encode()


def padded(size: int) -> bytes:
    return told_as() + b" " * (size - len(told_as()))


def nested(levels: int, key: str = "output") -> bytes:
    head, _, tail = told_as({**DONE, key: "HERE"}).partition(b'"HERE"')
    return head + b"[" * levels + b"]" * levels + tail


def token_of(generation_id: str, *, late_hours: float = 0, secret: str = SIGNING_KEY) -> str:
    return callback_tokens.sign(generation_id, now() - timedelta(hours=late_hours), secret)


UNREADABLE: dict[str, Callable[[], dict[str, Any]]] = {
    "1 MB of no JSON": lambda: signed(b"x" * LARGEST),
    "1 MB of one number": lambda: signed(b'{"status":"succeeded","id":' + b"9" * 900_000 + b"}"),
    "1 MB of brackets": lambda: signed(b"[" * LARGEST),
    **{
        f"{levels} levels in {key}": partial(lambda levels, key: signed(nested(levels, key)), levels, key)
        for levels in (101, 500, 900, 990, 1_000, 10_000, 400_000)
        for key in ("output", "status")
    },
    "an empty body": lambda: signed(b""),
    "no UTF-8": lambda: signed(b'{"status": "succeeded", "output": "\xff\xfe"}'),
    "UTF-16": lambda: signed(json.dumps(DONE).encode("utf-16")),
    "half a surrogate": lambda: signed(rb'{"status": "succeeded", "output": "\ud800"}'),
    "a list": lambda: signed(b"[]"),
    "null": lambda: signed(b"null"),
    "NaN": lambda: signed(b'{"status": "succeeded", "output": NaN}'),
    "a form": lambda: signed(b"status=succeeded", content_type="application/x-www-form-urlencoded"),
    "no status": lambda: signed(told_as({"id": "job-of-step-2"})),
}
NOT_THE_PROVIDERS: dict[str, Callable[[], dict[str, Any]]] = {
    "no signature": lambda: signed(told_as(), webhook_signature=None),
    "an empty signature": lambda: signed(told_as(), webhook_signature=""),
    "a wrong signature": lambda: signed(told_as(), webhook_signature="v1,AAAA"),
    "no text for a signature": lambda: signed(told_as(), webhook_signature="v1,\udcff ü"),
    "a version that is unknown": lambda: signed(told_as(), webhook_signature="v2,AAAA"),
    "another's secret": lambda: signed(told_as(), secret="whsec_b3RoZXI="),
    "the signature of another message": lambda: signed(told_as(), webhook_id="msg_2"),
    "no message id": lambda: signed(told_as(), webhook_id=None),
    "no time": lambda: signed(told_as(), webhook_timestamp=None),
    "a time in words": lambda: signed(told_as(), webhook_timestamp="now"),
    "a time without end": lambda: signed(told_as(), webhook_timestamp="9" * 5_000),
    "302 s old": lambda: signed(told_as(), age=302),
    "302 s ahead": lambda: signed(told_as(), age=-302),
    "another job's": lambda: signed(told_as({**DONE, "id": "job-of-others"})),
    "another tenant's token": lambda: signed(told_as(), token=token_of(f"{BOBS_CAST}.2.1")),
    "a token of another provider's generation": lambda: signed(told_as(), token=token_of(f"{CAST}.1.1")),
}
NOT_OUR_TOKEN: dict[str, Callable[[], dict[str, Any]]] = {
    "of an unknown generation": lambda: signed(told_as(), token=token_of(f"{CAST}.7.1")),
    "of no generation": lambda: signed(told_as(), token=token_of("nonsense")),
    "of a long name": lambda: signed(told_as(), token=token_of("a" * 5_000)),
    "expired": lambda: signed(told_as(), token=token_of(f"{CAST}.2.1", late_hours=24)),
    "of another key": lambda: signed(told_as(), token=token_of(f"{CAST}.2.1", secret="x")),
    "of 100 KB": lambda: signed(told_as(), token="a" * 100_000),
    "no text": lambda: signed(told_as(), token="\udcff.\udcff"),
    "a service without a shared address": lambda: signed(told_as(), token="replicate"),
}
TOO_LARGE: dict[str, Callable[[], dict[str, Any]]] = {
    "1 MB and 1 byte": lambda: signed(padded(LARGEST + 1)),
    "4 MB": lambda: signed(padded(4 * LARGEST)),
}
POISON = {
    **{name: (make, 413, "PAYLOAD_TOO_LARGE") for name, make in TOO_LARGE.items()},
    **{name: (make, 400, "PROVIDER_ANSWER_INVALID") for name, make in UNREADABLE.items()},
    **{name: (make, 401, "INVALID_SIGNATURE") for name, make in NOT_THE_PROVIDERS.items()},
    **{f"a token {name}": (make, 401, "INVALID_TOKEN") for name, make in NOT_OUR_TOKEN.items()},
}


@pytest.mark.parametrize("name", POISON)
def test_poison_is_refused_and_changes_nothing(waiting: Scene, name: str) -> None:
    make, expected, code = POISON[name]
    event = make()
    waiting.add_cast(cast_id=BOBS_CAST, account_id="bob")
    waiting.add_generation(2, cast_id=BOBS_CAST, account_id="bob", run_id="job-of-bob")
    before = waiting.rows()
    status, answer = invoke(event)
    assert (status, answer["error"]["code"]) == (expected, code)
    assert waiting.rows() == before
    assert told(waiting) == []
    assert event["pathParameters"]["token"] not in waiting.log.getvalue()


@pytest.mark.parametrize("body", [padded(LARGEST), nested(98)], ids=["1 MB", "98 levels"])
def test_what_is_just_not_poison_is_taken(waiting: Scene, body: bytes) -> None:
    assert invoke(signed(body))[0] == 200
    assert waiting.generation(2).result is not None


@pytest.mark.parametrize("age", [297, -297])
def test_a_clock_may_be_five_minutes_off(waiting: Scene, age: int) -> None:
    assert invoke(signed(told_as(), age=age))[0] == 200


def test_what_is_sent_with_another_content_type_is_judged_by_its_body(waiting: Scene) -> None:
    """A provider's signature is about bytes; what it calls them decides nothing."""
    assert invoke(signed(told_as(), content_type="text/html"))[0] == 200


def test_a_replayed_message_changes_nothing(waiting: Scene) -> None:
    assert invoke(signed(told_as()))[0] == 200
    before = waiting.rows()
    for again in (
        signed(told_as()),
        signed(told_as({**DONE, "output": ["https://o.example/2.png"]})),
        signed(told_as({**DONE, "status": "failed", "error": "no"}), message_id="msg_3"),
    ):
        assert invoke(again)[0] == 200
    assert waiting.rows() == before


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
