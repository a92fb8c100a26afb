"""One poll against a ComfyUI on loopback."""

from __future__ import annotations

from datetime import timedelta

import pytest

from functions.poll_job import app
from spellcast.ports.store import Connection
from tests.functions.scene import ACCOUNT, CAST, CONNECTION, TASK_TOKEN, Scene, load_event, now

JOB = "job-of-step-1"
FINISHED = {
    JOB: {
        "status": {
            "status_str": "success",
            "completed": True,
            "messages": [["execution_start", {"timestamp": 1000}], ["execution_success", {"timestamp": 3500}]],
        },
        "outputs": {"9": {"images": [{"filename": "fox.png", "subfolder": "", "type": "output"}]}},
    }
}


@pytest.fixture
def running(scene: Scene) -> Scene:
    """A ComfyUI that is at it."""
    scene.add_spell()
    scene.add_cast()
    scene.add_generation(1)
    scene.neighbours.answers |= {
        f"/history/{JOB}": (200, {}),
        "/queue": (200, {"queue_running": [[1, JOB, {}, {}, []]], "queue_pending": []}),
    }
    return scene


def test_a_finished_job_is_stored_and_answers_the_waiting_cast(running: Scene) -> None:
    running.neighbours.answers[f"/history/{JOB}"] = (200, FINISHED)
    answer = app.lambda_handler(load_event("poll_job.first_poll"), None)
    assert (answer["finished"], answer["polls"]) == (True, 1)
    result = running.generation(1).result
    assert result is not None
    assert (result.status, result.duration_ms) == ("succeeded", 2500)
    assert [told["taskToken"] for told in running.neighbours.told("SendTaskSuccess")] == [TASK_TOKEN]
    before = running.rows()
    running.restart()
    assert app.lambda_handler(load_event("poll_job.first_poll"), None) == answer
    assert running.rows() == before
    assert {entry.get("castId") for entry in running.entries()} == {CAST}


def test_a_running_job_is_told_of_and_asked_for_again(running: Scene) -> None:
    opened = now() - timedelta(minutes=1)
    running.access.put_connection(Connection(CONNECTION, ACCOUNT, opened, opened + timedelta(hours=2)))
    before = running.rows()
    for _ in range(2):
        answer = app.lambda_handler(load_event("poll_job.third_poll"), None)
        assert answer == {
            "generationId": f"{CAST}.1.1",
            "polls": 3,
            "misses": 0,
            "waitSeconds": 7,
            "finished": False,
        }
    posts = [item for item in running.neighbours.asked if "/@connections/" in item.path]
    assert [post.json["type"] for post in posts] == ["generationProgress"] * 2
    assert posts[0].json["payload"]["castId"] == CAST
    assert running.rows() == before


def test_a_provider_that_is_down_is_no_news(running: Scene) -> None:
    running.neighbours.answers[f"/history/{JOB}"] = (503, {})
    before = running.rows()
    answer = app.lambda_handler(load_event("poll_job.first_poll"), None)
    assert (answer["finished"], answer["waitSeconds"]) == (False, 3)
    assert running.rows() == before


def test_a_generation_that_does_not_exist_ends_the_polling(scene: Scene) -> None:
    assert app.lambda_handler(load_event("poll_job.first_poll"), None)["finished"] is True
