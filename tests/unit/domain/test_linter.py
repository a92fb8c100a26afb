from __future__ import annotations

from typing import Any

import pytest

from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault
from spellcast.domain.linter import MAX_STEPS, find_faults, find_own_tools, find_warnings, tool_identifiers
from spellcast.domain.tools import Tool, parse_tool
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


STRONG = {"strength": {"type": "static", "value": "hard"}}


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
            {
                "steps": [
                    step(id="a", parameterMappings={"prompt": wire("b")}),
                    step(id="b", parameterOverrides={"prompt": wire("a")}),
                ]
            },
            [("steps[0].parameterMappings.prompt.nodeId", "'b' does not run before this step")],
            id="two steps that are wired to each other",
        ),
        pytest.param(
            {"steps": [step(id="None"), step(parameterOverrides={"prompt": {"type": "nodeOutput", "outputKey": "x"}})]},
            [("steps[1].parameterOverrides.prompt.nodeId", "no step has the id None")],
            id="a wire from no step at all",
        ),
        pytest.param(
            {"steps": [step(stepId=7), step(parameterMappings={"prompt": wire("7")})]},
            [],
            id="a wire from a step without an id",
        ),
        pytest.param(
            {"steps": [step(stepId=1), step(id="b", parameterMappings={"prompt": wire("1")}), step(stepId=1)]},
            [],
            id="of several without an id the first counts",
        ),
        pytest.param(
            {"steps": [step(parameterMappings={"prompt": wire("2")}), step()]},
            [("steps[0].parameterMappings.prompt.nodeId", "'2' does not run before this step")],
            id="a wire from a later step without an id",
        ),
        pytest.param(
            {"steps": [step(id="3"), step(parameterMappings={"prompt": wire("3")}), step()]},
            [],
            id="an id comes before a place",
        ),
        pytest.param(
            {"steps": [step(parameterMappings={"prompt": {"type": "static", "value": 1}, "x": "raw"})]},
            [],
            id="other mappings are no wires",
        ),
        pytest.param(
            {"steps": [step(parameterMappings={"x": "raw", "prompt": wire("zz")})]},
            [("steps[0].parameterMappings.prompt.nodeId", "no step has the id 'zz'")],
            id="a wire behind other mappings",
        ),
        pytest.param(
            {
                "steps": [
                    step(id="a"),
                    step(parameterOverrides={"strength": "hard", "count": wire("a"), "prompt": 1, "x": "unknown"}),
                    step(parameterMappings={"count": {"type": "static", "value": "many"}, **STRONG}),
                ]
            },
            [
                ("steps[1].parameterOverrides.strength", "is not a number"),
                ("steps[2].parameterMappings.count.value", "is not a number"),
                ("steps[2].parameterMappings.strength.value", "is not a number"),
            ],
            id="every value that a tool cannot take; a wire is no value",
        ),
        pytest.param(
            {"steps": [step(parameterOverrides={"strength": "hard", "count": "many", "prompt": " "})]},
            [
                ("steps[0].parameterOverrides.strength", "is not a number"),
                ("steps[0].parameterOverrides.count", "is not a number"),
            ],
            id="every override",
        ),
        pytest.param({"steps": [step(parameterOverrides={"strength": 0.5})]}, [], id="a value that the tool can take"),
        pytest.param({"steps": [step(parameterOverrides={"strength": " "})]}, [], id="a blank value is none"),
        pytest.param(
            {"steps": [step(toolIdentifier="nope", parameterOverrides={"strength": "hard"})]},
            [("steps[0].toolIdentifier", "there is no tool 'nope'")],
            id="nothing is known of an unknown tool's values",
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


def of_tool(tool_id: str, **more: Any) -> Tool:
    inputs = {"prompt": {"type": "text"}, "size": {"type": "number", "required": False}}
    return parse_tool({**tool_document(inputs), "toolId": tool_id, "displayName": tool_id.title(), **more})


STAND_INS = {
    "first": of_tool("first"),
    "same": of_tool("same"),
    "First": of_tool("first"),
    "narrow": of_tool("narrow", inputSchema={"prompt": {"type": "text"}}),
    "strict": of_tool("strict", inputSchema={"prompt": {"type": "text"}, "size": {"type": "string", "enum": ["a"]}}),
    "greedy": of_tool("greedy", inputSchema={"prompt": {"type": "text"}, "mask": {"type": "image"}}),
    "open": of_tool("open", inputSchema={}),
    "job": of_tool("job", deliveryMode="async"),
    "called": of_tool("called", deliveryMode="webhook"),
    "slow": of_tool("slow", deadlineSeconds=61),
    "quick": of_tool("quick", deadlineSeconds=59),
    "own": parse_tool({**of_tool("own").document}, is_own=True),
    "renamed": of_tool(
        "renamed",
        version="2.0.0",
        inputSchema={"text": {"type": "text"}},
        migrations={"1.0.0": {"parameters": {"prompt": "text"}}},
    ),
}
FALLBACK = "steps[0].fallbackTool"


def falling(fallback: Any, tool: str = "first", **more: Any) -> Document:
    return {"steps": [{"id": "n", "toolIdentifier": tool, "fallbackTool": fallback, **more}]}


PROMPTED: Document = {"parameterMappings": {"prompt": {"type": "static", "value": "a cat"}}}


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        pytest.param(falling("same"), [], id="one of its kind"),
        pytest.param(falling(None), [], id="none"),
        pytest.param(falling("quick"), [], id="a quicker one"),
        pytest.param(falling("called", "job"), [], id="both run as jobs, however they end"),
        pytest.param(falling("open", parameterOverrides={"prompt": "x", "any": 1}), [], id="one that takes everything"),
        pytest.param(falling("nope"), [(FALLBACK, "there is no tool 'nope'")], id="unknown"),
        pytest.param(falling({"a": 1}), [(FALLBACK, "there is no tool {'a': 1}")], id="of a wrong shape"),
        pytest.param(falling("First"), [(FALLBACK, "is the step's own tool")], id="itself by another name"),
        pytest.param(
            falling("same", "nope"), [("steps[0].toolIdentifier", "there is no tool 'nope'")], id="of an unknown tool"
        ),
        pytest.param(
            falling("job"),
            [
                (FALLBACK, "Job runs as a job, which First does not"),
                (FALLBACK, "Job may take 900 seconds, First has 60"),
            ],
            id="a job for an immediate step",
        ),
        pytest.param(
            falling("first", "job"), [(FALLBACK, "First answers at once, which Job does not")], id="no job for a job"
        ),
        pytest.param(falling("slow"), [(FALLBACK, "Slow may take 61 seconds, First has 60")], id="a slower one"),
        pytest.param(
            falling("narrow", **PROMPTED, parameterOverrides={"size": 4, "a": 1}),
            [(FALLBACK, "Narrow has no input 'a'"), (FALLBACK, "Narrow has no input 'size'")],
            id="one that does not take what the step gives",
        ),
        pytest.param(
            falling("renamed", **PROMPTED), [(FALLBACK, "Renamed has no input 'prompt'")], id="under names of today"
        ),
        pytest.param(
            falling("strict", parameterOverrides={"size": 4}),
            [("steps[0].parameterOverrides.size", "Strict cannot take it: it is none of a")],
            id="one that cannot take a value",
        ),
    ],
)
def test_the_faults_of_a_fallback(content: Document, faults: list[tuple[str, str]]) -> None:
    assert find_faults(content, STAND_INS) == [Fault(*fault) for fault in faults]


