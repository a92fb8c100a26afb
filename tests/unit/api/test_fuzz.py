"""Whatever is sent, the answer is 2xx or 4xx, in the shape that the contract gives it (contract I10)."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spellcast.api.answers import ErrorAnswer
from tests.fakes.world import ACCOUNT, INTERNAL_KEY, World
from tests.unit.api.caller import KEY, Caller, Reply, documented_routes

# Infinities and lone surrogates have tests of their own in test_bad_input.
texts = st.text(max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
GOOD: dict[str, dict[str, Any]] = {
    "/v1/spells": {
        "name": "A cat",
        "description": "",
        "steps": [
            {"id": "n0", "toolIdentifier": "free", "parameterOverrides": {"prompt": "a"}, "outputMappings": {"a": "b"}},
            {
                "id": "n1",
                "stepId": 2,
                "toolIdentifier": "paid",
                "fallbackTool": "free",
                "parameterMappings": {
                    "text": {"type": "nodeOutput", "nodeId": "n0", "outputKey": "text", "paramKey": "x"},
                    "prompt": {"type": "static", "value": 1},
                },
            },
        ],
        "exposedInputs": [{"nodeId": "n0", "paramKey": "prompt", "defaultValue": 1}],
        "connections": [{}],
        "visibility": "listed",
        "tags": ["a"],
    },
    "/v1/casts": {
        "spell": "a-cat",
        "inputs": {"prompt": "x"},
        "version": 1,
        "webhookUrl": "https://hooks.example/",
        "webhookSecret": "s",
        "budgetUsd": "1",
        "metadata": {"a": {}},
    },
    "/v1/accounts/me/settings": {"tools": {"free": {"prompt": "a", "text": 1}, "paid": {}}},
    "/v1/tools/import": {
        "kind": "replicate",
        "model": "owner/model",
        "openapi": {
            "components": {
                "schemas": {
                    "Input": {"properties": {"prompt": {"type": "string", "x-order": 1}}, "required": ["prompt"]}
                }
            }
        },
        "toolId": "imported",
        "displayName": "Imported",
        "costingModel": {"rateSource": "machine", "rate": "1", "unit": "second"},
    },
    "/v1/tools": {
        "toolId": "mine",
        "service": "fake",
        "displayName": "Mine",
        "version": "1.1.0",
        "migrations": {
            "1.1.0": {
                "parameters": {"a": "url", "b": {"default": "n", "when": {"field": "a", "value": 1, "use": "url"}}}
            }
        },
        "inputSchema": {
            "url": {"type": "url", "default": 1, "enum": [1]},
            "n": {"type": "number", "visibleIf": {"field": "url", "values": [1]}},
        },
        "outputSchema": {"text": {"type": "string"}},
        "costingModel": {"rateSource": "static", "staticCost": {"amount": "1", "unit": "run"}, "rate": 1},
        "deliveryMode": "async",
        "deadlineSeconds": 9,
        "webhookStrategy": {"resultPath": ["output"]},
        "platformHints": {"primaryInput": "url", "more": 1},
        "metadata": {
            "costTable": {"m": {"s": {"q": "0.04"}}},
            "tokenPrices": {"default": {"input": "0.1", "output": 0.2}},
            "estimatedDurationSeconds": 9,
            "estimatedTokens": 9,
        },
    },
    "/v1/spells/a-cat/quote": {"inputs": {"prompt": "x"}},
}


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of everything within a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, child in items for place in places(child, (*at, key)))]


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, Any]:
    """A good body of a route with one to three of its parts replaced, dropped or added to."""
    path = draw(st.sampled_from(sorted(GOOD)))
    body: Any = copy.deepcopy(GOOD[path])
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(places(body)))
        if not place:
            body = draw(st.one_of(json_values, st.just(body)))
            continue
        parent = body
        for key in place[:-1]:
            parent = parent[key]
        match draw(st.integers(0, 2)):
            case 0:
                parent[place[-1]] = draw(json_values)
            case 1:
                del parent[place[-1]]
            case _ if isinstance(parent, dict):
                parent[draw(texts)] = draw(json_values)
    return path, body


def check(reply: Reply) -> None:
    assert 200 <= reply.status < 500, reply.text
    document = reply.json
    if reply.status >= 400:
        ErrorAnswer.model_validate(document)


def method(path: str) -> str:
    return "PUT" if path.endswith("/settings") else "POST"


def caller() -> Caller:
    call = Caller(World())
    call("POST", "/v1/spells", GOOD["/v1/spells"])
    return call


def test_the_bodies_that_are_varied_are_right() -> None:
    call = caller()
    assert all(call(method(path), path, body).status < 300 for path, body in GOOD.items())


fuzzed = settings(max_examples=200, suppress_health_check=list(HealthCheck))


@fuzzed
@given(sent=bodies())
def test_a_body_that_is_nearly_right(sent: tuple[str, Any]) -> None:
    call = caller()
    before = len(call.world.store.writes)
    reply = call(method(sent[0]), sent[0], sent[1])
    check(reply)
    if reply.status >= 400:
        assert len(call.world.store.writes) == before


@settings(fuzzed, max_examples=100)
@given(
    path=st.sampled_from(sorted(GOOD)),
    text=st.one_of(st.text(), json_values.map(json.dumps), st.binary().map(lambda data: data.decode("latin-1"))),
    headers=st.dictionaries(
        st.sampled_from(["idempotency-key", "content-type", "accept", "content-encoding"]), st.text()
    ),
)
def test_a_body_that_is_not(path: str, text: str, headers: dict[str, str]) -> None:
    call = caller()
    check(call(method(path), path, text=text, headers=headers))
    check(call(method(path), path, data=text.encode(), headers=headers))


@settings(fuzzed, max_examples=100)
@given(
    route=st.sampled_from([route for route in documented_routes() if route[1].startswith("/v1/")]),
    name=st.text(min_size=1, max_size=30),
    query=st.dictionaries(st.sampled_from(["limit", "cursor", "status", "version", "x"]), st.text(max_size=20)),
    body=st.none() | json_values,
)
def test_any_name_and_query_on_any_route(route: tuple[str, str], name: str, query: dict[str, str], body: Any) -> None:
    verb, path = route
    check(caller()(verb, path.partition("{")[0] + name if "{" in path else path, body, query=query, key=KEY))


INTERNAL: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/events"): {"masterAccountId": ACCOUNT, "eventType": "t", "eventData": {}, "sourcePlatform": "web"},
    ("POST", "/execute"): {"toolId": "free", "inputs": {}, "user": {"masterAccountId": ACCOUNT}, "metadata": {}},
    ("POST", "/spells/cast"): {
        "slug": "a-cat",
        "context": {"masterAccountId": ACCOUNT, "webhookUrl": "", "castId": "c"},
    },
    ("PUT", "/spells/casts/{}"): {"status": "failed", "failureReason": "x", "costDeltaUsd": 0, "generationId": ""},
    ("PUT", "/generations/{}.0.1"): {"status": "completed", "responsePayload": [], "costUsd": "1", "metadata": {}},
}


@fuzzed
@given(route=st.sampled_from(sorted(INTERNAL)), key=texts, value=json_values, at=st.data())
def test_a_body_of_an_internal_route(route: tuple[str, str], key: str, value: Any, at: st.DataObject) -> None:
    call = caller()
    cast = call.world.cast("called")
    call.world.execute(cast)
    good = INTERNAL[route]
    body = {**good, at.draw(st.sampled_from([*good, key])): value}
    path = f"/internal/v1/data{route[1].replace('{}', cast.cast_id)}"
    check(call(route[0], path, body, headers={"x-internal-client-key": INTERNAL_KEY}, key=None))


@settings(fuzzed, max_examples=100)
@given(
    path=st.sampled_from(["/events/", "/generations/", "/generations/last/", "/spells/casts/", "/generations"]),
    name=st.text(max_size=30),
    query=st.dictionaries(
        st.sampled_from(["masterAccountId", "_id_in", "castId", "limit", "sort", "page", "status_in", "x"]),
        st.text(max_size=20),
    ),
)
def test_any_name_and_query_on_an_internal_route(path: str, name: str, query: dict[str, str]) -> None:
    headers = {"x-internal-client-key": INTERNAL_KEY}
    check(caller()("GET", f"/internal/v1/data{path}{name}", query=query, headers=headers, key=None))
