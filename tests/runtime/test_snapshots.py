"""Functions that go on from one snapshot, as by SnapStart: a fork is to a process what that is to an environment."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cloud import Cloud
from tests.runtime.emulator import LAYER, PYTHON, ROOT

# For each line on stdin, which is an event, one more environment is restored, called once, and told of.
SNAPSHOT = """
import json, os, random, socket, sys

calls, connect = [], socket.socket.connect
def watched(self, address):
    calls.append(address)
    return connect(self, address)
socket.socket.connect = watched

import app
from awslambdaric.lambda_runtime_hooks_runner import run_after_restore, run_before_snapshot

run_before_snapshot()
made, numbers = len(calls), random.getstate()
for line in sys.stdin:
    if os.fork() == 0:
        random.setstate(numbers)  # a fork alone would have others
        run_after_restore()
        number = random.random()
        context = type("Context", (), {"get_remaining_time_in_millis": lambda self: 300_000})()
        try:
            answer = app.lambda_handler(json.loads(line), context)
        except Exception as error:
            answer = {"errorType": type(error).__name__}
        told = {"before": made, "after": len(calls), "random": number, "answer": answer}
        print("TOLD", json.dumps(told), flush=True)
        os._exit(0)
    os.wait()
"""
SNAPPED = sorted(
    path.parent.name for path in (ROOT / "functions").glob("*/app.py") if "before_calls(" in path.read_text("utf-8")
)


class Snapshot:
    """A function that has been started and not been called."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def restored(self, event: Any) -> dict[str, Any]:
        """What an environment tells that was restored for this one event."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(event) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("TOLD "):
                told: dict[str, Any] = json.loads(line.removeprefix("TOLD "))
                return told
        raise AssertionError("the function ended before it was restored")


@contextmanager
def taken(cloud: Cloud, name: str) -> Iterator[Snapshot]:
    known = cloud.aws("lambda").get_function_configuration(FunctionName=f"spellcast-local-{name}")
    environment = {
        **known["Environment"]["Variables"],
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT / 'functions' / name}:{LAYER}",
        "AWS_ENDPOINT_URL": cloud.outputs["endpointUrl"],
        "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    command = [str(PYTHON), "-c", SNAPSHOT]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Snapshot(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=20) == 0


def event_of(name: str) -> Any:
    return json.loads(min((ROOT / "events").glob(f"{name}.*.json")).read_text("utf-8"))


@pytest.mark.parametrize("name", SNAPPED)
def test_environments_share_no_connection_and_no_random_number(cloud: Cloud, name: str) -> None:
    with taken(cloud, name) as snapshot:
        first, second = snapshot.restored(event_of(name)), snapshot.restored(event_of(name))
    assert first["before"] == second["before"] == 0
    assert first["after"] > 0
    assert second["after"] > 0
    assert first["random"] != second["random"]
    assert first["answer"] == second["answer"]


def test_a_secret_that_was_rotated_after_the_snapshot_is_read(cloud: Cloud) -> None:
    event = json.loads((ROOT / "events" / "cast_api.internal_list_generations.json").read_text("utf-8"))
    old = cloud.outputs["internalKey"]
    event["headers"]["x-internal-client-key"] = old
    secrets = cloud.aws("secretsmanager")
    with taken(cloud, "cast_api") as snapshot:
        assert snapshot.restored(event)["answer"]["statusCode"] == 200
        try:
            secrets.put_secret_value(SecretId="spellcast/local/internal-key", SecretString="another")
            assert snapshot.restored(event)["answer"]["statusCode"] == 403
        finally:
            secrets.put_secret_value(SecretId="spellcast/local/internal-key", SecretString=old)


def test_every_function_that_a_caller_waits_for_is_made_before_its_calls() -> None:
    assert {path.name for path in Path(ROOT / "functions").iterdir() if (path / "app.py").exists()} - set(SNAPPED) == {
        "check_deployment",
        "console",
    }
