from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault
from spellcast.domain.segments import IMMEDIATE_SECONDS_PER_SEGMENT
from spellcast.domain.tool_definitions import EDITOR_FORMAT, find_tool_faults
from tests.fakes.records import tool_document

SERVICES = {"fake": ("immediate", "async", "webhook"), "quick": ("immediate",), "slow": ("async", "webhook")}
SCHEMA: Document = {
    "mode": {"type": "enum", "enum": ["a", "b"], "default": "a"},
    "size": {"type": "number", "default": 1.5},
    "loop": {"type": "boolean", "default": False},
}


def found(schema: Document | None = None, **more: Any) -> list[Fault]:
    return find_tool_faults(tool_document(SCHEMA if schema is None else schema, **more), SERVICES)


def shown_if(field: Any, *values: Any) -> Document:
    return {"type": "string", "visibleIf": {"field": field, "values": list(values)}}


@pytest.mark.parametrize(
    "definition",
    [
        {},
        {"platformHints": {"primaryInput": "size"}},
        {"deadlineSeconds": IMMEDIATE_SECONDS_PER_SEGMENT},
        {"deliveryMode": "async", "deadlineSeconds": IMMEDIATE_SECONDS_PER_SEGMENT + 1},
        {"service": "slow", "deliveryMode": "webhook"},
        {"metadata": {"workflow": {"9": {"class_type": "SaveImage", "inputs": {}}}}},
        {"metadata": {"workflow": {"nodes": {"class_type": "SaveImage"}}}},
        {"inputSchema": {**SCHEMA, "more": shown_if("mode", "b"), "most": shown_if("more", "any text")}},
        {"inputSchema": {"x": {"default": None}, "y": {"type": "integer", "enum": [1, "2"], "default": "2"}}},
        {"migrations": {"2.0.0": {"parameters": {"old": "size", "gone": {"default": None}}}}},
        {"migrations": {"1.0.0": {"parameters": {"a": "b"}}, "1.0.10": {"parameters": {"b": "size"}}}},
    ],
)
def test_a_definition_that_works_has_no_faults(definition: Document) -> None:
    assert found(**{"schema": definition.pop("inputSchema", None), **definition}) == []


@pytest.mark.parametrize(
    ("more", "path", "message"),
    [
        ({"service": "nope"}, "service", "there is none of this name; there are fake, quick, slow"),
        ({"service": "quick", "deliveryMode": "async"}, "deliveryMode", "of a tool of the service quick is immediate"),
        ({"service": "slow"}, "deliveryMode", "of a tool of the service slow is async or webhook"),
        (
            {"deadlineSeconds": IMMEDIATE_SECONDS_PER_SEGMENT + 1},
            "deadlineSeconds",
            f"of an immediate tool is at most {IMMEDIATE_SECONDS_PER_SEGMENT}",
        ),
        ({"metadata": {"workflow": {"nodes": [], "links": []}}}, "metadata.workflow", EDITOR_FORMAT),
        ({"platformHints": {"primaryInput": "x"}}, "platformHints.primaryInput", "there is no input 'x'"),
    ],
)
def test_what_keeps_a_tool_from_working_is_named(more: Document, path: str, message: str) -> None:
    assert found(**more) == [Fault(path, message)]


@pytest.mark.parametrize(
    ("field", "path", "message"),
    [
        ({"type": "number", "default": "many"}, "default", "is not a number"),
        ({"type": "integer", "default": 1.5}, "default", "is not a whole number"),
        ({"type": "boolean", "default": "yes"}, "default", "is neither true nor false"),
        ({"type": "object", "default": []}, "default", "is not an object"),
        ({"type": "enum", "enum": ["a"], "default": "b"}, "default", "is none of a"),
        ({"type": "number", "enum": [1, "x"], "default": 1}, "enum[1]", "is not a number"),
        (shown_if("x", "a"), "visibleIf.field", "an input does not decide on itself"),
        (shown_if("nope", "a"), "visibleIf.field", "there is no input 'nope'"),
        (shown_if("loop", True, "true"), "visibleIf.values[1]", "is neither true nor false: loop never has this value"),
    ],
)
def test_what_is_wrong_with_an_input_is_named(field: Document, path: str, message: str) -> None:
    assert found({**SCHEMA, "x": field}) == [Fault(f"inputSchema.x.{path}", message)]


def test_inputs_that_decide_on_each_other_in_a_circle_are_all_named() -> None:
    schema = {"d": shown_if("a", "1"), "a": shown_if("b", "1"), "b": shown_if("c", "1"), "c": shown_if("a", "1")}
    assert {fault.path for fault in found(schema)} == {f"inputSchema.{key}.visibleIf.field" for key in "abc"}


@pytest.mark.parametrize(
    ("migrations", "paths"),
    [
        ({"2": {"parameters": {}}}, ["migrations.2"]),
        ({"1.0.0\n": {"parameters": {}}}, ["migrations.1.0.0\n"]),
        ({"2.0.0": {"parameters": {"old": "gone"}}}, ["migrations.2.0.0.parameters.old"]),
        (
            {"2.0.0": {"parameters": {"old": {"default": "x", "when": {"field": "f", "value": 1, "use": "y"}}}}},
            ["migrations.2.0.0.parameters.old.default", "migrations.2.0.0.parameters.old.when.use"],
        ),
        # An earlier version cannot rename what a later one has renamed to: 10 comes after 9.
        (
            {"1.0.10": {"parameters": {"a": "b"}}, "1.0.9": {"parameters": {"b": "size"}}},
            ["migrations.1.0.10.parameters.a"],
        ),
    ],
)
def test_a_migration_leads_to_inputs_that_exist(migrations: Document, paths: list[str]) -> None:
    assert [fault.path for fault in found(migrations=migrations)] == paths


def test_every_fault_is_named_at_once() -> None:
    faults = found(
        {"n": {"type": "number", "default": "x"}, "m": shown_if("o")},
        service="nope",
        platformHints={"primaryInput": "x"},
        migrations={"1": {}},
    )
    assert [fault.path for fault in faults] == [
        "service",
        "platformHints.primaryInput",
        "inputSchema.n.default",
        "inputSchema.m.visibleIf.field",
        "migrations.1",
    ]


def test_a_long_way_is_gone_over_once() -> None:
    schema = {f"f{number}": shown_if(f"f{number + 1}", "1") for number in range(20_000)}
    assert [fault.path for fault in found(schema)] == ["inputSchema.f19999.visibleIf.field"]
    many = list(range(100_000))
    assert found({"mode": {"type": "enum", "enum": many}, "x": shown_if("mode", *many)}) == []


FIELDS = ["type", "enum", "default", "visibleIf", "field", "values", "a"]
PARTS = ["inputSchema", "service", "deliveryMode", "deadlineSeconds", "platformHints", "primaryInput"]
KEYS = st.sampled_from([*PARTS, *FIELDS, "migrations", "1.0.0", "parameters", "when", "use"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | KEYS | st.just("number"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, VALUES), st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES)))
def test_whatever_the_shape_only_faults_come_of_it(document: Document, schema: Document) -> None:
    for definition in (document, {**document, "inputSchema": schema}, {**document, "migrations": schema}):
        assert all(isinstance(fault, Fault) for fault in find_tool_faults(definition, SERVICES))
