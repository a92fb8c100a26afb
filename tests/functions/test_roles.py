"""Budgets, ledgers and large documents, by the functions that reach them: a scene holds every call against its role."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from spellcast.aws.budget_store import DynamoBudgetStore
from spellcast.aws.ledger_store import DynamoLedgerStore
from spellcast.domain.budgets import DailyBudget, Day, Reservation
from spellcast.domain.casts import Closing
from spellcast.domain.documents import MAX_ROW_BYTES
from spellcast.domain.identifiers import job_uuid
from spellcast.domain.results import succeeded
from tests.contract.deployment import BUCKET, TABLE
from tests.functions.scene import ACCOUNT, CAST, WEBHOOK_TOKEN, Scene, load_event, now
from tests.unit.api.caller import Context

TODAY = DailyBudget("2026-01-31", Decimal("1"))
HELD = Reservation(TODAY.day, Decimal("0.05"))
COST = Decimal("0.0125")
SECOND, THIRD = f"{CAST}.1.1", f"{CAST}.2.1"
LARGE = {"text": "x" * MAX_ROW_BYTES}
LONG_AGO = timedelta(hours=1)


class Invocation(Context):
    """One that has just begun."""

    def get_remaining_time_in_millis(self) -> int:
        return 80_000


def invoke(function: str, event: dict[str, Any] | str) -> Any:
    app = importlib.import_module(f"functions.{function}.app")
    content = load_event(f"{function}.{event}") if isinstance(event, str) else event
    return app.lambda_handler(content, Invocation())


def the_day(scene: Scene) -> Day:
    return DynamoBudgetStore(scene.table).get_day(ACCOUNT, TODAY.day)


def booked(scene: Scene) -> list[Decimal]:
    return [row.settled_usd for row in DynamoLedgerStore(scene.table).all_rows(ACCOUNT, start="0", end=None)]


def comfyui(scene: Scene) -> Scene:
    run_id = job_uuid(SECOND)
    scene.neighbours.answers["/prompt"] = (200, {"prompt_id": run_id, "number": 1, "node_errors": {}})
    return scene


class TestBudgets:
    def hold(self, scene: Scene, generation_id: str) -> None:
        DynamoBudgetStore(scene.table).reserve(ACCOUNT, generation_id, HELD, TODAY.most_usd)

    def test_a_step_is_held_for_before_its_job_is_submitted(self, scene: Scene) -> None:
        comfyui(scene).add_spell()
        scene.add_cast(daily_budget=TODAY, budget_usd=Decimal(1))
        invoke("execute_step", "job")
        assert scene.generation(1).run_id == job_uuid(SECOND)
        assert the_day(scene).held.keys() == {SECOND}

    def test_a_step_that_no_day_has_room_for_is_not_submitted(self, scene: Scene) -> None:
        comfyui(scene).add_spell()
        scene.add_cast(daily_budget=replace(TODAY, most_usd=Decimal("0.0000001")))
        invoke("execute_step", "job")
        failure = scene.generation(1).failure
        assert failure is not None
        assert (failure.code, scene.neighbours.lines("/prompt")) == ("BUDGET_EXCEEDED", [])

    def test_what_a_step_has_cost_takes_the_place_of_what_was_expected(self, scene: Scene) -> None:
        scene.add_cast(daily_budget=TODAY)
        scene.add_generation(1, reservation=HELD, result=succeeded("text", {"text": "t"}, cost_usd=COST))
        self.hold(scene, SECOND)
        invoke("process_output", "more_steps")
        assert the_day(scene).held == {SECOND: COST}

    def test_a_closed_cast_is_booked(self, scene: Scene) -> None:
        scene.add_cast(daily_budget=TODAY)
        scene.add_generation(1, reservation=HELD, result=succeeded("text", {"text": "t"}, cost_usd=COST))
        self.hold(scene, SECOND)
        invoke("finalize_cost", "execution_aborted")
        assert (the_day(scene), booked(scene)) == (Day(COST), [COST])

    def test_a_cast_that_the_sweep_closes_is_booked(self, scene: Scene) -> None:
        scene.add_cast(daily_budget=TODAY, started_at=now() - LONG_AGO, deadline_at=now())
        scene.add_generation(1, reservation=HELD, result=succeeded("text", {"text": "t"}, cost_usd=COST))
        self.hold(scene, SECOND)
        assert invoke("sweep", "scheduled")["settled"] == 1
        assert (the_day(scene), booked(scene)) == (Day(COST), [COST])

    def test_a_bill_that_comes_late_is_booked_with_its_day(self, scene: Scene) -> None:
        ended = {"status": "failed", "failed_at": now() - LONG_AGO, "closings": (Closing(1),)}
        scene.add_cast(daily_budget=TODAY, **ended)
        scene.add_generation(1, reservation=HELD, status="failed", task_token=None)
        invoke("complete_job", "job_completed")
        assert (the_day(scene), booked(scene), scene.cast().cost_usd) == (Day(COST), [COST], COST)


def a_large_cast(scene: Scene, **changes: Any) -> None:
    inputs, overrides = LARGE | {"prompt": "p", "input_prompt": "p"}, {"n1": {"input_prompt": LARGE["text"]}}
    scene.add_cast(**{"inputs": inputs, "overrides": overrides, **changes})


def a_segment(scene: Scene) -> None:
    comfyui(scene).add_spell()
    a_large_cast(scene)
    invoke("execute_step", "job")
    # What a retry has set is part of what its provider is asked.
    assert scene.generation(1).request_payload["input_prompt"] == LARGE["text"]


def a_poll(scene: Scene) -> None:
    scene.add_spell()
    a_large_cast(scene)
    scene.add_generation(1, request_payload=LARGE)
    scene.neighbours.answers["/history/job-of-step-1"] = (503, {})
    assert invoke("poll_job", "first_poll")["finished"] is False


def a_result(scene: Scene) -> None:
    scene.add_cast()
    scene.add_generation(1)
    event = load_event("complete_job.job_completed")
    invoke("complete_job", {**event, "detail": {**event["detail"], "type": "text", "data": LARGE}})
    assert scene.generation(1).result is not None


def a_step_to_be_finished(scene: Scene) -> None:
    scene.add_cast()
    scene.add_generation(1, result=succeeded("text", LARGE))
    invoke("process_output", "more_steps")
    assert scene.generation(1).status == "completed"


def a_cast_to_be_closed(scene: Scene) -> None:
    a_large_cast(scene, step_count=3)
    scene.add_generation(2, result=succeeded("text", LARGE))
    invoke("finalize_cost", "execution_aborted")
    assert (scene.generation(2).status, scene.cast().status) == ("completed", "failed")


def an_overdue_cast(scene: Scene) -> None:
    a_large_cast(scene, started_at=now() - LONG_AGO, deadline_at=now())
    scene.add_generation(2, result=succeeded("text", LARGE))
    assert invoke("sweep", "scheduled")["settled"] == 1


def a_webhook(scene: Scene) -> None:
    address = f"{scene.neighbours.url}/hook?token={WEBHOOK_TOKEN}"
    ended = {"status": "completed", "completed_at": now(), "outputs": LARGE, "webhook_url": address}
    a_large_cast(scene, **ended)
    scene.neighbours.answers[f"/hook?token={WEBHOOK_TOKEN}"] = (200, {})
    assert invoke("send_webhook", "completed") == {"batchItemFailures": []}
    (asked,) = [item for item in scene.neighbours.asked if item.path.startswith("/hook")]
    assert asked.json["finalOutputs"]["text"] == LARGE["text"]


def a_subscription(scene: Scene) -> None:
    a_large_cast(scene)
    assert invoke("websocket", "subscribe") == {"statusCode": 200}


def an_answer_over_6_mb(scene: Scene) -> None:
    a_large_cast(scene, outputs={"text": "x" * 6_000_001})
    event = load_event("cast_api.create_cast")
    del event["body"]
    path = f"/v1/casts/{CAST}"
    event["requestContext"]["http"] |= {"method": "GET", "path": path}
    answer = json.loads(invoke("cast_api", {**event, "rawPath": path})["body"])
    assert answer["truncated"] is True
    stored = scene.s3.get_object(Bucket=BUCKET, Key=f"answers/{CAST}/cast-1.json")["Body"].read()
    assert len(json.loads(stored)["outputs"]["text"]) == 6_000_001


LARGE_ONES: dict[str, Callable[[Scene], None]] = {
    "execute_step": a_segment,
    "poll_job": a_poll,
    "complete_job": a_result,
    "process_output": a_step_to_be_finished,
    "finalize_cost": a_cast_to_be_closed,
    "sweep": an_overdue_cast,
    "send_webhook": a_webhook,
    "websocket": a_subscription,
    "cast_api": an_answer_over_6_mb,
}


@pytest.mark.parametrize("function", LARGE_ONES)
def test_large_documents_are_within_reach(scene: Scene, function: str) -> None:
    LARGE_ONES[function](scene)


def test_what_is_announced_is_announced_without_the_bucket(scene: Scene) -> None:
    a_large_cast(scene, outputs=LARGE)
    for item in scene.s3.list_objects_v2(Bucket=BUCKET)["Contents"]:
        scene.s3.delete_object(Bucket=BUCKET, Key=item["Key"])
    key = {"pk": {"S": f"CAST#{CAST}"}, "sk": {"S": "CAST"}}
    image = scene.dynamodb.get_item(TableName=TABLE, Key=key)["Item"]
    record = {"dynamodb": {"Keys": key, "NewImage": image, "SequenceNumber": "1"}}
    assert invoke("notify", {"Records": [record]}) == {"batchItemFailures": []}
    (event,) = scene.published()
    assert (event["detail"]["truncated"], "stepOverrides" in event["detail"]) == (True, False)
