from __future__ import annotations

from typing import Any

import pytest

from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault
from spellcast.domain.linter import MAX_STEPS, find_faults, find_warnings
from spellcast.domain.tools import parse_tool
from tests.fakes.records import tool_document

TOOL = parse_tool(
    tool_document(
        {
            "prompt": {"type": "text", "required": False},
            "strength": {"type": "number"},
            "count": {"type": "number", "default": 1},
        }
    )
)
OPEN = parse_tool(tool_document())
TOOLS = {"tool": TOOL, "open": OPEN}


def step(**more: Any) -> Document:
    return {"toolIdentifier": "tool", **more}


def wire(node: Any, output: Any = "text") -> Document:
    return {"type": "nodeOutput", "nodeId": node, "outputKey": output}


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        pytest.param({"steps": []}, [("steps", "a spell needs at least one step")], id="no step"),
        pytest.param(
            {"steps": [step()] * (MAX_STEPS + 1)},
            [("steps", "a spell has at most 50 steps, this one has 51")],
            id="too many",
        ),
        pytest.param({"steps": [step()] * MAX_STEPS}, [], id="as many as there may be"),
        pytest.param(
            {"steps": [step(), {"id": "n2"}]}, [("steps[1].toolIdentifier", "a step names its tool")], id="no tool"
        ),
        pytest.param(
            {"steps": [step(toolIdentifier="nope")]},
            [("steps[0].toolIdentifier", "there is no tool 'nope'")],
            id="unknown tool",
        ),
        pytest.param(
            {"steps": [step(id="n"), step(), step(id="n")]},
            [("steps[2].id", "'n' is also steps[0]'s id")],
            id="an id twice",
        ),
        pytest.param({"steps": [step(stepId=1), step(stepId=1)]}, [], id="step ids may repeat, as in the original"),
        pytest.param(
            {"steps": [step(id="a"), step(id="b", parameterMappings={"prompt": wire("a")})]}, [], id="a good wire"
        ),
        pytest.param(
            {"steps": [step(id="a", parameterMappings={"prompt": wire("zz")})]},
            [("steps[0].parameterMappings.prompt.nodeId", "no step has the id 'zz'")],
            id="a wire from nowhere",
        ),
        pytest.param(
            {"steps": [step(id="a", parameterOverrides={"prompt": wire("zz")})]},
            [("steps[0].parameterOverrides.prompt.nodeId", "no step has the id 'zz'")],
            id="a wire in an override",
        ),
        pytest.param(
            {"steps": [step(id="a", parameterMappings={"prompt": wire("a")})]},
            [("steps[0].parameterMappings.prompt.nodeId", "'a' does not run before this step")],
            id="a wire from the step itself",
        ),
        pytest.param(
            {"steps": [step(id="a", parameterMappings={"prompt": wire("b")}), step(id="b")]},
            [("steps[0].parameterMappings.prompt.nodeId", "'b' does not run before this step")],
            id="a wire from a later step",
        ),
        pytest.param(
            {"steps": [step(id="a"), step(parameterMappings={"prompt": wire("a", " ")})]},
            [("steps[1].parameterMappings.prompt.outputKey", "a wire names the output that it takes")],
            id="a wire without an output",
        ),
        pytest.param(
            {"steps": [step(parameterMappings={"prompt": {"type": "static", "value": 1}, "x": "raw"})]},
            [],
            id="other mappings are no wires",
        ),
        pytest.param(
            {"steps": [step(id="a"), step()], "exposedInputs": [{"nodeId": "b", "paramKey": "prompt"}]},
            [("exposedInputs[0].nodeId", "no step has the id 'b'")],
            id="an exposed input of no step",
        ),
        pytest.param(
            {
                "steps": [step(id="a"), step(), step(stepId=7)],
                "exposedInputs": [{"nodeId": node, "paramKey": "prompt"} for node in ("a", "2", 7)],
            },
            [],
            id="exposed inputs of steps of every shape",
        ),
        pytest.param(
            {
                "steps": [
                    step(toolIdentifier="nope", id="a"),
                    step(id="a", parameterMappings={"prompt": wire("zz", "")}),
                ],
                "exposedInputs": [{"nodeId": "q", "paramKey": "prompt"}],
            },
            [
                ("steps[0].toolIdentifier", "there is no tool 'nope'"),
                ("steps[1].id", "'a' is also steps[0]'s id"),
                ("steps[1].parameterMappings.prompt.nodeId", "no step has the id 'zz'"),
                ("steps[1].parameterMappings.prompt.outputKey", "a wire names the output that it takes"),
                ("exposedInputs[0].nodeId", "no step has the id 'q'"),
            ],
            id="every fault is named at once",
        ),
    ],
)
def test_the_faults_of_a_spell(content: Document, faults: list[tuple[str, str]]) -> None:
    assert find_faults(content, TOOLS) == [Fault(*fault) for fault in faults]


