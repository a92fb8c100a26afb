"""The API over a fresh world."""

from __future__ import annotations

import pytest

from tests.fakes.world import World
from tests.unit.api.caller import Caller


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def call(world: World) -> Caller:
    return Caller(world)
