from __future__ import annotations

from typing import Any

import pytest

from spellcast.domain.cast_inputs import (
    MAX_WARNINGS,
    find_input_faults,
    find_input_warnings,
    find_missing_warnings,
)
from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault
from spellcast.domain.parameters import resolve
from spellcast.domain.spells import SpellVersion
from spellcast.domain.tools import parse_tool
from tests.fakes.clock import START
from tests.fakes.records import tool_document

TOOLS = {
    "painter": parse_tool(
        tool_document(
            {
                "subject": {"type": "string"},
                "size": {"type": "integer", "required": False},
                "style": {"type": "enum", "required": False, "default": "oil", "enum": ["oil", "ink"]},
                "imageSize": {"type": "number"},
            }
        )
    ),
    "framer": parse_tool(tool_document({"picture": {"type": "image"}, "note": {"type": "string", "required": False}})),
    "joiner": parse_tool(tool_document({"inputText": {"type": "string", "required": False}})),
    "open": parse_tool(tool_document()),
}


def version(*steps: Document, exposed: tuple[tuple[Any, str], ...] = ()) -> SpellVersion:
    content: Document = {"steps": list(steps)}
    content["exposedInputs"] = [{"nodeId": node, "paramKey": parameter} for node, parameter in exposed]
    return SpellVersion(spell_id="s", version=1, name="n", content=content, created_at=START)


def step(tool: str = "painter", **more: Any) -> Document:
    return {"toolIdentifier": tool, **more}


def wire(output: str, **more: str) -> Document:
    return {"type": "nodeOutput", "nodeId": "a", "outputKey": output, **more}


EXPOSED = (("a", "size"), ("a", "style"))


@pytest.mark.parametrize(
    ("inputs", "faults"),
    [
        ({}, []),
        ({"size": 7, "style": "ink"}, []),
        ({"size": "7"}, []),
        ({"size": 1.5}, [("inputs.size", "is not a whole number")]),
        ({"a_size": "wide"}, [("inputs.a_size", "is not a whole number")]),
        # The value under the longer name is the one that is used.
        ({"a_size": 7, "size": "wide"}, []),
        ({"a_size": "wide", "size": 7}, [("inputs.a_size", "is not a whole number")]),
        ({"a_size": " ", "size": "wide"}, [("inputs.size", "is not a whole number")]),
        ({"size": None, "style": ""}, []),
        (
            {"size": [], "style": "chalk"},
            [("inputs.size", "is not a whole number"), ("inputs.style", "is none of oil, ink")],
        ),
        # Not exposed: it may be overlaid by an earlier step's output of this name.
        ({"imageSize": "wide"}, []),
    ],
)
def test_values_that_an_exposed_input_cannot_take(inputs: Document, faults: list[tuple[str, str]]) -> None:
    spell = version(step(id="a"), exposed=EXPOSED)
    assert find_input_faults(spell, TOOLS, inputs) == [Fault(*fault) for fault in faults]


def test_one_value_for_several_steps_is_one_fault() -> None:
    spell = version(step(id="a"), step(id="b"), exposed=(("a", "size"), ("b", "size")))
    assert find_input_faults(spell, TOOLS, {"size": "x"}) == [Fault("inputs.size", "is not a whole number")]


def test_steps_without_an_id_and_inputs_that_no_tool_has_are_exposed_too() -> None:
    spell = version(step(), step(stepId=1), step("joiner"), exposed=(("1", "size"), ("3", "stringA"), (9, "gone")))
    inputs = {"1_size": "x", "stringA": 1, "gone": 1}
    assert find_input_faults(spell, TOOLS, inputs) == [Fault("inputs.1_size", "is not a whole number")]


@pytest.mark.parametrize(
    ("steps", "key", "taken"),
    [
        pytest.param([step()], "size", True, id="a parameter's name"),
        pytest.param([step(), step("framer")], "note", True, id="of a later step"),
        pytest.param([step()], "colour", False, id="no name at all"),
        pytest.param([step()], "Size", False, id="names have their case"),
        pytest.param([step()], "prompt", True, id="an alias of a required text"),
        pytest.param([step()], "inputText", True, id="another"),
        pytest.param([step()], "image_size", True, id="a name in another case"),
        pytest.param([step()], "input_image_size", True, id="with its prefix"),
        pytest.param([step()], "imageUrl", False, id="an alias of another type"),
        pytest.param([step("framer")], "imageUrl", True, id="an alias of a required image"),
        pytest.param([step("framer")], "prompt", False, id="no alias of an optional text"),
        pytest.param([step("joiner")], "stringA", True, id="the name that a tool's input had before"),
        pytest.param([step("open")], "anything", True, id="a tool without a schema"),
        pytest.param([step()], "oil", False, id="a default is no name"),
        pytest.param([step(id="a")], "a_imageSize", False, id="not exposed"),
        pytest.param([step(id="a")], "a_size", True, id="exposed"),
        pytest.param([step("framer", id="a")], "size", True, id="exposed under its bare name"),
        pytest.param(
            [step("framer", parameterMappings={"picture": wire("art")})], "art", True, id="wired by a bare name"
        ),
        pytest.param([step("framer", parameterOverrides={"note": wire("art")})], "art", True, id="in an override"),
        pytest.param(
            [step("framer", parameterMappings={"picture": wire("x", paramKey="art")})],
            "art",
            True,
            id="the wire's paramKey",
        ),
        pytest.param(
            [step("framer", parameterMappings={"x": {"type": "static", "outputKey": "art"}})],
            "art",
            False,
            id="a value is no wire",
        ),
        pytest.param([step("framer", parameterOverrides={"note": "art"})], "art", False, id="nor is a text"),
    ],
)
def test_what_a_step_can_take(steps: list[Document], key: str, taken: bool) -> None:
    warnings = find_input_warnings(version(*steps, exposed=EXPOSED), TOOLS, {key: "x"})
    assert warnings == ([] if taken else [Fault(f"inputs.{key}", "no step of the spell can take it")])


