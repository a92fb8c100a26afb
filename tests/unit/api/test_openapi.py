"""The API's description, and its page."""

from __future__ import annotations

import re
from typing import Any

from tests.unit.api.caller import Caller, documented_routes, openapi, unclosed_files

# Taken by a function of its own (tests/functions/test_complete_job.py), and described with the others.
COMPLETIONS = ("POST", "/v1/completions/{token}")
# Those that need no credentials of a caster.
OPEN = ("GET /v1/health", "POST /v1/completions/{token}")
CONTRACT = {
    ("POST", "/v1/completions/{}"),
    ("POST", "/v1/spells"),
    ("GET", "/v1/spells"),
    ("GET", "/v1/spells/{}"),
    ("PUT", "/v1/spells/{}"),
    ("DELETE", "/v1/spells/{}"),
    ("POST", "/v1/spells/{}/quote"),
    ("GET", "/v1/spells/{}/graph"),
    ("GET", "/v1/spells/{}/permissions"),
    ("PUT", "/v1/spells/{}/permissions/{}"),
    ("DELETE", "/v1/spells/{}/permissions/{}"),
    ("POST", "/v1/casts"),
    ("GET", "/v1/casts"),
    ("GET", "/v1/casts/{}"),
    ("GET", "/v1/casts/{}/graph"),
    ("POST", "/v1/casts/{}/cancel"),
    ("POST", "/v1/casts/{}/resume"),
    ("GET", "/v1/generations/{}"),
    ("POST", "/v1/generations/{}/retry"),
    ("GET", "/v1/tools"),
    ("GET", "/v1/tools/{}"),
    ("POST", "/v1/tools"),
    ("POST", "/v1/tools/import"),
    ("DELETE", "/v1/tools/{}"),
    ("POST", "/v1/realtime/ticket"),
    ("GET", "/v1/health"),
    ("GET", "/v1/accounts/me/settings"),
    ("PUT", "/v1/accounts/me/settings"),
    ("GET", "/v1/accounts/me/keys"),
    ("POST", "/v1/accounts/me/keys/{}/rotate"),
    ("DELETE", "/v1/accounts/me/keys/{}"),
    ("GET", "/v1/accounts/me/ledger"),
}


def operations() -> dict[str, Any]:
    return {
        f"{method.upper()} {path}": operation
        for path, item in openapi()["paths"].items()
        for method, operation in item.items()
    }


def test_it_is_an_openapi_3_1_document() -> None:
    document = openapi()
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "Spellcast"
    assert document["info"]["version"]


def test_it_names_the_routes_of_the_contract() -> None:
    found = {
        (method, re.sub(r"\{\w+\}", "{}", path)) for method, path in documented_routes() if path.startswith("/v1/")
    }
    assert found == CONTRACT


@unclosed_files
def test_every_route_that_it_names_exists(call: Caller) -> None:
    """A route that does not exist is told from a thing that does not by its code."""
    for method, path in set(documented_routes()) - {COMPLETIONS}:
        reply = call(method, re.sub(r"\{\w+\}", "x", path))
        assert reply.status != 404 or reply.code != "NOT_FOUND", path


def test_every_reference_leads_somewhere() -> None:
    document = openapi()
    for reference in set(re.findall(r"'\$ref': '([^']+)'", str(document))):
        node: Any = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
        assert node


def test_all_but_health_say_that_they_need_credentials() -> None:
    document = openapi()
    assert document["components"]["securitySchemes"].keys() == {"apiKey", "bearer"}
    assert {"apiKey": []} in document["security"]
    for name, operation in operations().items():
        if name not in OPEN:
            assert operation.get("security") != [], name


def test_health_and_callbacks_say_that_they_need_none() -> None:
    assert all(operations()[name]["security"] == [] for name in OPEN)


def test_no_refusal_is_named_that_no_route_answers() -> None:
    document = openapi()
    assert not any("422" in operation["responses"] for operation in operations().values())
    assert not {"HTTPValidationError", "ValidationError"} & document["components"]["schemas"].keys()


def test_every_operation_says_what_it_does_and_what_it_answers() -> None:
    for name, operation in operations().items():
        assert operation["summary"], name
        if name != "GET /v1/health":
            assert {"400", "401"} <= operation["responses"].keys(), name
        for status, answer in operation["responses"].items():
            assert answer["description"], (name, status)
            if name not in OPEN and status != "204":
                kind = "image/svg+xml" if name.endswith("/graph") and status == "200" else "application/json"
                assert answer["content"][kind]["schema"], (name, status)


def test_a_body_may_be_absent_but_not_null(call: Caller) -> None:
    quote = operations()["POST /v1/spells/{spell}/quote"]["requestBody"]
    assert quote == {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/QuoteBody"}}}}
    assert call("POST", "/v1/spells/x/quote", text="null").status == 400
    assert call("POST", "/v1/spells/x/quote").status == 404


def test_ids_of_operations_are_unique() -> None:
    ids = [operation["operationId"] for operation in operations().values()]
    assert len(set(ids)) == len(ids)


@unclosed_files
def test_the_page_is_html(call: Caller) -> None:
    page = call("GET", "/docs", key=None)
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    assert page.text.lstrip().lower().startswith("<!doctype html")
    assert "Spellcast" in page.text