def test_a_fallback_comes_with_warnings_of_its_own() -> None:
    exposed = {"exposedInputs": [{"nodeId": "n", "paramKey": key} for key in ("prompt", "size")]}
    assert find_warnings({**falling("narrow", **PROMPTED), **exposed}, STAND_INS) == [
        Fault(FALLBACK, "Narrow has no input 'size'")
    ]
    before = {"id": "m", "toolIdentifier": "first"}
    content = {"steps": [before, *falling("greedy", **PROMPTED)["steps"]]}
    assert Fault("steps[1]", "required input 'mask' of Greedy is not mapped") in find_warnings(content, STAND_INS)
    assert find_warnings(falling("same", **PROMPTED), STAND_INS) == []


def test_others_do_without_a_fallback_of_ones_own() -> None:
    assert find_own_tools(falling("own"), STAND_INS) == [
        Fault(FALLBACK, "Own is a tool of your own: others do without this fallback")
    ]


def test_the_fallbacks_are_looked_up_with_the_tools() -> None:
    assert tool_identifiers(falling("same")) == {"first", "same"}


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


def a_maker(**more: Any) -> Tool:
    return parse_tool(tool_document(**more))


@pytest.mark.parametrize(
    ("kind", "before", "warned"),
    [
        pytest.param("string", None, False, id="a text may come from the caster"),
        pytest.param("text", a_maker(), False, id="or from any step"),
        pytest.param("image", None, False, id="a first step's picture may come from the caster"),
        pytest.param("video", None, False, id="and so may its film"),
        pytest.param("number", None, True, id="a number may not"),
        pytest.param("image", a_maker(), True, id="a later step's picture comes from a step that makes one"),
        pytest.param("image", a_maker(metadata={"outputType": "image"}), False, id="by its output type"),
        pytest.param("image", a_maker(outputSchema={"images": {"type": "image"}}), False, id="or its output schema"),
        pytest.param("video", a_maker(outputSchema={"files": {"type": "video"}}), False, id="a film"),
        pytest.param("video", a_maker(metadata={"outputType": "image"}), True, id="a picture is no film"),
        pytest.param("image", a_maker(outputSchema={"images": "image"}), True, id="a schema of another shape"),
    ],
)
def test_a_required_input_fills_itself_where_a_value_of_its_type_may_come_from(
    kind: str, before: Tool | None, warned: bool
) -> None:
    used = {"using": parse_tool(tool_document({"x": {"type": kind}})), **({"before": before} if before else {})}
    content = {"steps": [{"toolIdentifier": name} for name in sorted(used)]}
    assert bool(find_warnings(content, used)) is warned


