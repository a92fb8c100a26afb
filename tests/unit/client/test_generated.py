"""The client knows every route and every schema of the API's description; the schema of spell files is the API's."""

from __future__ import annotations

import inspect
import json
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel, ValidationError

from scripts import generate_client
from spellcast_client import AsyncClient, Client, models
from spellcast_client.calls import Call
from spellcast_client.routes import AsyncRoutes, Routes
from tests.unit.api.caller import openapi

SCHEMAS: dict[str, Any] = openapi()["components"]["schemas"]
SPELL_SCHEMA = json.loads((generate_client.PACKAGE / "spell.schema.json").read_text("utf-8"))
STEP = {"id": "a", "toolIdentifier": "t"}


def methods(routes: type) -> dict[str, Any]:
    return {name: method for name, method in vars(routes).items() if not name.startswith("_")}


def test_the_script_reads_the_document_that_the_api_answers() -> None:
    assert generate_client.openapi() == openapi()


@pytest.mark.parametrize("path", generate_client.written(openapi()), ids=lambda path: path.name)
def test_what_is_written_is_what_is_there(path: Any) -> None:
    assert path.read_text("utf-8") == generate_client.written(openapi())[path], "make generated writes it anew"


def test_every_route_has_a_method() -> None:
    asked: set[tuple[str, str]] = set()

    class Asked(Routes):
        def _send(self, call: Call[Any]) -> Any:
            asked.add((call.method.lower(), call.path))

    for name, method in methods(Routes).items():
        parameters = list(inspect.signature(method).parameters.values())[1:]
        # What a path is made of is put into it as it is called in the description.
        needed = [{} if item.name == "body" else f"({item.name})" for item in parameters if item.default is item.empty]
        getattr(Asked(), name)(*needed)
    described = {
        (method, path.replace("{", "%28").replace("}", "%29"))
        for path, item in openapi()["paths"].items()
        for method in item
    }
    assert asked == described


def test_who_awaits_has_the_same_methods() -> None:
    assert methods(Routes).keys() == methods(AsyncRoutes).keys()
    for name, method in methods(Routes).items():
        assert inspect.signature(method) == inspect.signature(methods(AsyncRoutes)[name]), name
        assert inspect.iscoroutinefunction(methods(AsyncRoutes)[name])
    assert {"watch", "listen"} <= vars(Client).keys() & vars(AsyncClient).keys()


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_a_model_of_the_same_fields(name: str) -> None:
    schema, model = SCHEMAS[name], getattr(models, generate_client.model_name(name))
    assert issubclass(model, BaseModel)
    fields = {field.alias: field.is_required() for field in model.model_fields.values()}
    assert fields == {key: key in schema.get("required", ()) for key in schema["properties"]}


SPELLS: list[tuple[dict[str, Any], bool]] = [
    ({"name": "n", "steps": [STEP]}, True),
    ({"name": "n", "steps": [STEP], "tags": ["a"], "visibility": "listed", "description": ""}, True),
    ({"name": "n", "steps": [{**STEP, "stepId": 3, "fallbackTool": None}]}, True),
    ({"name": "n", "steps": [{**STEP, "parameterMappings": {"p": {"type": "static", "value": None}}}]}, True),
    ({"name": "n"}, False),
    ({"name": "n", "steps": []}, False),
    ({"name": "n", "steps": [STEP] * 51}, False),
    ({"name": "n" * 201, "steps": [STEP]}, False),
    ({"name": "n", "steps": [{"id": "a"}]}, False),
    ({"name": "n", "steps": [{**STEP, "id": 7}]}, False),
    ({"name": "n", "steps": [{**STEP, "parameterMappings": {"p": {"type": "else"}}}]}, False),
    ({"name": "n", "steps": [{**STEP, "parameterMappings": {"p": {"type": "nodeOutput", "nodeId": "a"}}}]}, False),
    ({"name": "n", "steps": [STEP], "visibility": "hidden"}, False),
    ({"name": "n", "steps": [STEP], "colour": "red"}, False),
]


@pytest.mark.parametrize(("spell", "is_good"), SPELLS)
def test_the_schema_of_files_and_the_model_say_the_same(spell: dict[str, Any], is_good: bool) -> None:
    validator = jsonschema.Draft202012Validator(SPELL_SCHEMA)
    assert validator.is_valid(spell) == is_good
    assert validator.is_valid({**spell, "$schema": "./spell.schema.json"}) == is_good
    try:
        models.SpellBody.model_validate(spell)
    except ValidationError:
        assert not is_good
    else:
        assert is_good


def test_the_schema_of_files_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SPELL_SCHEMA)
