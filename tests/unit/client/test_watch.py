"""A cast that is watched: everything is told once, and nothing is missed when the connection drops."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from spellcast.domain.casts import Cast
from spellcast_client import AsyncClient, Client, Message, SpellcastError
from spellcast_client.live import Listening
from tests.fakes.world import World
from tests.unit.api.caller import KEY, Caller
from tests.unit.client.api import DROP, Live, transport
from tests.unit.client.conftest import ADDRESS


def run_step(world: World, cast: Cast, number: int) -> None:
    world.execute(cast, number)
    world.process(cast, number)


@pytest.fixture
def cast(world: World) -> Cast:
    return world.cast("paid", "polled", "free")


def kinds(messages: list[Message]) -> list[tuple[str, Any]]:
    return [(message.type, message.payload.get("stepIndex", message.payload.get("status"))) for message in messages]


def of_step(cast: Cast, position: int, revision: int, kind: str = "generationUpdate", **more: Any) -> dict[str, Any]:
    generation_id = f"{cast.cast_id}.{position}.1"
    payload = {"castId": cast.cast_id, "generationId": generation_id, "stepIndex": position, "revision": revision}
    return {"type": kind, "payload": {**payload, **more}, "at": "2026-01-31T12:00:00.000Z"}


def test_it_begins_and_ends_with_the_whole_cast(world: World, client: Client, socket: Live) -> None:
    cast = world.cast("paid")
    watching = client.watch(cast.cast_id)
    first = next(watching)
    assert (first.type, first.payload["generations"]) == ("castSnapshot", [])
    run_step(world, cast, 0)
    socket.tell_of(world, cast, 0)
    assert [next(watching).type for _ in range(2)] == ["generationUpdate", "tool-response"]
    world.settle(cast)
    socket.tell_of(world, cast)
    *_, last = watching
    assert (last.type, last.payload["status"]) == ("castSnapshot", "completed")
    assert last.payload == client.get_cast(cast.cast_id).document()


def test_what_was_told_is_not_told_again(world: World, cast: Cast, client: Client, socket: Live) -> None:
    watching = client.watch(cast.cast_id)
    next(watching)
    socket.tell(*[of_step(cast, 0, 2)] * 3, of_step(cast, 0, 1), of_step(cast, 0, 3), of_step(cast, 1, 1))
    assert [next(watching).payload["revision"] for _ in range(3)] == [2, 3, 1]


def test_progress_is_told_until_the_step_has_ended(cast: Cast, client: Client, socket: Live) -> None:
    watching = client.watch(cast.cast_id)
    next(watching)
    progress = [of_step(cast, 0, 2, "generationProgress", progress=share / 4) for share in range(3)]
    socket.tell(*progress, of_step(cast, 0, 3), progress[2], of_step(cast, 1, 1))
    told = [next(watching) for _ in range(5)]
    assert [message.type for message in told] == ["generationProgress"] * 3 + ["generationUpdate"] * 2


def test_others_casts_are_not_told(cast: Cast, client: Client, socket: Live) -> None:
    watching = client.watch(cast.cast_id)
    next(watching)
    other = of_step(cast, 0, 2)
    other["payload"]["castId"] = "another"
    socket.tell(other, {"type": "pong", "payload": {}, "at": other["at"]}, of_step(cast, 0, 3))
    assert next(watching).payload["revision"] == 3


def test_what_api_gateway_says_itself_is_passed_over(cast: Cast, client: Client, socket: Live) -> None:
    watching = client.watch(cast.cast_id)
    next(watching)
    own = {"message": "Internal server error", "connectionId": "a=", "requestId": "b"}
    socket.tell(own, of_step(cast, 0, 3))
    assert next(watching).payload["revision"] == 3


def test_what_happened_while_the_connection_was_down_is_told(
    world: World, cast: Cast, client: Client, socket: Live
) -> None:
    watching = client.watch(cast.cast_id)
    next(watching)
    socket.tell(DROP)
    world.execute(cast)  # nobody is told of it
    told = next(watching)
    assert told.type == "castSnapshot"
    assert [item["status"] for item in told.payload["generations"]] == ["completed", "processing"]
    socket.tell_of(world, cast, 0)  # comes late, and was in the snapshot
    socket.tell(of_step(cast, 2, 1))
    assert [next(watching).type, next(watching).payload["stepIndex"]] == ["tool-response", 2]


def test_a_drop_during_which_nothing_happened_is_not_told(cast: Cast, client: Client, socket: Live) -> None:
    watching = client.watch(cast.cast_id)
    next(watching)
    socket.tell(DROP, of_step(cast, 0, 1))
    assert next(watching).payload["revision"] == 1
    assert socket.greetings == 2


def test_the_end_is_found_where_nobody_told_it(
    world: World, client: Client, socket: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spellcast_client.client.SILENCE", 0.05)
    cast = world.cast("paid")
    watching = client.watch(cast.cast_id)
    next(watching)
    run_step(world, cast, 0)
    world.settle(cast)
    assert [(message.type, message.payload["status"]) for message in watching] == [("castSnapshot", "completed")]


def test_an_ended_cast_is_told_once(world: World, client: Client) -> None:
    cast = world.cast("free")
    run_step(world, cast, 0)
    world.settle(cast)
    assert kinds(list(client.watch(cast.cast_id))) == [("castSnapshot", "completed")]


def test_a_cast_that_is_not_there(client: Client) -> None:
    with pytest.raises(SpellcastError) as raised:
        next(client.watch("gone"))
    assert raised.value.code == "CAST_NOT_FOUND"


def test_a_key_that_is_not_good(call: Caller) -> None:
    with Client(ADDRESS, "no key", transport=transport(call)) as client, pytest.raises(SpellcastError) as raised:
        next(client.watch("x"))
    assert raised.value.status == 401


def test_patience_ends(cast: Cast, call: Caller, socket: Live) -> None:
    socket.refuses = True
    slept: list[float] = []
    client = Client(ADDRESS, KEY, transport=transport(call), sleep=slept.append)
    with client, pytest.raises(SpellcastError) as raised:
        next(client.watch(cast.cast_id, patience=0.1))
    assert raised.value.code == "UNREACHABLE"
    assert slept
    assert "ticket=" not in str(raised.value)
    assert socket.url not in str(raised.value)


def test_no_error_has_the_ticket(world: World) -> None:
    call = Caller(world, websocket_url="http://no.socket.example")
    client = Client(ADDRESS, KEY, transport=transport(call), sleep=lambda seconds: None)
    with client, pytest.raises(SpellcastError) as raised:
        next(client.watch("x", patience=0))
    assert raised.value.code == "UNREACHABLE"
    assert "ticket=" not in str(raised.value)


def test_who_awaits_is_told_the_same(world: World, call: Caller, socket: Live) -> None:
    cast = world.cast("paid")

    async def watch() -> list[Message]:
        told = []
        async with AsyncClient(ADDRESS, KEY, transport=transport(call)) as client:
            async for message in client.watch(cast.cast_id):
                told.append(message)
                if len(told) == 1:
                    socket.tell(DROP)
                    run_step(world, cast, 0)
                if len(told) == 2:
                    world.settle(cast)
                    socket.tell_of(world, cast)
        return told

    told = asyncio.run(watch())
    assert kinds(told) == [
        ("castSnapshot", "running"),
        ("castSnapshot", "running"),
        ("castUpdate", "completed"),
        ("castSnapshot", "completed"),
    ]
    assert socket.greetings == 2


class TestListening:
    def test_all_of_the_accounts_casts_are_told_from_now_on(self, world: World, client: Client, socket: Live) -> None:
        world.cast("free")
        listening = client.listen()
        socket.tell(of_step(cast := world.cast("free"), 0, 1))
        assert next(listening).payload["generationId"].startswith(cast.cast_id)

    def test_what_casts_became_while_the_connection_was_down_is_told(
        self, world: World, client: Client, socket: Live
    ) -> None:
        cast = world.cast("free")
        listening = client.listen()
        socket.tell(of_step(cast, 0, 1))
        next(listening)
        socket.tell(DROP)
        run_step(world, cast, 0)
        world.settle(cast)
        later = world.cast("free")
        told = list(itertools.islice(listening, 2))
        assert {(message.type, message.payload["castId"], message.payload["status"]) for message in told} == {
            ("castUpdate", cast.cast_id, "completed"),
            ("castUpdate", later.cast_id, "running"),
        }

    def test_who_awaits_is_told_the_same(self, world: World, call: Caller, socket: Live) -> None:
        cast = world.cast("free")
        socket.tell(of_step(cast, 0, 1))

        async def first() -> Message:
            async with AsyncClient(ADDRESS, KEY, transport=transport(call)) as client:
                told = client.listen()
                message = await anext(told)
                await told.aclose()  # type: ignore[attr-defined]
                return message

        assert asyncio.run(first()).payload["castId"] == cast.cast_id


class TestPauses:
    PASSING = SpellcastError("UNREACHABLE", "m")

    def test_they_grow_to_a_limit_and_begin_anew(self) -> None:
        listening = Listening("c", draw=lambda: 1.0)
        pauses = [listening.pause(self.PASSING) for _ in range(9)]
        assert pauses == sorted(pauses)
        assert (pauses[0], pauses[-1]) == (0.5, 15.0)
        listening.must_look(None)
        assert listening.pause(self.PASSING) == 0.5

    def test_patience_is_counted_from_the_first_failure(self) -> None:
        clock: Iterator[float] = iter([0.0, 1000.0, 1000.0, 1299.0, 1301.0])
        listening = Listening("c", now=lambda: next(clock))
        next(clock)
        listening.pause(self.PASSING)
        listening.pause(self.PASSING)
        with pytest.raises(SpellcastError):
            listening.pause(self.PASSING)

    def test_what_will_not_pass_is_not_waited_for(self) -> None:
        with pytest.raises(SpellcastError):
            Listening("c").pause(SpellcastError("CAST_NOT_FOUND", "m", status=404))
