"""The API over a fresh world, and its client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from spellcast_client import Client
from tests.fakes.world import World
from tests.unit.api.caller import KEY, Caller
from tests.unit.client.api import Live, live, transport

ADDRESS = "https://api.example"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def socket() -> Iterator[Live]:
    with live() as told:
        yield told


@pytest.fixture
def call(world: World, socket: Live) -> Caller:
    return Caller(world, websocket_url=socket.url)


@pytest.fixture
def client(call: Caller) -> Iterator[Client]:
    with Client(ADDRESS, KEY, transport=transport(call), sleep=lambda seconds: None) as client:
        yield client
