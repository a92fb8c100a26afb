"""An embedded cloud whose functions on a cast's way run under Lambda's own runtime client."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cloud import Cloud, started
from tests.runtime.emulator import ROOT, Function

# What the cloud calls in a function's place: its error is the function's, by its name.
RELAY = """
import fcntl, json, urllib.request

def lambda_handler(event, context):
    request = urllib.request.Request({url!r}, json.dumps(event).encode())
    with open({lock!r}, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with urllib.request.urlopen(request, timeout=900) as answer:
            said = json.load(answer)
    if isinstance(said, dict) and "errorType" in said:
        raise type(said["errorType"], (Exception,), {{}})(said["errorMessage"])
    return said
"""
# Those of the two state machines, and how a cast comes to them and goes on after a job.
RELAYED = ("execute_step", "process_output", "finalize_cost", "poll_job", "cast_api", "complete_job")


@pytest.fixture(scope="package")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with started(tmp_path_factory.mktemp("cloud"), {"SPELLCAST_DEMO_JOB_SECONDS": "0.3"}) as cloud:
        yield cloud


@pytest.fixture(scope="package")
def functions(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Function]]:
    """The functions, by name; from now on the cloud calls them."""
    folder = tmp_path_factory.mktemp("runtime")
    client = cloud.aws("lambda")
    with ExitStack() as running:
        found = {}
        for name in RELAYED:
            deployed = f"spellcast-local-{name}"
            known = client.get_function_configuration(FunctionName=deployed)
            environment = {**known["Environment"]["Variables"], "AWS_ENDPOINT_URL": cloud.outputs["endpointUrl"]}
            function = Function(
                ROOT / "functions" / name, environment, folder / f"{name}.log", timeout_seconds=known["Timeout"]
            )
            found[name] = running.enter_context(function)
            client.update_function_code(FunctionName=deployed, ZipFile=relay(function.url, folder / f"{name}.lock"))
        yield found


def relay(url: str, lock: Path) -> bytes:
    """The code of a function that hands its events on to this address, one at a time."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app.py", RELAY.format(url=url, lock=str(lock)))
    return packed.getvalue()
