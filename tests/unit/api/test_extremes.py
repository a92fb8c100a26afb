"""Numbers and depths that no program expects, at every place of every body: 2xx or 4xx, never 5xx (contract I10)."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from spellcast.api.resolver import MAX_DEPTH
from spellcast.catalog import built_in_tools
from spellcast.domain import documents
from spellcast.domain.completions import parse_completion
from spellcast.domain.errors import InvalidInput
from tests.fakes.world import INTERNAL_KEY, World
from tests.unit.api.caller import Caller, Reply
from tests.unit.api.test_fuzz import GOOD, INTERNAL, check, method, places

# What Python's int refuses to read; one digit less is a number.
MOST_DIGITS = 4_300
EXTREMES: dict[str, str] = {
    "as many digits as are read": "9" * MOST_DIGITS,
    "negative": "-" + "9" * MOST_DIGITS,
    "beyond a float, as a whole number": "1" + "0" * 400,
    "the largest float": "1.7976931348623157e308",
    "the smallest float": "5e-324",
    "negative zero": "-0.0",
    "as deep as a body may be": "[" * 40 + "]" * 40,
}
REFUSED: dict[str, str] = {
    "one digit more": "9" * (MOST_DIGITS + 1),
    "a million digits": "9" * 900_000,
    "beyond a float": "1e309",
    "an exponent of many digits": "1e" + "9" * 1_000,
    "10,000 lists": "[" * 10_000 + "]" * 10_000,
    "10,000 objects": '{"a":' * 10_000 + "1" + "}" * 10_000,
    "10,000 lists that do not end": "[" * 10_000,
}
MARK = "\u2603the place\u2603"
INTERNAL_BODIES = sorted(INTERNAL)


def with_at(body: Any, place: tuple[Any, ...], text: str) -> str:
    """The body's JSON with this text at a place."""
    body = copy.deepcopy(body)
    parent = body
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = MARK
    return json.dumps(body, ensure_ascii=False).replace(f'"{MARK}"', text)


@pytest.fixture
def call(world: World) -> Caller:
    call = Caller(world)
    call("POST", "/v1/spells", GOOD["/v1/spells"])
    return call


@pytest.fixture
def world() -> World:
    return World(*built_in_tools().values())


def ask_internal(call: Caller, verb: str, path: str, text: str) -> Reply:
    return call(verb, path, text=text, headers={"x-internal-client-key": INTERNAL_KEY}, key=None)


@pytest.mark.parametrize("extreme", EXTREMES.values(), ids=EXTREMES)
@pytest.mark.parametrize("path", sorted(GOOD))
def test_a_number_without_bounds_at_every_place_of_a_body(call: Caller, path: str, extreme: str) -> None:
    for place in places(GOOD[path])[1:]:
        check(call(method(path), path, text=with_at(GOOD[path], place, extreme)))


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("path", sorted(GOOD))
def test_what_nobody_can_read_is_refused_at_once_and_changes_nothing(call: Caller, path: str, refused: str) -> None:
    body = {**GOOD[path], "extra": {}}
    reply = call(method(path), path, text=with_at(body, ("extra",), refused))
    check(reply)
    assert (reply.status, reply.code, list(reply.faults)) == (400, "INVALID_INPUT", ["body"])
    assert call.world.store.writes == []


@pytest.mark.parametrize("extreme", [*EXTREMES.values(), *REFUSED.values()], ids=[*EXTREMES, *REFUSED])
@pytest.mark.parametrize("route", INTERNAL_BODIES, ids=" ".join)
def test_the_same_of_the_internal_routes(call: Caller, route: tuple[str, str], extreme: str) -> None:
    cast = call.world.cast("called")
    call.world.execute(cast)
    path = f"/internal/v1/data{route[1].replace('{}', cast.cast_id)}"
    for place in places(INTERNAL[route])[1:]:
        reply = ask_internal(call, route[0], path, with_at(INTERNAL[route], place, extreme))
        check(reply)
        if extreme in REFUSED.values():
            assert reply.status == 400


@pytest.mark.parametrize("tool_id", sorted(built_in_tools()))
@pytest.mark.parametrize("extreme", EXTREMES.values(), ids=EXTREMES)
def test_every_input_of_every_tool_may_be_such_a_number_in_a_quote_and_in_a_cast(
    call: Caller, tool_id: str, extreme: str
) -> None:
    step = {"id": "n0", "toolIdentifier": tool_id}
    names = sorted(built_in_tools()[tool_id].inputs)
    exposed = [{"nodeId": "n0", "paramKey": name} for name in names]
    spell = call("POST", "/v1/spells", {"name": "all", "steps": [step], "exposedInputs": exposed})
    assert spell.status == 201, spell.text
    for name in names:
        inputs = f'{{"{name}":{extreme}}}'
        check(call("POST", f"/v1/spells/{spell.json['spellId']}/quote", text=f'{{"inputs":{inputs}}}'))
        check(call("POST", "/v1/casts", text=f'{{"spell":"{spell.json["spellId"]}","inputs":{inputs}}}'))
    check(call("GET", "/v1/casts"))


@pytest.mark.parametrize("name", ["limit", "version", "cursor", "status"])
@pytest.mark.parametrize("value", ["9" * 5_000, "1e999", "-1", "[" * 10_000, "{}", "0x10", "NaN"])
@pytest.mark.parametrize("path", ["/v1/casts", "/v1/spells", "/v1/spells/a-cat", "/v1/casts/x", "/v1/generations/x"])
def test_a_query_without_bounds(call: Caller, path: str, name: str, value: str) -> None:
    check(call("GET", path, query={name: value}))


def deep(levels: int, kind: type = list) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value] if kind is list else {"message": value}
    return value


@pytest.mark.parametrize("kind", [list, dict])
@pytest.mark.parametrize("key", ["generationId", "status", "type", "data", "costUsd", "usage", "error"])
@pytest.mark.parametrize("status", ["succeeded", "failed"])
@pytest.mark.parametrize(
    "value", [10_000, 100_000, 10**MOST_DIGITS, float("inf")], ids=["deep", "deeper", "long", "endless"]
)
def test_an_event_on_the_bus_of_such_a_kind_is_refused_or_taken(key: str, kind: type, status: str, value: Any) -> None:
    nested = deep(value, kind) if isinstance(value, int) and value <= 100_000 else value
    detail = {"generationId": "c1.0.1", "status": status, key: nested}
    try:
        generation_id, result = parse_completion(detail)
    except InvalidInput as error:
        assert all(len(fault.message) < 200 for fault in error.faults)
    else:
        assert generation_id == "c1.0.1"
        documents.to_text([list(result.payload), result.failure.message if result.failure else None]).encode()


def test_a_body_within_the_bounds_is_kept_to_the_last_digit(call: Caller) -> None:
    text = f'{{"spell":"a-cat","inputs":{{"prompt":"x","n":{"9" * MOST_DIGITS},"deep":{"[" * (MAX_DEPTH - 2)}'
    text += "]" * (MAX_DEPTH - 2) + "}}"
    started = call("POST", "/v1/casts", text=text)
    assert started.status == 202, started.text
    found = call("GET", f"/v1/casts/{started.json['castId']}").json
    sent = json.loads(text)["inputs"]
    assert {key: found["inputs"][key] for key in sent} == sent