NOT_MAPPED = ("steps[0]", "required input 'strength' of Tool is not mapped")


@pytest.mark.parametrize(
    ("content", "warnings"),
    [
        pytest.param({"steps": [step(id="a")]}, [NOT_MAPPED], id="a required input that nothing supplies"),
        pytest.param({"steps": [step(parameterOverrides={"strength": 1})]}, [], id="an override supplies it"),
        pytest.param(
            {"steps": [step(parameterMappings={"strength": {"type": "static", "value": 1}})]}, [], id="a mapping does"
        ),
        pytest.param(
            {"steps": [step(id="a")], "exposedInputs": [{"nodeId": "a", "paramKey": "strength"}]},
            [],
            id="the caster may, where it is exposed",
        ),
        pytest.param(
            {"steps": [step(id="a")], "exposedInputs": [{"nodeId": "a", "paramKey": "prompt"}]},
            [NOT_MAPPED],
            id="another exposed input does not",
        ),
        pytest.param(
            {"steps": [step(parameterOverrides={"strength": 1, "strenght": 1})]},
            [("steps[0]", "Tool has no input 'strenght'")],
            id="an input that the tool does not have",
        ),
        pytest.param(
            {"steps": [step(toolIdentifier="open", parameterOverrides={"anything": 1})]},
            [],
            id="a tool without a schema takes anything",
        ),
    ],
)
def test_the_warnings_of_a_spell(content: Document, warnings: list[tuple[str, str]]) -> None:
    assert find_warnings(content, TOOLS) == [Fault(*warning) for warning in warnings]


def test_a_required_image_that_no_step_can_supply_is_warned_of() -> None:
    # Contract §3 row 6; the step before it makes text only, and the caster cannot know the node's inputs.
    painter = parse_tool(tool_document({"picture": {"type": "image"}}))
    content = {"steps": [{"id": "a", "toolIdentifier": "tool"}, {"id": "b", "toolIdentifier": "painter"}]}
    warnings = find_warnings(content, {"tool": OPEN, "painter": painter})
    assert Fault("steps[1]", "required input 'picture' of Tool is not mapped") in warnings


def test_a_legacy_name_is_an_input() -> None:
    tool = parse_tool(tool_document({"inputText": {"type": "string", "required": False}}))
    content = {"steps": [step(parameterOverrides={"stringA": "a"})]}
    assert find_warnings(content, {"tool": tool}) == []


@pytest.mark.parametrize("section", ["parameterMappings", "parameterOverrides"])
def test_an_authors_value_that_the_tool_cannot_take_is_a_fault(section: str) -> None:
    tool = parse_tool(tool_document({"size": {"type": "integer", "required": False}}))
    mapped = section == "parameterMappings"
    value = {"type": "static", "value": "wide"} if mapped else "wide"
    faults = find_faults({"steps": [step(**{section: {"size": value}})]}, {"tool": tool})
    path = f"steps[0].{section}.size" + (".value" if mapped else "")
    assert faults == [Fault(path, "is not a whole number")]