@pytest.mark.parametrize("key", ["size", "prompt", "input_image_size", "imageUrl", "note", "stringA", "colour", "oil"])
@pytest.mark.parametrize("tool", TOOLS)
def test_a_warning_means_that_the_input_changes_nothing(tool: str, key: str) -> None:
    spell = version(step(tool))
    if find_input_warnings(spell, TOOLS, {key: "x"}):
        (only,) = spell.steps
        assert resolve(only, TOOLS[tool], {key: "x"}, {key: "x"}, {}) == resolve(only, TOOLS[tool], {}, {}, {})


RENAMED = tool_document(
    {
        "mode": {"type": "enum", "required": False, "default": "big", "enum": ["big", "small"]},
        "width": {"type": "integer", "required": False},
        "name": {"type": "string", "required": True, "visibleIf": {"field": "mode", "values": ["small"]}},
    },
    version="2.0.0",
    migrations={"2.0.0": {"parameters": {"breadth": "width", "old": {"default": None}}}},
)


def renamed_spell(step_version: str) -> SpellVersion:
    exposed = (("a", "breadth"), ("a", "width"))
    return version(step("renamed", id="a", toolVersion=step_version), exposed=exposed)


@pytest.mark.parametrize(("step_version", "refused"), [("1.0.0", ["breadth", "width"]), ("2.1.0", ["width"])])
def test_an_exposed_input_goes_by_the_name_that_its_steps_version_has(step_version: str, refused: list[str]) -> None:
    tools = {"renamed": parse_tool(RENAMED)}
    for key in ("breadth", "width"):
        faults = find_input_faults(renamed_spell(step_version), tools, {key: "x"})
        assert faults == ([Fault(f"inputs.{key}", "is not a whole number")] if key in refused else [])


@pytest.mark.parametrize(
    ("key", "taken"),
    [("width", True), ("breadth", False), ("old", False), ("name", True), ("prompt", True), ("colour", False)],
)
def test_a_caster_uses_the_names_of_today_also_of_what_is_hidden_now(key: str, taken: bool) -> None:
    tools = {"renamed": parse_tool(RENAMED)}
    assert (find_input_warnings(version(step("renamed")), tools, {key: "x"}) == []) is taken


def test_inputs_are_looked_at_one_by_one() -> None:
    # An alias that another input comes before is no less an input that the tool takes.
    assert find_input_warnings(version(step()), TOOLS, {"prompt": "a", "text": "b", "subject": "c"}) == []


def test_there_are_only_so_many_warnings() -> None:
    inputs = {f"k{number}": 1 for number in range(50_000)}
    assert len(find_input_warnings(version(step(), step("framer")), TOOLS, inputs)) == MAX_WARNINGS


NAMED = "step 0 (Tool) will fail without a value for: "


@pytest.mark.parametrize(
    ("first", "inputs", "settings", "named"),
    [
        pytest.param(step(), {}, {}, "subject, imageSize", id="nothing at all"),
        pytest.param(step(), {"prompt": "a", "imageSize": 3}, {}, None, id="an alias and a name"),
        pytest.param(step(), {"subject": " ", "imageSize": 3}, {}, "subject", id="a blank value is none"),
        pytest.param(step(), {"imageSize": 3}, {"tool": {"subject": "a"}}, None, id="the caster's settings"),
        pytest.param(step(), {"imageSize": 3}, {"other": {"subject": "a"}}, "subject", id="settings of another tool"),
        pytest.param(
            step(id="n", parameterOverrides={"subject": "a", "imageSize": 3}), {}, {}, None, id="the author's values"
        ),
    ],
)
def test_what_the_first_step_lacks_is_warned_of(
    first: Document, inputs: Document, settings: Document, named: str | None
) -> None:
    found = find_missing_warnings(version(first, step("framer")), TOOLS, inputs, settings)
    assert found == ([] if named is None else [Fault("inputs", NAMED + named)])
