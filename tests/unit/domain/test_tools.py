from __future__ import annotations

from decimal import Decimal

import pytest

from spellcast.domain.costing import Costing
from spellcast.domain.documents import Document
from spellcast.domain.tools import parse_tool, unknown_tool
from tests.fakes.records import tool_document


@pytest.mark.parametrize(
    ("more", "seconds"),
    [
        ({}, 60),
        ({"deliveryMode": "immediate"}, 60),
        ({"deliveryMode": "async"}, 900),
        ({"deliveryMode": "webhook"}, 900),
        ({"deliveryMode": "webhook", "deadlineSeconds": 90}, 90),
        ({"deadlineSeconds": None}, 60),
    ],
)
def test_a_tool_has_a_deadline(more: Document, seconds: int) -> None:
    assert parse_tool(tool_document(**more)).deadline_seconds == seconds


@pytest.mark.parametrize(("mode", "immediate"), [("immediate", True), ("async", False), ("webhook", False)])
def test_an_immediate_tool_is_no_job(mode: str, immediate: bool) -> None:
    assert parse_tool(tool_document(deliveryMode=mode)).is_immediate is immediate


@pytest.mark.parametrize(
    ("model", "free"),
    [
        (None, True),
        ({}, True),
        ({"rateSource": "machine"}, True),
        ({"rateSource": "static", "staticCost": {"amount": 0, "unit": "token"}}, True),
        ({"rateSource": "static", "staticCost": {"amount": "0.00", "unit": "run"}}, True),
        ({"rateSource": "static", "staticCost": {"amount": 1e-7, "unit": "run"}}, False),
        ({"rateSource": "machine", "rate": "0.001", "unit": "second"}, False),
    ],
)
def test_a_tool_is_free_where_its_rate_is_known_to_be_nothing(model: Document | None, free: bool) -> None:
    assert parse_tool(tool_document(costingModel=model)).is_free is free


def test_a_rate_is_the_figure_that_its_author_wrote() -> None:
    model = {"rateSource": "machine", "rate": 0.1, "unit": "second"}
    assert parse_tool(tool_document(costingModel=model)).costing == Costing(Decimal("0.1"), "second")


def test_an_input_is_read_with_its_default_and_choices() -> None:
    schema = {"size": {"type": "enum", "default": "s", "enum": ["s", "l"]}, "note": {"required": False}}
    size, note = parse_tool(tool_document(schema)).inputs.values()
    assert (size.type, size.required, size.has_default, size.default, size.enum) == (
        "enum",
        True,
        True,
        "s",
        ("s", "l"),
    )
    assert (note.type, note.required, note.has_default, note.default, note.enum) == ("string", False, False, None, ())


def test_a_tool_is_read_whole() -> None:
    document = tool_document({"prompt": {"type": "text"}}, metadata={"outputType": "image"}, version="2.1.0")
    tool = parse_tool(document)
    assert (tool.tool_id, tool.service, tool.display_name, tool.version) == ("tool", "fake", "Tool", "2.1.0")
    assert (tool.metadata, tool.document) == ({"outputType": "image"}, document)


def test_a_tool_may_take_nothing_and_say_little() -> None:
    tool = parse_tool({"toolId": "t", "service": "fake", "displayName": "T", "metadata": None})
    assert (tool.inputs, tool.metadata, tool.version, tool.primary_input) == ({}, {}, "1.0.0", None)


def test_a_tool_that_is_gone_goes_by_its_identifier_and_costs_nothing() -> None:
    tool = unknown_tool("painter")
    assert (tool.tool_id, tool.service, tool.display_name, tool.is_free) == ("painter", "unknown", "painter", True)


def test_a_falsy_default_is_one() -> None:
    (field,) = parse_tool(tool_document({"loop": {"type": "boolean", "default": False}})).inputs.values()
    assert field.has_default


def test_the_primary_input_is_a_hint_that_may_be_missing() -> None:
    assert parse_tool(tool_document(platformHints={"primaryInput": "prompt"})).primary_input == "prompt"
    assert parse_tool(tool_document(platformHints=None)).primary_input is None


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("number", 1.5, None),
        ("number", "1.5", None),
        ("number", "wide", "is not a number"),
        ("number", True, "is not a number"),
        ("number", "inf", "is not a number"),
        ("number", 10**400, "is not a number"),
        ("integer", 3, None),
        ("integer", 3.0, None),
        ("integer", 1.5, "is not a whole number"),
        ("integer", "x", "is not a whole number"),
        ("boolean", False, None),
        ("boolean", "yes", "is neither true nor false"),
        ("object", {}, None),
        ("object", [], "is not an object"),
        ("string", 7, None),
    ],
)
def test_a_value_of_another_type_is_refused_with_a_reason(kind: str, value: object, reason: str | None) -> None:
    assert parse_tool(tool_document({"x": {"type": kind}})).inputs["x"].refusal_of(value) == reason


def test_a_value_outside_of_its_choices_is_refused_with_them() -> None:
    field = parse_tool(tool_document({"x": {"type": "enum", "enum": ["a", 1]}})).inputs["x"]
    assert (field.refusal_of("a"), field.refusal_of("b")) == (None, "is none of a, 1")
