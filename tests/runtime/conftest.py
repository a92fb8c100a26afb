"""An embedded cloud whose functions on a cast's way run under Lambda's own runtime client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.cloud import Cloud, started
from tests.runtime.emulator import ROOT, Function
from tests.runtime.relay import RELAYED, relay


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
