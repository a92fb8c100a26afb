from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.application.watch_casts import CONNECTION_LIFETIME, MAX_CONNECTIONS, WatchCasts
from spellcast.domain.documents import Document
from spellcast.domain.errors import TooManyConnections
from spellcast.ports.store import Connection
from tests.fakes.world import ACCOUNT, World


class Watched:
    """A world with one open WebSocket."""

    def __init__(self) -> None:
        self.world = World()
        self.watch = WatchCasts(self.world.store, self.world.find_casts, self.world.announcer, self.world.clock)
        self.watch.connect(ACCOUNT, "conn")

    def asked(self, text: str, account: str = ACCOUNT) -> Document:
        self.watch.receive(account, "conn", text)
        connection_id, message = self.world.announcer.sent.pop()
        assert connection_id == "conn"
        return message


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_a_connection_is_remembered_for_two_hours_and_greeted_by_the_stream(watched: Watched) -> None:
    now = watched.world.clock.now()
    assert watched.world.store.list_connections(ACCOUNT) == [Connection("conn", ACCOUNT, now, now + timedelta(hours=2))]
    assert watched.world.announcer.sent == []


def test_a_closed_connection_is_forgotten(watched: Watched) -> None:
    watched.watch.disconnect(ACCOUNT, "conn")
    watched.watch.disconnect(ACCOUNT, "conn")
    assert watched.world.store.list_connections(ACCOUNT) == []


def test_an_account_has_so_many_connections_and_not_one_more(watched: Watched) -> None:
    for number in range(1, MAX_CONNECTIONS):
        watched.watch.connect(ACCOUNT, f"conn {number}")
    with pytest.raises(TooManyConnections, match=f"has {MAX_CONNECTIONS} WebSockets open"):
        watched.watch.connect(ACCOUNT, "one more")
    assert len(watched.world.store.list_connections(ACCOUNT)) == MAX_CONNECTIONS
    watched.watch.connect(ACCOUNT, "conn")  # who runs twice is one
    watched.watch.connect("bob", "one more")
    watched.watch.disconnect(ACCOUNT, "conn")
    watched.watch.connect(ACCOUNT, "one more")


def test_a_connection_that_has_ended_and_is_not_deleted_yet_does_not_count(watched: Watched) -> None:
    for number in range(1, MAX_CONNECTIONS):
        watched.watch.connect(ACCOUNT, f"conn {number}")
    watched.world.clock.moment += CONNECTION_LIFETIME
    watched.watch.connect(ACCOUNT, "one more")


def test_a_ping_is_answered(watched: Watched) -> None:
    assert watched.asked('{"action":"ping"}') == {"type": "pong", "payload": {}, "at": "2026-01-31T12:00:00.000Z"}


def test_a_subscription_is_answered_with_the_whole_cast(watched: Watched) -> None:
    cast = watched.world.cast("free", "polled")
    watched.world.execute(cast)
    message = watched.asked(f'{{"action":"subscribe","castId":"{cast.cast_id}"}}')
    assert message["type"] == "castSnapshot"
    assert message["payload"] == watched.world.find_casts.get(ACCOUNT, cast.cast_id)
    assert len(message["payload"]["generations"]) == 2


def test_i8_another_accounts_cast_does_not_exist(watched: Watched) -> None:
    cast = watched.world.cast("free")
    message = watched.asked(f'{{"action":"subscribe","castId":"{cast.cast_id}"}}', account="bob")
    assert (message["type"], message["payload"]["code"]) == ("error", "CAST_NOT_FOUND")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "[]",
        "null",
        "{}",
        '{"action":"subscribe"}',
        '{"action":"subscribe","castId":7}',
        '{"action":"subscribe","castId":null}',
        '{"action":["ping"]}',
        '{"action":"dance"}',
        '{"action":NaN}',
        "[" * 100_000,
        '{"action":' * 20_000,
        "9" * 10_000,
    ],
)
def test_anything_else_is_answered_with_what_can_be_asked(watched: Watched, text: str) -> None:
    message = watched.asked(text)
    assert (message["type"], message["payload"]["code"]) == ("error", "INVALID_INPUT")
    assert "subscribe" in message["payload"]["message"]


@given(st.text())
def test_whatever_is_sent_is_answered(text: str) -> None:
    assert Watched().asked(text)["type"] in ("error", "pong")
