"""The bundle on an embedded cloud of its own, one for all of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cloud import Cloud, started
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
    settings = {
        "SPELLCAST_DEMO_JOB_SECONDS": "0.3",
        "SPELLCAST_FAL_URL": fal_url,
        "SPELLCAST_FAL_KEY": FAL_KEY,
        "SPELLCAST_FAL_WEBHOOK_SECRET": f"{fal_url}/.well-known/jwks.json",
    }
    with started(tmp_path_factory.mktemp("cloud"), settings) as cloud:
        yield cloud
