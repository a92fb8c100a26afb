"""The cloud is killed in the middle of casts and brought up again: they go on, and nobody is asked twice."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from local import stack
from spellcast.aws.cast_store import DynamoCastStore
from spellcast.aws.documents import DocumentStore
from spellcast.aws.table import Table
from spellcast.domain.casts import Cast
from spellcast.domain.identifiers import new_id
from tests.cloud import PATIENCE, TERMINAL, Cloud, Document, called, drawn, words
from tests.ports import free_port

SECONDS = 4.0


class Machine:
    """What the cloud runs on, which can be cut off."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = free_port()
        self.cloud = self._start()

    def _start(self) -> Cloud:
        environment = {"PATH": os.environ["PATH"]}
        outputs = stack.start(self._port, self._directory, environment=environment)
        return Cloud(outputs, stack.running(self._port, self._directory) or 0)

    def end(self, by: signal.Signals) -> None:
        """The cloud alone: the provider and its jobs live on."""
        os.kill(self.cloud.process, by)
        self.cloud.close()
        await_(lambda: stack.running(self._port, self._directory) is None)

    def up(self) -> Cloud:
        self.cloud = self._start()
        return self.cloud

    def stop(self) -> None:
        self.cloud.close()
        stack.stop(self._port, self._directory)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machine = Machine(tmp_path_factory.mktemp("cloud"))
    try:
        yield machine
    finally:
        machine.stop()


def await_(probe: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """The first truthy answer."""
    deadline = time.monotonic() + patience
    while not (found := probe()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return found


def ended(cloud: Cloud, cast: Document) -> Document:
    """The cast at its end, seen by asking: it is announced to sockets that died with the cloud."""

    def probe() -> Document | None:
        found = cloud.get_cast(cast)
        return found if found["status"] in TERMINAL else None

    found: Document = await_(probe)
    return found


def submits(cloud: Cloud, service: str) -> int:
    """How many jobs the demo provider was asked for since it was started."""
    counts: dict[str, int] = cloud.provider.get("/control/counts").raise_for_status().json()[service]
    return counts["submits"]


@pytest.mark.parametrize("end", ["killed", "killed after a save", "stopped"])
def test_casts_go_on_after_a_restart_and_no_job_is_submitted_twice(machine: Machine, end: str) -> None:
    cloud = machine.cloud
    kept = cloud.run(cloud.spell(drawn("kept")))
    cloud.provider.post("/control", json={"reset": True}).raise_for_status()
    polled = cloud.cast(cloud.spell(words(), drawn(f"[seconds:{SECONDS}] a cat"), called("then a dog")))
    webhook = cloud.cast(cloud.spell(called(f"[seconds:{SECONDS}] a fox"), words(node="last")))
    before = [cloud.await_generation(f"{polled['castId']}.1.1", "processing")]
    before.append(cloud.await_generation(f"{webhook['castId']}.0.1", "processing"))
    if end == "killed after a save":
        httpx.post(f"{cloud.outputs['httpUrl']}/_spellcast/save").raise_for_status()
    machine.end(signal.SIGTERM if end == "stopped" else signal.SIGKILL)

    cloud = machine.up()
    for cast in (polled, webhook):
        found = ended(cloud, cast)
        assert found["status"] == "completed", found
        assert [generation["attempt"] for generation in found["generations"]] == [1] * found["stepCount"]
    for generation in before:
        found = cloud.await_generation(generation["generationId"], "completed")
        assert found["metadata"]["run_id"] == generation["metadata"]["run_id"]
    assert (submits(cloud, "comfyui"), submits(cloud, "replicate")) == (1, 2)
    [picture] = cloud.get_cast(kept)["outputs"]["images"]
    assert httpx.get(picture["url"]).raise_for_status().content.startswith(b"\x89PNG")
    # A kill may have come before the executions were saved: then they begin again under their first names.
    if end != "killed":
        listed = cloud.aws("stepfunctions").list_executions(stateMachineArn=cloud.outputs["castStateMachineArn"])
        names = {execution["name"]: execution["status"] for execution in listed["executions"]}
        for cast in (polled, webhook):
            assert (names[cast["castId"]], names[f"{cast['castId']}-2"]) == ("FAILED", "SUCCEEDED")


def test_a_cast_whose_machine_was_never_started_is_started_by_the_next_sweep(machine: Machine) -> None:
    cloud = machine.cloud
    spell = cloud.spell(words())
    template = cloud.run(spell)
    table = Table(cloud.aws("dynamodb"), cloud.outputs["tableName"])
    casts = DynamoCastStore(table, DocumentStore(lambda: cloud.aws("s3"), "none"))
    like = casts.get_cast(template["castId"])
    assert like is not None
    began = datetime.now(UTC) - timedelta(minutes=3)
    lost = Cast(
        cast_id=new_id(),
        account_id=like.account_id,
        spell_id=like.spell_id,
        spell_slug=like.spell_slug,
        spell_name=like.spell_name,
        version=like.version,
        inputs={},
        step_count=1,
        started_at=began,
        deadline_at=began + timedelta(minutes=20),
        updated_at=began,
        request_fingerprint="f",
    )
    casts.create_cast(lost)
    casts.create_cast(young := replace(lost, cast_id=new_id(), started_at=datetime.now(UTC)))
    event = Path(stack.ROOT / "events" / "sweep.scheduled.json").read_text()
    answer = cloud.aws("lambda").invoke(FunctionName="spellcast-local-sweep", Payload=event)
    report = json.loads(answer["Payload"].read())
    assert report == {
        "checked": 1,
        "started": 1,
        "restarted": 0,
        "settled": 0,
        "redelivered": 0,
        "left": 0,
        "overdue": 0,
    }
    assert ended(cloud, {"castId": lost.cast_id})["status"] == "completed"
    assert cloud.get_cast({"castId": young.cast_id})["status"] == "running"


def test_the_schedule_is_one_that_the_cloud_runs(machine: Machine) -> None:
    rules = machine.cloud.aws("events").list_rules()["Rules"]
    [rule] = [rule for rule in rules if rule.get("ScheduleExpression")]
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(1 minute)", "ENABLED")
    [target] = machine.cloud.aws("events").list_targets_by_rule(Rule=rule["Name"])["Targets"]
    assert target["Arn"].endswith(":function:spellcast-local-sweep")
