"""What nobody drives any more is found and mended, with what the role allows; and reported."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from functions.sweep import app
from spellcast.domain import documents
from tests.functions.scene import ACCOUNT, CAST, SEGMENTS, WEBHOOK_QUEUE, Scene, load_event, now

AGES_AGO = timedelta(hours=1)


@dataclass
class Context:
    """Lambda's, as far as it is asked."""

    remaining: int = 80_000

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining


def sweep(name: str = "sweep.scheduled", **context: Any) -> dict[str, int]:
    """What was mended: the counts that are not zero."""
    counts = app.lambda_handler(load_event(name), Context(**context))
    return {name: count for name, count in counts.items() if count}


def executions(scene: Scene, status: str, **more: str) -> None:
    described = {"executionArn": "x", "stateMachineArn": "x", "startDate": 0, "status": status, **more}
    scene.neighbours.executions[CAST] = (200, described)


def test_a_cast_whose_machine_was_never_started_is_started_with_all_of_its_segments(scene: Scene) -> None:
    scene.add_spell()
    scene.add_cast(started_at=now() - AGES_AGO)
    assert sweep() == {"checked": 1, "started": 1}
    [started] = scene.neighbours.told("StartExecution")
    assert (started["name"], json.loads(started["input"])) == (CAST, {"castId": CAST, "segments": SEGMENTS})
    assert scene.cast().execution == 1


def test_a_young_cast_is_looked_at_only_where_the_cloud_was_restarted(scene: Scene) -> None:
    scene.add_spell()
    scene.add_cast(started_at=now() - timedelta(seconds=1))
    assert sweep() == {}
    assert sweep("sweep.restarted") == {"checked": 1, "started": 1}


def test_a_cast_that_was_cut_off_goes_on_by_a_further_execution(scene: Scene) -> None:
    scene.add_spell()
    scene.add_cast(started_at=now() - AGES_AGO)
    executions(scene, "FAILED", error="States.ServiceRestart")
    assert sweep() == {"checked": 1, "restarted": 1}
    [started] = scene.neighbours.told("StartExecution")
    assert (started["name"], scene.cast().execution) == (f"{CAST}-2", 2)


def test_a_cast_whose_machine_was_stopped_is_closed(scene: Scene) -> None:
    scene.add_cast(started_at=now() - AGES_AGO)
    scene.add_generation(0, status="completed", cost_usd=Decimal("0.1"))
    executions(scene, "ABORTED")
    assert sweep() == {"checked": 1, "settled": 1}
    failure = scene.cast().failure
    assert failure is not None
    assert (failure.code, scene.cast().cost_usd) == ("CAST_INTERRUPTED", Decimal("0.1"))


def test_a_cast_past_its_deadline_is_closed_its_job_asked_to_stop_and_so_is_its_machine(scene: Scene) -> None:
    scene.add_cast(started_at=now() - AGES_AGO, deadline_at=now())
    scene.add_generation(2)
    cancel = "/v1/predictions/job-of-step-2/cancel"
    scene.neighbours.answers[cancel] = (200, {})
    assert sweep() == {"checked": 1, "overdue": 1, "settled": 1}
    failure = scene.cast().failure
    assert failure is not None
    assert (failure.code, failure.step_index) == ("TIMED_OUT", 2)
    assert f"POST {cancel}" in scene.neighbours.lines("/v1/predictions/")
    [stopped] = scene.neighbours.told("StopExecution")
    assert stopped["executionArn"].endswith(f":execution:spellcast-cast-test:{CAST}")


def test_a_webhook_of_which_nothing_was_heard_is_queued_as_send_webhook_reads_it(scene: Scene) -> None:
    ended = {"status": "completed", "completed_at": now() - AGES_AGO, "webhook_url": "https://caster.example/"}
    scene.add_cast(started_at=now() - 2 * AGES_AGO, **ended)
    assert sweep() == {"checked": 1, "redelivered": 1}
    [sent] = scene.neighbours.told("SendMessage")
    assert sent["QueueUrl"] == WEBHOOK_QUEUE
    assert documents.from_text(sent["MessageBody"])["detail"]["castId"] == CAST
    assert sweep() == {}


def test_without_time_nothing_is_begun(scene: Scene) -> None:
    scene.add_cast(started_at=now() - AGES_AGO)
    assert sweep(remaining=app.RESERVE_MS) == {"checked": 1, "left": 1}
    assert scene.neighbours.told("StartExecution") == []


def test_what_was_found_is_in_the_log_and_what_could_not_be_mended_with_its_code(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.add_cast(started_at=now() - AGES_AGO)
    assert sweep() == {"checked": 1, "left": 1}
    *_, summary = scene.entries()
    assert summary["failures"] == [[CAST, "SPELL_NOT_FOUND"]]
    mended = {"started": 0, "restarted": 0, "settled": 0, "redelivered": 0}
    assert summary["swept"] == {"checked": 1, "overdue": 0, **mended, "left": 1}
    metrics = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (metrics["SweepChecked"], metrics["SweepLeft"], metrics["SweepStarted"], metrics["SweepOverdue"]) == (
        [1.0],
        [1.0],
        [0.0],
        [0.0],
    )
    assert ACCOUNT not in scene.log.getvalue()
