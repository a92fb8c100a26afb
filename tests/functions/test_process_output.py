"""A segment's last step, finished from its stored result."""

from __future__ import annotations

from decimal import Decimal

import pytest

from functions.process_output import app
from spellcast.domain.errors import JobFailed, StepEndedInFailure
from spellcast.domain.results import failed, succeeded
from tests.contract.deployment import BUCKET
from tests.functions.scene import CAST, PROVIDER_KEY, SEGMENTS, Scene, load_event

PICTURE = succeeded("image", {"images": [{"url": "https://x/fox.png"}]}, duration_ms=2500)


def test_the_step_is_finished_and_the_other_segments_are_left(scene: Scene) -> None:
    scene.add_spell()
    scene.add_cast()
    scene.add_generation(1, result=PICTURE)
    event = load_event("process_output.more_steps")
    assert app.lambda_handler(event, None) == {"castId": CAST, "segments": SEGMENTS[1:]}
    generation = scene.generation(1)
    assert (generation.status, generation.cost_usd) == ("completed", Decimal("0.0008425"))
    assert (generation.duration_ms, generation.task_token) == (2500, None)
    before = scene.rows()
    scene.restart()
    assert app.lambda_handler(event, None) == {"castId": CAST, "segments": SEGMENTS[1:]}
    assert scene.rows() == before
    assert {entry.get("castId") for entry in scene.entries()} == {CAST}


def test_an_output_of_the_providers_own_server_is_copied_with_the_providers_key(scene: Scene) -> None:
    scene.add_spell()
    scene.add_cast()
    address = f"{scene.neighbours.url}/view?filename=fox.png"
    scene.neighbours.answers["/view?filename=fox.png"] = (200, {"a": "fox"})
    scene.add_generation(1, result=succeeded("image", {"images": [{"url": address}]}))
    app.lambda_handler(load_event("process_output.more_steps"), None)
    (asked,) = scene.neighbours.asked
    assert (asked.method, asked.headers["authorization"]) == ("GET", f"Bearer {PROVIDER_KEY}")
    result = scene.generation(1).result
    assert result is not None
    key = f"media/{CAST}/{CAST}.1.1/0.bin"
    assert result.payload[0]["data"] == {"images": [{"url": f"s3:{key}", "bytes": 12}]}
    stored = scene.s3.get_object(Bucket=BUCKET, Key=key)
    assert (stored["Body"].read(), stored["ContentType"]) == (b'{"a": "fox"}', "application/octet-stream")


def test_after_the_last_step_no_segment_is_left(scene: Scene) -> None:
    scene.add_cast()
    scene.add_generation(2, result=PICTURE)
    assert app.lambda_handler(load_event("process_output.last_step"), None) == {"castId": CAST, "segments": []}
    assert scene.generation(2).cost_usd == Decimal("0.003")


def test_a_failed_step_is_written_and_raised_each_time(scene: Scene) -> None:
    scene.add_cast()
    scene.add_generation(2, result=failed(JobFailed("too dark")))
    for _ in range(2):
        with pytest.raises(StepEndedInFailure, match="JOB_FAILED"):
            app.lambda_handler(load_event("process_output.last_step"), None)
    generation = scene.generation(2)
    assert (generation.status, generation.cost_usd, generation.revision) == ("failed", Decimal(0), 3)