def test_the_tools_of_a_spell_are_those_that_its_steps_name() -> None:
    content = {"steps": [step(), step(toolIdentifier="other"), step(), step(toolIdentifier=""), {}, "junk"]}
    assert tool_identifiers(content) == {"tool", "other"}
    assert tool_identifiers({"steps": [step()] * MAX_STEPS}) == {"tool"}
    assert tool_identifiers({"steps": [step()] * (MAX_STEPS + 1)}) == set()


@pytest.mark.parametrize("steps", [None, {"0": step()}, "steps", 7])
def test_steps_that_are_no_list_are_no_steps(steps: Any) -> None:
    assert tool_identifiers({"steps": steps}) == set()
    assert find_faults({"steps": steps}, TOOLS) == [Fault("steps", "a spell needs at least one step")]


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


# --- outputs and wires ---

PAINTER = parse_tool(
    tool_document(
        {"prompt": {"type": "text", "required": False}},
        displayName="Painter",
        outputSchema={"images": {"type": "image"}, "seed": {"type": "integer"}, "odd": "?", "vague": {}},
    )
)
FRAMER = parse_tool(
    tool_document(
        {
            kind: {"type": kind, "required": False}
            for kind in ("text", "number", "integer", "boolean", "object", "enum", "image", "video", "any", "file")
        },
        displayName="Framer",
    )
)
SPEAKER = parse_tool(
    tool_document(
        displayName="Speaker",
        outputSchema={
            "text": {"type": "string"},
            "count": {"type": "number"},
            "clear": {"type": "boolean"},
            "whole": {"type": "object"},
            "clip": {"type": "video"},
            "result": {"type": "any"},
            "link": {"type": "url"},
            "output": {"type": "number"},
        },
    )
)
MAKERS = {"painter": PAINTER, "framer": FRAMER, "speaker": SPEAKER, "open": OPEN, "tool": TOOL}


def warned(content: Document) -> list[Fault]:
    assert find_faults(content, MAKERS) == []
    return find_warnings(content, MAKERS)


def wired(maker: str, output: str, parameter: str, section: str = "parameterMappings", **more: Any) -> Document:
    return {
        "steps": [
            {"id": "a", "toolIdentifier": maker, **more},
            {"id": "b", "toolIdentifier": "framer", section: {parameter: wire("a", output)}},
        ]
    }


