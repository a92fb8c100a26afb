"""The HTTP API against its real store."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from functions.cast_api import app
from spellcast.aws.clock import SystemClock
from spellcast.aws.history_store import DynamoHistoryStore
from spellcast.catalog import built_in_tools
from spellcast.domain.history import Run
from spellcast.domain.results import ToolResult
from tests.functions.scene import (
    ACCOUNT,
    API_KEY,
    CAST,
    PROMPT,
    SEGMENTS,
    TASK_TOKEN,
    WEBHOOK_SECRET,
    Scene,
    load_event,
    now,
)
from tests.unit.api.caller import Context


def get(path: str, query: dict[str, str] | None = None) -> dict[str, Any]:
    """An event like the example's, without a body."""
    event = load_event("cast_api.create_cast")
    del event["body"]
    event["requestContext"]["http"] |= {"method": "GET", "path": path}
    return {**event, "rawPath": path, "queryStringParameters": query or {}}


def invoke(event: dict[str, Any]) -> tuple[int, Any]:
    answer = app.lambda_handler(event, Context())
    assert json.dumps(answer)
    return answer["statusCode"], json.loads(answer["body"])


def test_a_cast_is_written_and_its_machine_started_once(scene: Scene) -> None:
    scene.add_spell()
    status, cast = invoke(load_event("cast_api.create_cast"))
    assert (status, cast.pop("warnings")) == (202, [])
    stored = scene.casts.get_cast(cast["castId"])
    assert stored is not None
    assert (stored.account_id, stored.inputs["prompt"], stored.metadata) == (ACCOUNT, PROMPT, {"cookId": "cook-1"})
    before = scene.rows()
    scene.restart()
    status, again = invoke(load_event("cast_api.create_cast"))
    assert (status, again) == (200, cast)
    assert scene.rows() == before
    assert scene.neighbours.started == {cast["castId"]}
    started = scene.neighbours.told("StartExecution")
    assert [json.loads(item["input"]) for item in started] == [{"castId": cast["castId"], "segments": SEGMENTS}] * 2


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"/v1/casts/{CAST}", CAST),
        (f"/v1/casts/{CAST}/graph", CAST),
        (f"/v1/generations/{CAST}.0.1", CAST),
        (f"/v1/casts/{CAST}0", None),
        ("/v1/casts", None),
        (f"/v1/spells/{CAST}", None),
    ],
)
def test_a_request_about_a_cast_has_its_id_in_every_line(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, path: str, expected: str | None
) -> None:
    def fail(*_: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr("spellcast.aws.table.Table.get", fail)
    with pytest.raises(Exception, match="its text is withheld"):
        app.lambda_handler(get(path), Context())
    entries = scene.entries()
    assert entries
    assert {entry.get("castId") for entry in entries} == {expected}


def test_a_cast_that_could_not_be_started_is_closed_and_says_so_to_the_repeat(scene: Scene) -> None:
    scene.add_spell()
    scene.neighbours.answers["/"] = (400, {"__type": "StateMachineDeleting", "message": "not now"})
    assert invoke(load_event("cast_api.create_cast"))[0] == 500
    scene.neighbours.answers.clear()
    status, cast = invoke(load_event("cast_api.create_cast"))
    assert (status, cast["status"], cast["failure"]["code"]) == (200, "failed", "CAST_INTERRUPTED")
    assert scene.neighbours.started == set()


def test_a_cancel_is_one_write_that_the_stream_announces(scene: Scene) -> None:
    scene.add_cast()
    status, cast = invoke(load_event("cast_api.cancel_cast"))
    assert (status, cast["castId"], cast["status"]) == (202, CAST, "running")
    assert cast["cancelRequestedAt"] == cast["updatedAt"]
    scene.restart()
    status, again = invoke(load_event("cast_api.cancel_cast"))
    assert (status, again["cancelRequestedAt"]) == (202, cast["cancelRequestedAt"])
    assert scene.neighbours.asked == []


@pytest.mark.parametrize(
    ("event", "overrides"),
    [("cast_api.resume_cast", {}), ("cast_api.retry_step", {"n1": {"input_prompt": PROMPT}})],
)
def test_an_ended_cast_goes_on_as_a_new_execution_once(scene: Scene, event: str, overrides: dict[str, Any]) -> None:
    scene.add_spell()
    scene.add_cast(status="failed", failed_at=now())
    scene.add_generation(0, status="completed", result=ToolResult("succeeded"))
    scene.add_generation(1, status="failed")
    status, cast = invoke(load_event(event))
    assert (status, cast["status"], cast["stepGenerationIds"]) == (202, "running", [f"{CAST}.0.1"])
    assert cast.get("stepOverrides", {}) == overrides
    before = scene.rows()
    scene.restart()
    assert invoke(load_event(event)) == (202, cast)
    assert scene.rows() == before
    stored = scene.cast()
    assert (stored.execution, stored.attempt, stored.first_step, stored.overrides) == (2, 2, 1, overrides)
    started = [(item["name"], json.loads(item["input"])) for item in scene.neighbours.told("StartExecution")]
    segments = [[1, 1, 2, SEGMENTS[0][3] - 60], [2, 2, 2, SEGMENTS[1][3]]]
    assert started == [(f"{CAST}-2", {"castId": CAST, "segments": segments})] * 2


def test_a_wrong_cast_names_its_faults_and_writes_nothing(scene: Scene) -> None:
    scene.add_spell()
    before = scene.rows()
    for _ in range(2):
        status, answer = invoke(load_event("cast_api.invalid_cast"))
        assert status == 400
        assert sorted(fault["path"] for fault in answer["error"]["details"]) == ["budgetUsd", "colour", "inputs"]
    assert scene.rows() == before
    assert scene.neighbours.asked == []


def test_health_needs_neither_credentials_nor_the_store(scene: Scene) -> None:
    assert [invoke(load_event("cast_api.health"))[0] for _ in range(2)] == [200, 200]


def test_a_wrong_key_is_refused(scene: Scene) -> None:
    scene.add_cast()
    event = get(f"/v1/casts/{CAST}")
    assert invoke(event)[0] == 200
    event["headers"]["x-api-key"] = API_KEY[:-1]
    assert invoke(event)[0] == 401


def test_spells_tools_casts_and_tickets_come_from_the_store(scene: Scene) -> None:
    scene.add_spell()
    scene.add_cast()
    scene.add_generation(0)
    paths = [
        "/v1/spells",
        "/v1/spells/fox",
        "/v1/casts",
        f"/v1/casts/{CAST}",
        f"/v1/generations/{CAST}.0.1",
        "/v1/tools",
    ]
    for path in (*paths, "/v1/tools/string-primitive"):
        assert invoke(get(path))[0] == 200, path
    event = get("/v1/realtime/ticket")
    event["requestContext"]["http"]["method"] = "POST"
    status, ticket = invoke(event)
    assert status == 201
    assert ticket["url"] == f"wss://socket.example/live?ticket={ticket['ticket']}"


def test_a_spell_is_quoted_from_the_definitions_and_then_from_the_history(scene: Scene) -> None:
    scene.add_spell()
    event = get("/v1/spells/fox/quote")
    event["requestContext"]["http"]["method"] = "POST"
    status, quote = invoke(event)
    assert (status, {step["basis"] for step in quote["breakdown"]}) == (200, {"model"})
    run = Run("comfyui-text-to-image", 3, Decimal("0.5"), 700, now())
    DynamoHistoryStore(scene.table, built_in_tools().keys()).record_runs("x", [run])
    steps = {step["toolId"]: step for step in invoke(event)[1]["breakdown"]}
    drawn = steps["comfyui-text-to-image"]
    assert (drawn["costUsd"], drawn["runtimeMs"], drawn["basis"]) == ("0.5", 700, "history")


@pytest.mark.parametrize("path", ["/v1/casts", "/v1/spells"])
def test_a_cursor_with_a_slash_is_refused(scene: Scene, path: str) -> None:
    cursor = base64.urlsafe_b64encode(b"2026-01-31T12:00:00.000Z#a/b").decode()
    assert invoke(get(path, {"cursor": cursor}))[0] == 400


def test_a_text_that_is_no_unicode_is_refused(scene: Scene) -> None:
    scene.add_spell()
    event = load_event("cast_api.create_cast")
    event["body"] = r'{"spell":"fox","inputs":{"prompt":"\ud800"}}'
    assert invoke(event)[0] == 400


def test_a_failure_is_answered_in_the_common_shape_and_logged_without_what_was_asked(scene: Scene) -> None:
    scene.add_spell()
    scene.neighbours.answers["/"] = (400, {"__type": "StateMachineDeleting", "message": "not now"})
    status, answer = invoke(load_event("cast_api.create_cast"))
    assert (status, answer["error"]["code"]) == (500, "INTERNAL_ERROR")
    (entry,) = scene.entries()
    assert (entry["level"], entry["exception_name"]) == ("ERROR", "StateMachineDeleting")


def test_the_internal_key_opens_the_internal_routes_and_a_casters_key_does_not(scene: Scene) -> None:
    event = load_event("cast_api.internal_create_event")
    status, logged = invoke(event)
    assert (status, logged["masterAccountId"]) == (201, ACCOUNT)
    found = load_event("cast_api.internal_list_generations") | {"rawPath": f"{event['rawPath']}/{logged['_id']}"}
    assert invoke({**found, "queryStringParameters": {}})[1] == logged
    before = scene.rows()
    del event["headers"]["x-internal-client-key"]
    event["headers"]["x-api-key"] = API_KEY
    assert invoke(event)[0] == 401
    event["headers"]["x-internal-client-key"] = API_KEY
    assert invoke(event)[0] == 403
    assert scene.rows() == before


def test_records_are_listed_as_the_internal_callers_ask(scene: Scene) -> None:
    scene.add_cast()
    scene.add_generation(0, status="completed", result=ToolResult("succeeded"))
    scene.add_generation(1)
    status, answer = invoke(load_event("cast_api.internal_list_generations"))
    record = {"_id": f"{CAST}.1.1", "status": "processing", "metadata": {"run_id": "job-of-step-1"}}
    assert (status, answer) == (200, {"generations": [record]})


def test_a_result_that_is_put_answers_the_waiting_machine_once_more_when_it_is_repeated(scene: Scene) -> None:
    scene.add_spell()
    scene.add_cast()
    scene.add_generation(2)
    first = invoke(load_event("cast_api.internal_complete_generation"))
    stored = scene.generation(2)
    assert (first[0], stored.result and stored.result.status) == (200, "succeeded")
    scene.restart()
    assert invoke(load_event("cast_api.internal_complete_generation")) == first
    assert scene.generation(2) == stored
    answered = [told["taskToken"] for told in scene.neighbours.told("SendTaskSuccess")]
    assert answered == [TASK_TOKEN] * 2


def test_a_tool_that_nobody_runs_is_answered_after_20_seconds(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(0, 600, 7))
    began = now()
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr(SystemClock, "now", lambda self: began + timedelta(seconds=next(moments)))
    status, answer = invoke(load_event("cast_api.internal_execute"))
    assert (status, answer["status"], answer["service"]) == (202, "processing", "string")
    assert answer["generationId"].partition(".")[0] in scene.neighbours.started


def test_the_originals_way_to_cast_is_one_cast_however_often_it_comes(scene: Scene) -> None:
    scene.add_spell()
    answers = [invoke(load_event("cast_api.internal_cast_spell")) for _ in range(2)]
    assert answers[0] == answers[1]
    stored = scene.casts.get_cast(answers[0][1]["castId"])
    assert stored is not None and stored.webhook_secret == WEBHOOK_SECRET
    assert stored.metadata == {"platform": "web-sandbox", "castId": "65f1c0ffee65f1c0ffee0002"}
    assert scene.neighbours.started == {stored.cast_id}


def test_a_cast_is_closed_once(scene: Scene) -> None:
    scene.add_cast()
    scene.add_generation(0)
    assert invoke(load_event("cast_api.internal_close_cast")) == (200, {"ok": True})
    closed = scene.cast()
    assert closed.failure is not None
    assert (closed.status, closed.failure.message) == ("failed", "The collection was stopped.")
    scene.restart()
    assert invoke(load_event("cast_api.internal_close_cast")) == (200, {"ok": True})
    assert scene.cast() == closed
