"""The client against the API: what it sends, what it repeats, and how it fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from spellcast_client import AsyncClient, Client, Fault, SpellcastError
from spellcast_client.models import CastBody, ResumeBody, SettingsBody, SpellBody, StepBody
from tests.fakes.world import World
from tests.unit.api.caller import KEY, Caller
from tests.unit.client.api import transport
from tests.unit.client.conftest import ADDRESS

SPELL = SpellBody(name="A cat", steps=[StepBody(id="n0", tool_identifier="free")])
HEALTH = {"status": "ok", "version": "0.1.0"}


def test_a_spell_is_cast_and_read(client: Client, world: World) -> None:
    spell = client.create_spell(SPELL)
    assert (spell.version, spell.steps) == (1, [{"id": "n0", "toolIdentifier": "free"}])
    assert client.get_spell("A cat").spell_id == spell.spell_id
    cast = client.cast_spell(CastBody(spell="A cat", inputs={"prompt": "a cat"}, budget_usd=Decimal("1E+1")))
    assert (cast.status, cast.budget_usd, cast.started_at) == ("running", Decimal(10), world.clock.now())
    found = world.store.get_cast(cast.cast_id)
    assert found
    world.execute(found)
    [generation] = client.get_cast(cast.cast_id).generations or []
    assert generation.cost_usd == Decimal(0)
    assert client.list_casts(status="running", spell=spell.spell_id).casts[0].cast_id == cast.cast_id
    with pytest.raises(SpellcastError) as raised:
        client.list_casts(spell="another")
    assert raised.value.code == "SPELL_NOT_FOUND"
    assert client.delete_spell(spell.spell_id) is None  # type: ignore[func-returns-value]
    assert client.list_spells().spells == []


def test_a_dry_run_saves_nothing(client: Client) -> None:
    assert client.lint_spell(SPELL).warnings == []
    assert client.list_spells().spells == []


def test_money_is_exact(client: Client) -> None:
    saved = client.save_settings(SettingsBody(tools={}, daily_budget_usd=Decimal("0.123456789012")))
    assert saved.daily_budget_usd == Decimal("0.123456789012")
    assert saved.document() == {"tools": {}, "dailyBudgetUsd": "0.123456789012"}


def test_a_document_is_what_the_api_said(client: Client, call: Caller) -> None:
    client.create_spell(SPELL)
    cast = client.cast_spell({"spell": "A cat"})
    assert client.get_cast(cast.cast_id).document() == call("GET", f"/v1/casts/{cast.cast_id}").json


def test_it_awaits_too(call: Caller) -> None:
    async def cast() -> str:
        async with AsyncClient(ADDRESS, KEY, transport=transport(call)) as client:
            await client.create_spell(SPELL)
            started = await client.cast_spell({"spell": "A cat"})
            with pytest.raises(SpellcastError, match="cast"):
                await client.get_cast("gone")
            return (await client.get_cast(started.cast_id)).status

    assert asyncio.run(cast()) == "running"


class TestErrors:
    def test_faults_are_named(self, client: Client) -> None:
        with pytest.raises(SpellcastError) as raised:
            client.create_spell({"name": "", "steps": [{"toolIdentifier": "gone"}]})
        error = raised.value
        assert (error.code, error.status) == ("INVALID_INPUT", 400)
        assert Fault("steps[0].toolIdentifier", "there is no tool 'gone'") in error.faults
        assert len(error.faults) == 2

    def test_the_request_id_is_kept(self) -> None:
        answer = httpx.Response(
            500, json={"error": {"code": "INTERNAL_ERROR", "message": "m"}}, headers={"apigw-requestid": "r1"}
        )
        with scripted(answer) as (client, _), pytest.raises(SpellcastError) as raised:
            client.get_health()
        assert (raised.value.request_id, raised.value.document()["error"]["requestId"]) == ("r1", "r1")

    @pytest.mark.parametrize(
        "answer",
        [
            httpx.Response(200, text="<html>secret"),
            httpx.Response(200, json={"status": 1}),
            httpx.Response(404, json={"error": "else"}),
            httpx.Response(400, json=["x"]),
            httpx.Response(302, headers={"location": "https://else.example"}),
        ],
    )
    def test_what_is_no_answer_of_the_api_is_said_to_be_none(self, answer: httpx.Response) -> None:
        with (
            scripted(*[answer] * 4) as (client, _),
            pytest.raises(SpellcastError, match="answered") as raised,
        ):
            client.get_health()
        assert raised.value.code == "UNEXPECTED_ANSWER"
        assert "secret" not in str(raised.value)

    @pytest.mark.parametrize("status", [429, 502, 503, 504])
    def test_what_stands_before_the_api_may_say_that_it_is_busy(self, status: int) -> None:
        with scripted(httpx.Response(status, text="<html>")) as (client, _), pytest.raises(SpellcastError) as raised:
            client.get_health()
        assert (raised.value.code, raised.value.status) == ("UNAVAILABLE", status)

    @pytest.mark.parametrize("url", ["", "api.example", "ftp://api.example", "http://", "http://host:port", "/x"])
    def test_an_address_that_is_none(self, url: str) -> None:
        with pytest.raises(SpellcastError, match="begins with https"):
            Client(url, KEY)

    @pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError])
    def test_who_does_not_answer_is_unreachable(self, kind: type[httpx.HTTPError]) -> None:
        with scripted(*[kind("with the key in it")] * 4) as (client, _), pytest.raises(SpellcastError) as raised:
            client.get_health()
        assert (raised.value.code, raised.value.status) == ("UNREACHABLE", None)
        assert "the key in it" not in str(raised.value)

    def test_nothing_that_is_secret_is_in_an_error(self) -> None:
        secret = "a-secret-of-somebody"
        with scripted(*[httpx.ConnectError(secret)] * 4, url=f"https://{secret}:x@api.example", key=secret) as (
            client,
            _,
        ):
            for ask in (client.get_health, lambda: client.cast_spell({"spell": secret, "inputs": {"prompt": secret}})):
                with pytest.raises(SpellcastError) as raised:
                    ask()
                assert secret not in str(raised.value) + repr(raised.value) + str(raised.value.document())


class TestRepeating:
    PASSING = httpx.Response(503, json={"error": {"code": "STORAGE_UNAVAILABLE", "message": "m"}})

    @pytest.mark.parametrize("first", [PASSING, httpx.Response(429), httpx.Response(504), httpx.ReadTimeout("")])
    def test_what_is_read_is_asked_for_again(self, first: httpx.Response | Exception) -> None:
        with scripted(first, first, first, httpx.Response(200, json=HEALTH)) as (client, asked):
            assert client.get_health().status == "ok"
        assert len(asked) == 4

    def test_four_times_at_most(self) -> None:
        with scripted(*[self.PASSING] * 5) as (client, asked), pytest.raises(SpellcastError, match="m"):
            client.get_health()
        assert len(asked) == 4

    @pytest.mark.parametrize("status", [400, 401, 404, 409, 500])
    def test_what_will_not_pass_is_not(self, status: int) -> None:
        with scripted(httpx.Response(status)) as (client, asked), pytest.raises(SpellcastError):
            client.get_health()
        assert len(asked) == 1

    @pytest.mark.parametrize(
        "write",
        [
            lambda client: client.create_spell(SPELL),
            lambda client: client.update_spell("x", SPELL),
            lambda client: client.delete_spell("x"),
            lambda client: client.cancel_cast("x"),
            lambda client: client.issue_ticket(),
        ],
    )
    def test_what_may_have_been_done_is_not(self, write: Callable[[Client], Any]) -> None:
        with scripted(self.PASSING) as (client, asked), pytest.raises(SpellcastError):
            write(client)
        assert len(asked) == 1

    @pytest.mark.parametrize(
        "write",
        [
            lambda client: client.cast_spell({"spell": "x"}),
            lambda client: client.resume_cast("x", ResumeBody(budget_usd=Decimal(1))),
            lambda client: client.retry_step("x"),
        ],
    )
    def test_what_has_a_key_is_repeated_with_the_same_key(self, write: Callable[[Client], Any]) -> None:
        with scripted(httpx.ReadTimeout(""), self.PASSING, httpx.Response(409)) as (client, asked):
            for _ in range(2):
                with pytest.raises(SpellcastError):
                    write(client)
        keys = [request.headers["idempotency-key"] for request in asked]
        assert keys[0] == keys[1] == keys[2]
        assert keys[3] != keys[0]
        assert len({request.content for request in asked}) == 1

    def test_a_key_of_ones_own_is_taken(self, client: Client, world: World) -> None:
        client.create_spell(SPELL)
        first, second = (client.cast_spell({"spell": "A cat"}, idempotency_key="mine") for _ in range(2))
        assert first.cast_id == second.cast_id
        assert client.cast_spell({"spell": "A cat"}).cast_id != first.cast_id

    @pytest.mark.parametrize(
        ("said", "least", "most"),
        [
            ("7", 7, 7),
            ("0", 0, 0),
            ("3600", 30, 30),
            ("Fri, 31 Jan 2200 12:00:00 GMT", 30, 30),
            ("Sat, 31 Jan 2026 12:00:00 GMT", 0, 0),
            ("Sat, 31 Jan 2026 12:00:00", 0.1, 0.4),
            ("-5", 0, 0),
            ("soon", 0.1, 0.4),
            ("", 0.1, 0.4),
        ],
    )
    def test_it_waits_as_long_as_it_is_told_to(self, said: str, least: float, most: float) -> None:
        waited: list[float] = []
        answers = [httpx.Response(503, headers={"retry-after": said}), httpx.Response(200, json=HEALTH)]
        with scripted(*answers, sleep=waited.append) as (client, _):
            client.get_health()
        assert len(waited) == 1
        assert least <= waited[0] <= most


class scripted:
    """A client whose server answers as it is told, and the requests that it got."""

    def __init__(
        self,
        *answers: httpx.Response | Exception,
        url: str = ADDRESS,
        key: str = KEY,
        sleep: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self.answers: Iterator[httpx.Response | Exception] = iter([*answers, *answers[-1:] * 4])
        self.asked: list[httpx.Request] = []
        self.client = Client(url, key, transport=httpx.MockTransport(self.handle), sleep=sleep)

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    def __enter__(self) -> tuple[Client, list[httpx.Request]]:
        return self.client, self.asked

    def __exit__(self, *error: object) -> None:
        self.client.close()


def test_a_body_can_be_a_mapping_or_a_record(client: Client) -> None:
    assert client.create_spell(SPELL).steps == client.create_spell(json.loads(json.dumps(SPELL.document()))).steps