@pytest.mark.parametrize("section", ["parameterMappings", "parameterOverrides"])
@pytest.mark.parametrize(
    ("maker", "output", "parameter", "of_type"),
    [
        ("painter", "images", "number", "image"),
        ("painter", "image", "number", "image"),
        ("painter", "images", "integer", "image"),
        ("painter", "images", "boolean", "image"),
        ("painter", "images", "object", "image"),
        ("painter", "images", "enum", "image"),
        ("painter", "images", "video", "image"),
        ("painter", "images", "image", None),
        ("painter", "image", "image", None),
        ("painter", "images", "file", None),
        ("painter", "images", "text", None),
        ("painter", "images", "any", None),
        ("painter", "seed", "integer", None),
        ("painter", "seed", "image", "integer"),
        ("painter", "odd", "image", None),
        ("painter", "vague", "number", None),
        ("painter", "output", "number", None),
        ("speaker", "text", "number", None),
        ("speaker", "text", "boolean", "string"),
        ("speaker", "text", "object", "string"),
        ("speaker", "text", "image", None),
        ("speaker", "link", "image", None),
        ("speaker", "link", "video", None),
        ("speaker", "count", "boolean", "number"),
        ("speaker", "count", "enum", None),
        ("speaker", "count", "file", "number"),
        ("speaker", "clear", "boolean", None),
        ("speaker", "clear", "number", "boolean"),
        ("speaker", "whole", "object", None),
        ("speaker", "whole", "number", "object"),
        ("speaker", "clip", "image", "video"),
        ("speaker", "clip", "video", None),
        ("speaker", "result", "image", None),
        # What is declared comes before the word for a type.
        ("speaker", "output", "image", "number"),
        ("open", "image", "number", "image"),
        ("open", "anything", "number", None),
    ],
)
def test_outputs_that_cannot_fill_an_input(
    maker: str, output: str, parameter: str, of_type: str | None, section: str
) -> None:
    reason = f"{output!r} of {MAKERS[maker].display_name} is of type {of_type} and cannot fill {parameter!r}"
    expected = [Fault(f"steps[1].{section}.{parameter}.outputKey", f"{reason}, which is of type {parameter}")]
    assert warned(wired(maker, output, parameter, section)) == (expected if of_type else [])


@pytest.mark.parametrize("section", ["parameterMappings", "parameterOverrides"])
def test_an_output_that_the_earlier_tool_does_not_declare(section: str) -> None:
    message = "Painter has no output 'picture', it declares images, seed, odd, vague"
    path = f"steps[1].{section}.image.outputKey"
    assert warned(wired("painter", "picture", "image", section)) == [Fault(path, message)]


@pytest.mark.parametrize("word", ["image", "video", "audio", "file", "text", "output"])
def test_a_word_for_a_type_is_no_undeclared_output(word: str) -> None:
    assert warned(wired("painter", word, "any")) == []


def test_an_output_may_be_wired_under_the_name_that_its_step_gives_it() -> None:
    renamed: Document = {"outputMappings": {"images": "picture", "seed": "number"}}
    assert warned(wired("painter", "picture", "image", **renamed)) == []
    (warning,) = warned(wired("painter", "picture", "number", **renamed))
    assert "'picture' of Painter is of type image" in warning.message


def test_outputs_that_are_mapped_and_not_declared() -> None:
    mappings = {"outputMappings": {"images": "x", "image": "y", "text": "z"}}
    declares = "it declares images, seed, odd, vague"
    assert warned({"steps": [{"toolIdentifier": "painter", **mappings}]}) == [
        Fault("steps[0].outputMappings.image", f"Painter has no output 'image', {declares}"),
        Fault("steps[0].outputMappings.text", f"Painter has no output 'text', {declares}"),
    ]
    assert warned({"steps": [{"toolIdentifier": "open", **mappings}]}) == []


