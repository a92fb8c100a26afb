"""The bundle on an embedded cloud of its own, one for all of these tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import stack
from tests.cloud import Cloud
from tests.ports import free_port
from tests.providers.fal import Fal
from tests.providers.serving import serving

FAL_KEY = "an-id:a-secret-of-fal"


@pytest.fixture(scope="session")
def fal() -> Fal:
    return Fal(job_seconds=0.3)


@pytest.fixture(scope="session")
def fal_url(fal: Fal) -> Iterator[str]:
    with serving(fal.app()) as url:
        yield url


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory, fal_url: str) -> Iterator[Cloud]:
    directory: Path = tmp_path_factory.mktemp("cloud")
    port = free_port()
    # Providers that the environment names must not be asked by a test.
    environment = {
        "PATH": os.environ["PATH"],
        "SPELLCAST_DEMO_JOB_SECONDS": "0.3",
        "SPELLCAST_FAL_URL": fal_url,
        "SPELLCAST_FAL_KEY": FAL_KEY,
        "SPELLCAST_FAL_WEBHOOK_SECRET": f"{fal_url}/.well-known/jwks.json",
    }
    outputs = stack.start(port, directory, environment=environment)
    cloud = Cloud(outputs, stack.running(port, directory) or 0)
    try:
        yield cloud
    finally:
        cloud.close()
        stack.stop(port, directory)