@pytest.mark.parametrize("section", ["parameterMappings", "parameterOverrides"])
@pytest.mark.parametrize(("more", "step_id"), [({}, "1"), ({"stepId": 7}, "7"), ({"stepId": "s"}, "s")])
def test_a_step_without_an_id_that_something_is_wired_to(section: str, more: Document, step_id: str) -> None:
    maker = {"toolIdentifier": "painter", **more}
    taker = {"id": "b", "toolIdentifier": "framer", section: {"image": wire(step_id, "image")}}
    reason = "has no id, so its outputs are not told from those of other steps: the latest 'image' is taken"
    expected = [Fault(f"steps[1].{section}.image.nodeId", f"step {step_id!r} {reason}")]
    assert warned({"steps": [maker, taker]}) == expected
    assert warned({"steps": [maker, {**taker, section: {}}]}) == [], "only where something is"


# --- tools that have a newer version ---

RENAMED = parse_tool(
    tool_document(
        {"width": {"type": "number"}, "note": {"type": "text", "required": False}},
        version="2.0.0",
        migrations={"2.0.0": {"parameters": {"breadth": "width"}}},
    )
)


def old_step(**more: Any) -> Document:
    return {"id": "b", "toolIdentifier": "renamed", "toolVersion": "1.0.0", **more}


@pytest.mark.parametrize(
    ("content", "warnings"),
    [
        pytest.param({"steps": [old_step(parameterOverrides={"breadth": 1})]}, [], id="supplied by its old name"),
        pytest.param(
            {"steps": [old_step()], "exposedInputs": [{"nodeId": "b", "paramKey": "breadth"}]}, [], id="exposed by it"
        ),
        pytest.param(
            {"steps": [old_step(parameterOverrides={"breadth": 1}, toolVersion="2.0.1")]},
            [
                ("steps[0]", "Tool has no input 'breadth'"),
                ("steps[0]", "required input 'width' of Tool is not mapped"),
            ],
            id="a newer step has no such name",
        ),
        pytest.param(
            {
                "steps": [
                    {"id": "a", "toolIdentifier": "painter"},
                    old_step(parameterMappings={"breadth": wire("a", "image")}),
                ]
            },
            [
                (
                    "steps[1].parameterMappings.breadth.outputKey",
                    "'image' of Painter is of type image and cannot fill 'breadth', which is of type number",
                )
            ],
            id="wired by its old name",
        ),
    ],
)
def test_a_step_of_an_older_version(content: Document, warnings: list[tuple[str, str]]) -> None:
    assert find_warnings(content, {**MAKERS, "renamed": RENAMED}) == [Fault(*warning) for warning in warnings]


# --- exposed inputs ---


def exposing(*pairs: tuple[Any, str], steps: list[Document] | None = None) -> Document:
    exposed = [{"nodeId": node, "paramKey": parameter} for node, parameter in pairs]
    return {"steps": steps or [{"id": "a", "toolIdentifier": "framer"}], "exposedInputs": exposed}


@pytest.mark.parametrize(
    ("content", "warnings"),
    [
        pytest.param(exposing(("a", "image"), ("a", "number")), [], id="inputs that the tool has"),
        pytest.param(
            exposing(("a", "image"), ("a", "colour")),
            [("exposedInputs[1].paramKey", "Framer has no input 'colour'")],
            id="one that it does not have",
        ),
        pytest.param(
            exposing(("a", "image"), ("a", "number"), ("a", "image")),
            [("exposedInputs[2]", "'image' of step 'a' is exposed by exposedInputs[0] already")],
            id="the same twice",
        ),
        pytest.param(
            exposing(
                ("a", "image"),
                ("b", "image"),
                steps=[{"id": step_id, "toolIdentifier": "framer"} for step_id in ("a", "b")],
            ),
            [],
            id="the same parameter of two steps",
        ),
        pytest.param(
            exposing(
                (1, "image"), (1, "prompt"), (1, "odd"), steps=[{"stepId": 1, "toolIdentifier": t} for t in MAKERS][:2]
            ),
            [("exposedInputs[2].paramKey", "Painter has no input 'odd'")],
            id="step ids that repeat: one of the steps has it",
        ),
        pytest.param(exposing(("a", "any"), steps=[{"id": "a", "toolIdentifier": "open"}]), [], id="no schema"),
        pytest.param(
            exposing(("b", "image"), steps=wired("painter", "image", "image")["steps"]),
            [("exposedInputs[0]", "'image' is wired from step 'a': a caster's value replaces the wire")],
            id="a wired parameter",
        ),
        pytest.param(
            exposing(("b", "image"), steps=wired("painter", "image", "image", "parameterOverrides")["steps"]),
            [("exposedInputs[0]", "'image' is wired from step 'a': a caster's value replaces the wire")],
            id="wired in an override",
        ),
        pytest.param(
            exposing(("b", "file"), steps=wired("painter", "image", "image")["steps"]), [], id="another is wired"
        ),
        pytest.param(
            exposing(
                ("a", "text"), steps=[{"id": "a", "toolIdentifier": "framer", "parameterOverrides": {"text": "x"}}]
            ),
            [],
            id="the author's value is a default",
        ),
    ],
)
def test_exposed_inputs_that_do_nothing_or_more_than_they_seem_to(
    content: Document, warnings: list[tuple[str, str]]
) -> None:
    assert warned(content) == [Fault(*warning) for warning in warnings]


def test_an_own_tool_in_a_spell_that_is_shared_is_warned_of() -> None:
    tools = {"tool": TOOL, "own": parse_tool(tool_document(), is_own=True)}
    content = {"steps": [step(), {"toolIdentifier": "own"}]}
    assert find_own_tools(content, tools) == [
        Fault("steps[1].toolIdentifier", "Tool is a tool of your own: others cannot cast it")
    ]


FORM = parse_tool(
    tool_document(
        {
            "mode": {"type": "enum", "required": False, "default": "join"},
            "text": {"type": "string", "required": False, "visibleIf": {"field": "mode", "values": ["join", "both"]}},
            "gone": {"type": "string", "required": False, "visibleIf": {"field": "nothing", "values": [1]}},
        }
    )
)


@pytest.mark.parametrize(
    ("mappings", "exposed", "warned"),
    [
        pytest.param({}, [], False, id="shown at the default"),
        pytest.param({"mode": {"type": "static", "value": "both"}}, [], False, id="shown at the author's value"),
        pytest.param({"mode": {"type": "static", "value": "cut"}}, [], True, id="hidden at the author's value"),
        pytest.param({"mode": {"type": "static", "value": " "}}, [], False, id="a blank value is the default"),
        pytest.param({"mode": wire("a")}, [], False, id="a wire decides"),
        pytest.param({"mode": {"type": "static", "value": "cut"}}, ["mode"], False, id="the caster decides"),
    ],
)
def test_a_value_that_the_form_does_not_show_is_warned_of(mappings: Document, exposed: list[str], warned: bool) -> None:
    steps = [
        {"id": "a", "toolIdentifier": "open"},
        {
            "id": "b",
            "toolIdentifier": "form",
            "parameterMappings": {"text": {"type": "static", "value": "t"}, "gone": wire("a"), **mappings},
        },
    ]
    content = {"steps": steps, "exposedInputs": [{"nodeId": "b", "paramKey": key} for key in exposed]}
    found = find_warnings(content, {"form": FORM, "open": OPEN})
    assert found == ([Fault("steps[1]", "'text' counts only where 'mode' is join or both")] if warned else [])


def test_a_value_beside_an_override_that_hides_it() -> None:
    overrides = {"text": "t", "mode": "cut"}
    content = {"steps": [{"toolIdentifier": "form", "parameterOverrides": overrides}]}
    assert find_warnings(content, {"form": FORM}) == [
        Fault("steps[0]", "'text' counts only where 'mode' is join or both")
    ]


def test_a_default_of_an_exposed_input_that_the_tool_cannot_take_is_a_fault() -> None:
    exposed = [
        {"nodeId": "n", "paramKey": "strength", "defaultValue": "much"},
        {"nodeId": "n", "paramKey": "strength", "defaultValue": 2},
        {"nodeId": "n", "paramKey": "strength"},
        {"nodeId": "n", "paramKey": "unknown", "defaultValue": "much"},
    ]
    content = {"steps": [step(id="n")], "exposedInputs": [*exposed, "n", {"paramKey": "strength"}]}
    assert find_faults(content, TOOLS) == [Fault("exposedInputs[0].defaultValue", "is not a number")]
