from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain.documents import Document, is_blank
from spellcast.domain.parameters import caster_inputs, is_visible, missing_inputs, resolve, takes, wired_value
from spellcast.domain.tools import Tool, parse_tool
from tests.fakes.records import a_step, tool_document


def a_tool(primary: str | None = None, **schema: Document) -> Tool:
    hints = {"platformHints": {"primaryInput": primary}} if primary else {}
    return parse_tool(tool_document(schema, **hints))


def field(kind: str, required: bool = False, **more: Any) -> Document:
    return {"type": kind, "required": required, **more}


def static(value: Any) -> Document:
    return {"type": "static", "value": value}


def wire(node: str, output: str, **more: Any) -> Document:
    return {"type": "nodeOutput", "nodeId": node, "outputKey": output, **more}


# The tool of original-system.md §2.5's table.
OBSERVED = a_tool(prompt=field("text"), strength=field("number"), imageUrl=field("image"))


@pytest.mark.parametrize(
    ("step", "context", "resolved"),
    [
        pytest.param({}, {"prompt": "user", "junk": 1}, {"prompt": "user"}, id="what the schema lacks is pruned"),
        pytest.param(
            {"parameterMappings": {"prompt": static("S")}},
            {"prompt": "user"},
            {"prompt": "S"},
            id="the author's static value beats the caster",
        ),
        pytest.param(
            {"parameterMappings": {"prompt": static("  ")}},
            {"prompt": "user"},
            {"prompt": "user"},
            id="a blank static value is none",
        ),
        pytest.param(
            {"parameterMappings": {"prompt": static(None)}},
            {"prompt": "user"},
            {"prompt": "user"},
            id="a null static value is none",
        ),
        pytest.param(
            {"parameterMappings": {"strength": static(0)}},
            {"strength": 5},
            {"strength": 0},
            id="a static zero is a value",
        ),
        pytest.param(
            {"parameterMappings": {"strength": static(False)}},
            {"strength": 5},
            {"strength": False},
            id="a static false is a value",
        ),
        pytest.param(
            {"parameterMappings": {"prompt": static("S")}, "parameterOverrides": {"prompt": "O"}},
            {"prompt": "user"},
            {"prompt": "O"},
            id="an override beats a mapping",
        ),
        pytest.param(
            {"parameterMappings": {"prompt": wire("n1", "text")}},
            {"n1_text": "ns", "text": "bare", "prompt": "user"},
            {"prompt": "ns"},
            id="a wire takes its node's own output first",
        ),
        pytest.param(
            {"parameterMappings": {"prompt": wire("zz", "text")}},
            {"text": "bare", "prompt": "user"},
            {"prompt": "bare"},
            id="a wire from an absent node takes the bare output",
        ),
        pytest.param(
            {"parameterMappings": {"prompt": wire("zz", "caption", paramKey="prompt")}},
            {"prompt": "user"},
            {"prompt": "user"},
            id="a wire takes the parameter's key last",
        ),
        pytest.param(
            {"parameterMappings": {"prompt": wire("zz", "caption", paramKey="title")}},
            {"title": "a title"},
            {"prompt": "a title"},
            id="the parameter's key may be another one",
        ),
        pytest.param(
            {"parameterMappings": {"strength": wire("n1", "v")}},
            {"n1_v": 0, "v": 7},
            {"strength": 0},
            id="row 3: a node's zero wins over another step's value",
        ),
        pytest.param(
            {"parameterMappings": {"strength": wire("n1", "v")}},
            {"n1_v": False, "v": 7},
            {"strength": False},
            id="row 3: a node's false wins over another step's value",
        ),
        pytest.param(
            {"parameterMappings": {"strength": wire("n1", "v")}},
            {"n1_v": None, "v": 7},
            {"strength": 7},
            id="row 3: only absence falls through",
        ),
        pytest.param(
            {"parameterMappings": {"prompt": wire("n1", "text")}},
            {"n1_text": "", "prompt": "user"},
            {"prompt": ""},
            id="row 3: a node's empty text does not fall through to the caster",
        ),
        pytest.param(
            {"parameterOverrides": {"prompt": wire("n1", "text")}},
            {"n1_text": "ns", "text": "bare"},
            {"prompt": "ns"},
            id="an override may be a wire, and looks in the same order",
        ),
        pytest.param(
            {"parameterOverrides": {"prompt": wire("n1", "text")}},
            {},
            {},
            id="a wire that leads nowhere is not sent to the tool as an object",
        ),
        pytest.param({"parameterMappings": {"prompt": "raw"}}, {}, {}, id="a mapping that is no object is ignored"),
        pytest.param(
            {"parameterMappings": {"prompt": "raw", "imageUrl": {"type": "magic"}, "strength": static(3)}},
            {},
            {"strength": 3},
            id="and those after an ignored one are not",
        ),
        pytest.param(
            {"parameterMappings": {"prompt": {"type": "magic", "value": 1}}},
            {},
            {},
            id="a mapping of another type is ignored",
        ),
    ],
)
def test_the_tools_inputs_are_resolved_in_order(step: Document, context: Document, resolved: Document) -> None:
    assert resolve(a_step(**step), OBSERVED, context, {}, {}) == resolved


EXPOSED = {("n1", "prompt"): None}


@pytest.mark.parametrize(
    ("step", "inputs", "exposed", "resolved"),
    [
        pytest.param({}, {"prompt": "mine"}, EXPOSED, "mine", id="under the parameter's own key"),
        pytest.param({}, {"n1_prompt": "mine"}, EXPOSED, "mine", id="under the node's key"),
        pytest.param({}, {"n1_prompt": "near", "prompt": "far"}, EXPOSED, "near", id="the node's key first"),
        pytest.param({}, {"n1_prompt": " ", "prompt": "far"}, EXPOSED, "far", id="a blank one is none"),
        pytest.param({}, {"prompt": ""}, EXPOSED, "S", id="nothing leaves the author's value"),
        pytest.param({}, {"n2_prompt": "mine"}, EXPOSED, "S", id="another node's key leaves the author's value"),
        pytest.param({}, {"prompt": "mine"}, {("n2", "prompt"): None}, "S", id="exposed on another node"),
        pytest.param({}, {"prompt": "mine"}, {("n1", "other"): None}, "S", id="another parameter is exposed"),
        pytest.param({}, {"prompt": "mine"}, {}, "S", id="nothing is exposed"),
        pytest.param(
            {"parameterOverrides": {"prompt": "O"}}, {"prompt": "mine"}, EXPOSED, "mine", id="over an override too"
        ),
        pytest.param(
            {"id": None, "stepId": 7}, {"prompt": "mine"}, {("7", "prompt"): None}, "mine", id="of a command step"
        ),
    ],
)
def test_row_1_the_caster_sets_what_is_exposed_and_nothing_else(
    step: Document, inputs: Document, exposed: Mapping[tuple[str, str], Any], resolved: str
) -> None:
    used = a_step(parameterMappings={"prompt": static("S")}, **step)
    assert resolve(used, OBSERVED, inputs, inputs, exposed)["prompt"] == resolved


@pytest.mark.parametrize(
    ("tool", "context", "resolved"),
    [
        pytest.param(
            a_tool(caption=field("string", required=True)),
            {"input_prompt": "a", "text": "b"},
            {"caption": "a"},
            id="a required text takes the first alias",
        ),
        pytest.param(
            a_tool(caption=field("text", required=True)),
            {"text": "b"},
            {"caption": "b"},
            id="a required text takes the last step's text",
        ),
        pytest.param(a_tool(caption=field("string")), {"text": "b"}, {}, id="row 2: an optional field takes none"),
        pytest.param(
            a_tool("caption", caption=field("string")),
            {"text": "b"},
            {"caption": "b"},
            id="row 2: the primary input takes one",
        ),
        pytest.param(
            a_tool("caption", caption=field("string", required=True, default="D")),
            {"text": "b", "input_prompt": "a"},
            {"caption": "D"},
            id="row 2: a default is not filled over",
        ),
        pytest.param(
            a_tool(caption=field("string", default="D")), {"caption": " "}, {"caption": "D"}, id="blank means default"
        ),
        pytest.param(
            a_tool(strength=field("number", default=3)), {"strength": 0}, {"strength": 0}, id="zero is not blank"
        ),
        pytest.param(
            a_tool(picture=field("image", required=True)),
            {"input_image": "u1", "imageUrl": "u2"},
            {"picture": "u1"},
            id="an image takes the image aliases in their order",
        ),
        pytest.param(
            a_tool(picture=field("image", required=True)), {"text": "b"}, {}, id="an image takes no text alias"
        ),
        pytest.param(
            a_tool(clip=field("video", required=True)),
            {"video_url": "v", "image": "u"},
            {"clip": "v"},
            id="a video takes the video aliases",
        ),
        pytest.param(
            a_tool(seed_value=field("number", required=True)),
            {"seedValue": 4},
            {"seed_value": 4},
            id="a snake case field takes its camel case form",
        ),
        pytest.param(
            a_tool(start__Frame=field("number", required=True)),
            {"startFrame": 3},
            {"start__Frame": 3},
            id="whatever stands behind the underscore",
        ),
        pytest.param(
            a_tool(seed_value=field("number", required=True)),
            {"inputSeedValue": 4},
            {"seed_value": 4},
            id="and the form with input",
        ),
        pytest.param(
            a_tool(seedValue=field("number", required=True)),
            {"seed_value": 4, "input_seed_value": 5},
            {"seedValue": 4},
            id="a camel case field takes its snake case form first",
        ),
        pytest.param(
            a_tool(seedValue=field("number", required=True)),
            {"input_seed_value": 5},
            {"seedValue": 5},
            id="and then the one with input_",
        ),
        pytest.param(
            a_tool(
                inputText=field("string"),
                appendText=field("string"),
                replacementText=field("string"),
                searchText=field("string"),
                prompt=field("string"),
                instructions=field("string"),
            ),
            {
                "stringA": "a",
                "stringB": "b",
                "searchValue": "s",
                "input_prompt": "p",
                "input_instructions": "i",
            },
            {
                "inputText": "a",
                "appendText": "b",
                "replacementText": "b",
                "searchText": "s",
                "prompt": "p",
                "instructions": "i",
            },
            id="row 2: the legacy names of single tools stay, for optional fields too",
        ),
        pytest.param(
            a_tool(inputText=field("string")),
            {"inputText": "x", "stringA": "a"},
            {"inputText": "x"},
            id="own key first",
        ),
    ],
)
def test_aliases_fill_what_is_blank(tool: Tool, context: Document, resolved: Document) -> None:
    assert resolve(a_step(), tool, context, {}, {}) == resolved


NODE = {
    "n1_images": [{"url": "u1"}, {"url": "u2"}],
    "n1_files": [{"url": "f1"}],
    "n1_text": "t",
    "images": [{"url": "other"}],
    "image": "other",
    "text": "other",
    "output": "other",
}


@pytest.mark.parametrize(
    ("output", "context", "value"),
    [
        ("image", NODE, "u1"),
        ("video", NODE, "f1"),
        ("audio", NODE, "f1"),
        ("file", NODE, "f1"),
        ("text", NODE, "t"),
        ("output", NODE, "u1"),
        ("output", {"n1_files": [{"url": "f1"}], "n1_text": "t"}, "f1"),
        ("output", {"n1_text": "t", "text": "other"}, "t"),
        ("output", {"n1_result": 4, "output": "other"}, 4),
        ("output", {"n1_output": "o", "n1_text": "t"}, "o"),
        ("image", {"n1_image": "own", "n1_images": [{"url": "u1"}]}, "own"),
        ("image", {"n1_images": ["u1"]}, "u1"),
        ("image", {"n1_images": [], "image": "bare"}, "bare"),
        ("image", {"n1_images": [{"b64_json": "…"}], "image": "bare"}, "bare"),
        ("images", NODE, [{"url": "u1"}, {"url": "u2"}]),
        ("video", {"n1_files": [{"url": "a.mp3"}, {"url": "v.mp4"}]}, "v.mp4"),
        ("audio", {"n1_files": [{"url": "v.mp4"}, {"url": "a.mp3"}]}, "a.mp3"),
        ("video", {"n1_files": [{"url": "a.mp3"}], "video": "bare"}, "bare"),
        ("image", {"imageUrl": "the parameter's own"}, "the parameter's own"),
        ("image", {}, None),
    ],
)
def test_row_4_a_wire_named_by_type_takes_that_nodes_output_of_the_type(
    output: str, context: Document, value: Any
) -> None:
    assert wired_value(wire("n1", output), "imageUrl", context) == value


def test_row_4_the_wired_nodes_image_wins_over_the_latest_one() -> None:
    tool = a_tool(input_image=field("image", required=True))
    context = {"n1_images": [{"url": "first"}], "n2_images": [{"url": "second"}], "input_image": "second"}
    step = a_step(id="n3", parameterMappings={"input_image": wire("n1", "image")})
    assert resolve(step, tool, context, {}, {}) == {"input_image": "first"}


def test_row_3_an_alias_does_not_fill_what_a_wire_left_empty() -> None:
    tool = a_tool(caption=field("text", required=True))
    context = {"n1_text": "", "n2_text": "another step's", "text": "another step's"}
    step = a_step(id="n3", parameterMappings={"caption": wire("n1", "text")})
    resolved = resolve(step, tool, context, {}, {})
    assert resolved.get("caption", "") == ""
    assert missing_inputs(tool, resolved) == ["caption"]


@pytest.mark.parametrize("blank", ["", " "])
def test_a_blank_override_is_none(blank: str) -> None:
    tool = a_tool(prompt=field("text", required=True), strength=field("number", default=3))
    step = a_step(parameterOverrides={"prompt": blank, "strength": blank})
    assert resolve(step, tool, {"prompt": "user"}, {"prompt": "user"}, {}) == {"prompt": "user", "strength": 3}


def test_row_6_the_missing_inputs_are_those_required_without_a_value() -> None:
    tool = a_tool(
        prompt=field("text", required=True),
        picture=field("image", required=True),
        strength=field("number", required=True),
        note=field("text"),
    )
    assert missing_inputs(tool, {"prompt": " ", "strength": 0}) == ["prompt", "picture"]


def test_an_input_is_required_unless_its_definition_says_otherwise() -> None:
    assert missing_inputs(parse_tool(tool_document({"prompt": {"type": "text"}})), {}) == ["prompt"]


def test_a_tool_without_a_schema_gets_the_whole_context() -> None:
    step = a_step(parameterOverrides={"extra": 1})
    assert resolve(step, a_tool(), {"prompt": "p", "text": "t"}, {}, {}) == {"prompt": "p", "text": "t", "extra": 1}


@pytest.mark.parametrize(
    ("inputs", "context"),
    [
        ({"prompt": "p"}, {"prompt": "p", "input_prompt": "p"}),
        ({"prompt": "p", "input_prompt": "i"}, {"prompt": "p", "input_prompt": "i"}),
        ({"prompt": "p", "input_prompt": ""}, {"prompt": "p", "input_prompt": "p"}),
        ({"prompt": " "}, {"prompt": " "}),
        ({}, {}),
    ],
)
def test_the_casters_prompt_is_the_input_prompt_too(inputs: Document, context: Document) -> None:
    before = dict(inputs)
    assert caster_inputs(inputs) == context
    assert inputs == before


@pytest.mark.parametrize(
    ("step", "inputs", "default", "prompt"),
    [
        pytest.param({}, {}, "D", "D", id="where nobody else says anything"),
        pytest.param({}, {"prompt": "mine"}, "D", "mine", id="the caster's value is above it"),
        pytest.param({}, {"prompt": " "}, "D", "D", id="a blank value is none"),
        pytest.param({"parameterMappings": {"prompt": static("S")}}, {}, "D", "S", id="the author's value is above it"),
        pytest.param({"parameterOverrides": {"prompt": "O"}}, {}, "D", "O", id="and so is an override"),
        pytest.param({"parameterMappings": {"prompt": wire("n0", "text")}}, {}, "D", "wired", id="and so is a wire"),
        pytest.param({"parameterMappings": {"prompt": wire("n9", "gone")}}, {}, "D", "D", id="a wire that is absent"),
        pytest.param({}, {}, " ", None, id="a blank default is none"),
    ],
)
def test_an_exposed_input_has_its_authors_default(step: Document, inputs: Document, default: str, prompt: Any) -> None:
    context = {**inputs, "n0_text": "wired"}
    resolved = resolve(a_step(**step), OBSERVED, context, inputs, {("n1", "prompt"): default, ("n2", "prompt"): "no"})
    assert resolved.get("prompt", "").strip() == (prompt or "")


@pytest.mark.parametrize("section", ["parameterMappings", "parameterOverrides"])
def test_a_wire_that_finds_its_parameter_in_the_context_is_above_the_authors_default(section: str) -> None:
    step = a_step(**{section: {"prompt": wire("n9", "gone")}})
    assert resolve(step, OBSERVED, {"prompt": "earlier"}, {}, {("n1", "prompt"): "D"}) == {"prompt": "earlier"}


def test_an_input_without_a_name_fills_nothing() -> None:
    tool = a_tool(title=field("string", required=True), prompt=field("string"))
    assert resolve(a_step(), tool, {"": "nameless"}, {"": "nameless"}, {}) == {}


FORM = a_tool(
    mode=field("enum", default="words"),
    text=field("string", visibleIf={"field": "mode", "values": ["words", "both"]}, required=True),
    size=field("number", visibleIf={"field": "mode", "values": ["picture"]}, default=512),
    frame=field("boolean", visibleIf={"field": "mode", "values": ["picture", "both"]}),
    colour=field("enum", visibleIf={"field": "frame", "values": [True]}, required=True),
)


@pytest.mark.parametrize(
    ("given", "resolved", "missing"),
    [
        pytest.param({"text": "t"}, {"mode": "words", "text": "t"}, [], id="the default decides"),
        pytest.param({}, {"mode": "words"}, ["text"], id="what is shown is asked for"),
        pytest.param(
            {"mode": "picture", "text": "t"}, {"mode": "picture", "size": 512}, [], id="what is hidden has no value"
        ),
        pytest.param({"size": 3, "text": "t"}, {"mode": "words", "text": "t"}, [], id="nor a value that was given"),
        pytest.param(
            {"mode": "both", "text": "t", "frame": True},
            {"mode": "both", "text": "t", "frame": True},
            ["colour"],
            id="one that is shown by another one",
        ),
        pytest.param(
            {"mode": "both", "text": "t", "frame": 1, "colour": "red"},
            {"mode": "both", "text": "t", "frame": 1},
            [],
            id="1 is not true",
        ),
        pytest.param(
            {"text": "t", "frame": True, "colour": "red"},
            {"mode": "words", "text": "t"},
            [],
            id="one whose condition is hidden itself",
        ),
    ],
)
def test_a_field_that_the_form_does_not_show_has_no_value(
    given: Document, resolved: Document, missing: list[str]
) -> None:
    found = resolve(a_step(parameterOverrides=given), FORM, {}, {}, {})
    assert found == resolved
    assert missing_inputs(FORM, found) == missing


def test_a_condition_that_leads_in_a_circle_or_nowhere_ends() -> None:
    circle = a_tool(
        a=field("string", visibleIf={"field": "b", "values": ["x"]}),
        b=field("string", visibleIf={"field": "a", "values": ["x"]}),
        c=field("string", visibleIf={"field": "gone", "values": ["x"]}),
    )
    assert is_visible("a", circle, {"a": "x", "b": "x"})
    assert not is_visible("a", circle, {"a": "y", "b": "x"})
    assert is_visible("c", circle, {"gone": "x"})
    assert not is_visible("c", circle, {})


@pytest.mark.parametrize(
    ("kind", "value", "resolved"),
    [
        ("image", [{"url": "u1"}, {"url": "u2"}], "u1"),
        ("image", {"url": "u1", "width": 8}, "u1"),
        ("video", [{"url": "f1", "format": "video/mp4"}], "f1"),
        ("audio", ["a1"], "a1"),
        ("file", [{"url": "f1"}], "f1"),
        ("image", [{"b64_json": "…"}], [{"b64_json": "…"}]),
        ("image", "u1", "u1"),
        ("textany", [{"url": "u1"}], [{"url": "u1"}]),
    ],
)
def test_row_4_a_media_field_takes_one_address(kind: str, value: Any, resolved: Any) -> None:
    step = a_step(parameterMappings={"picture": wire("n0", "images")})
    assert resolve(step, a_tool(picture=field(kind)), {"n0_images": value}, {}, {}) == {"picture": resolved}


MIGRATED = a_tool(
    inputText=field("string"),
    appendText=field("string"),
    replacementText=field("string"),
    operation=field("string"),
)
MIGRATED = parse_tool(
    {
        **MIGRATED.document,
        "version": "2.1.0",
        "migrations": {
            "2.1.0": {"parameters": {"middleText": "inputText"}},
            "1.0.0": {
                "parameters": {
                    "firstText": "middleText",
                    "secondText": {
                        "default": "appendText",
                        "when": {"field": "operation", "value": "replace", "use": "replacementText"},
                    },
                    "gone": {"default": None, "when": None},
                }
            },
            "3.0.0": {"parameters": {"inputText": "never"}},
        },
    }
)


@pytest.mark.parametrize(
    ("version", "given", "resolved"),
    [
        pytest.param(None, {"firstText": "a"}, {"inputText": "a"}, id="two renames, the oldest first"),
        pytest.param("0.9.0", {"firstText": "a"}, {"inputText": "a"}, id="from a version before the first key"),
        pytest.param("1.0.0", {"secondText": "b"}, {"appendText": "b"}, id="the default name"),
        pytest.param(
            "1.0.0",
            {"secondText": "b", "operation": "replace"},
            {"replacementText": "b", "operation": "replace"},
            id="the name that another value decides",
        ),
        pytest.param("1.0.0", {"firstText": "a", "inputText": "now"}, {"inputText": "now"}, id="the new name is kept"),
        pytest.param("1.0.0", {"gone": "x"}, {}, id="an input that was taken away"),
        pytest.param("1.5.0", {"firstText": "a", "middleText": "b"}, {"inputText": "b"}, id="only those after it"),
        pytest.param("2.1.0", {"middleText": "b"}, {}, id="a step of the tool's own version is left alone"),
        pytest.param("2.10.0", {"middleText": "b"}, {}, id="versions are numbers, not texts"),
    ],
)
def test_a_step_of_an_older_tool_is_migrated(version: str | None, given: Document, resolved: Document) -> None:
    for section in ("parameterMappings", "parameterOverrides"):
        values = given if section == "parameterOverrides" else {key: static(value) for key, value in given.items()}
        step = a_step(toolVersion=version, **{section: values})
        assert resolve(step, MIGRATED, {}, {}, {}) == resolved
    exposed = {("n1", parameter): None for parameter in given}
    assert resolve(a_step(toolVersion=version), MIGRATED, {}, given, exposed) == resolved


OLD, NEW = "firstText", "inputText"


@pytest.mark.parametrize(("lower", "higher"), [(OLD, NEW), (NEW, OLD), (OLD, OLD), (NEW, NEW)])
def test_what_is_higher_wins_whichever_name_it_uses(lower: str, higher: str) -> None:
    mapped = {"parameterMappings": {lower: static("mapped")}}
    overridden = a_step(toolVersion="1.0.0", **mapped, parameterOverrides={higher: "override"})
    assert resolve(overridden, MIGRATED, {}, {}, {}) == {NEW: "override"}
    exposed = a_step(toolVersion="1.0.0", **mapped)
    assert resolve(exposed, MIGRATED, {}, {f"n1_{higher}": "the caster's"}, {("n1", higher): None}) == {
        NEW: "the caster's"
    }


def test_a_new_name_may_hang_on_a_value_of_another_layer() -> None:
    step = a_step(toolVersion="1.0.0", parameterMappings={"secondText": static("b")})
    inputs = {"n1_operation": "replace"}
    resolved = resolve(step, MIGRATED, {}, inputs, {("n1", "operation"): None})
    assert resolved == {"replacementText": "b", "operation": "replace"}


@pytest.mark.parametrize(
    ("parameter", "version", "taken"),
    [
        ("inputText", "2.1.0", True),
        ("firstText", "1.0.0", True),
        ("secondText", "1.0.0", True),
        ("firstText", "2.1.0", False),
        ("gone", "1.0.0", False),
        ("stringA", "2.1.0", True),
        ("never", "1.0.0", False),
    ],
)
def test_a_parameter_reaches_its_tool_under_old_names(parameter: str, version: str, taken: bool) -> None:
    assert takes(MIGRATED, parameter, version) is taken
    assert takes(a_tool(), parameter, version)


SET = a_tool(
    "caption",
    caption=field("text"),
    prompt=field("text", required=True),
    strength=field("number", default=3),
    note=field("string"),
)


@pytest.mark.parametrize(
    ("step", "context", "settings", "resolved"),
    [
        pytest.param({}, {}, {"strength": 5}, {"strength": 5}, id="above the tool's default"),
        pytest.param({}, {}, {"strength": 0}, {"strength": 0}, id="a zero is a value"),
        pytest.param({}, {}, {"note": "N"}, {"note": "N", "strength": 3}, id="of an input without a default"),
        pytest.param({}, {"strength": 4}, {"strength": 5}, {"strength": 4}, id="below the caster's input"),
        pytest.param({}, {"note": " "}, {"note": "N"}, {"note": "N", "strength": 3}, id="a blank input is none"),
        pytest.param(
            {},
            {"text": "t"},
            {"caption": "C", "prompt": "P"},
            {"caption": "t", "prompt": "t", "strength": 3},
            id="below an alias",
        ),
        pytest.param(
            {},
            {"input_prompt": "p"},
            {"prompt": "P", "note": "N"},
            {"caption": "p", "prompt": "p", "note": "N", "strength": 3},
            id="below a legacy name",
        ),
        pytest.param(
            {"parameterMappings": {"note": static("S")}},
            {},
            {"note": "N"},
            {"note": "S", "strength": 3},
            id="below the author's value",
        ),
        pytest.param(
            {"parameterOverrides": {"note": "O"}},
            {},
            {"note": "N"},
            {"note": "O", "strength": 3},
            id="below an override",
        ),
        pytest.param(
            {"parameterMappings": {"note": wire("n0", "text")}},
            {"n0_text": ""},
            {"note": "N"},
            {"note": "", "strength": 3},
            id="below what a wire left empty",
        ),
        pytest.param(
            {"parameterMappings": {"note": wire("n9", "gone")}},
            {},
            {"note": "N"},
            {"note": "N", "strength": 3},
            id="where a wire leads nowhere",
        ),
        pytest.param({}, {}, {"colour": "red"}, {"strength": 3}, id="of an input that the tool does not have"),
        pytest.param({}, {}, {"strength": " ", "note": None}, {"strength": 3}, id="a blank setting is none"),
        pytest.param({"toolVersion": "0.9.0"}, {}, {"note": "N"}, {"note": "N", "strength": 3}, id="of an older step"),
    ],
)
def test_the_casters_settings_are_below_every_input_and_above_the_tools_defaults(
    step: Document, context: Document, settings: Document, resolved: Document
) -> None:
    assert resolve(a_step(**step), SET, context, context, {}, settings) == resolved


def test_an_exposed_inputs_default_is_above_the_settings() -> None:
    assert resolve(a_step(), SET, {}, {}, {("n1", "note"): "D"}, {"note": "N"})["note"] == "D"


def test_a_tool_without_a_schema_has_no_settings() -> None:
    assert resolve(a_step(), a_tool(), {"prompt": "p"}, {}, {}, {"colour": "red"}) == {"prompt": "p"}


def test_a_setting_that_the_form_does_not_show_has_no_effect_and_one_that_it_does_decides() -> None:
    assert resolve(a_step(), FORM, {"text": "t"}, {}, {}, {"size": 8}) == {"mode": "words", "text": "t"}
    assert resolve(a_step(), FORM, {}, {}, {}, {"size": 8, "mode": "picture"}) == {"mode": "picture", "size": 8}


KEYS = st.sampled_from(
    ["prompt", "input_prompt", "text", "image", "imageUrl", "input_image", "n1_text", "n1_images", "stringA", "seed"]
)
VALUES = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", " ", "a"]) | st.just([{"url": "u"}])
DOCUMENTS = st.dictionaries(KEYS, VALUES)
MAPPINGS = st.dictionaries(
    KEYS,
    st.builds(static, VALUES)
    | st.builds(wire, st.sampled_from(["n1", "n2"]), st.sampled_from(["text", "image", "output"]))
    | VALUES,
)
SCHEMAS = st.dictionaries(
    KEYS,
    st.fixed_dictionaries(
        {"type": st.sampled_from(["text", "string", "image", "video", "number"])},
        optional={
            "required": st.booleans(),
            "default": VALUES,
            "visibleIf": st.fixed_dictionaries({"field": KEYS, "values": st.lists(VALUES)}),
        },
    ),
    min_size=1,
)


@given(
    SCHEMAS,
    MAPPINGS,
    MAPPINGS,
    DOCUMENTS,
    DOCUMENTS,
    st.dictionaries(st.tuples(st.just("n1"), KEYS), VALUES),
    st.none() | KEYS,
)
def test_no_key_is_sent_that_the_tools_schema_does_not_have(
    schema: Document,
    mappings: Document,
    overrides: Document,
    context: Document,
    inputs: Document,
    exposed: dict[tuple[str, str], Any],
    primary: str | None,
) -> None:
    before = repr((schema, mappings, overrides, context, inputs))
    step = a_step(parameterMappings=mappings, parameterOverrides=overrides)
    resolved = resolve(step, a_tool(primary, **schema), context, inputs, exposed)
    assert resolved.keys() <= schema.keys()
    assert None not in resolved.values()
    assert not any(isinstance(value, dict) and value.get("type") == "nodeOutput" for value in resolved.values())
    assert repr((schema, mappings, overrides, context, inputs)) == before


def with_marked_defaults(schema: Document) -> Document:
    """Without conditions, and with defaults that no input has."""
    marked = {"default": "the tool's default"}
    return {
        key: {"type": given["type"], "required": given.get("required", True)}
        | (marked if given.get("default") is not None else {})
        for key, given in schema.items()
    }


@given(
    SCHEMAS.map(with_marked_defaults),
    MAPPINGS,
    MAPPINGS,
    DOCUMENTS,
    st.dictionaries(st.tuples(st.just("n1"), KEYS), VALUES),
    st.none() | KEYS,
    st.dictionaries(KEYS, st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", " ", "setting"])),
)
def test_settings_beat_no_input_and_add_no_key_that_the_schema_lacks(
    schema: Document,
    mappings: Document,
    overrides: Document,
    context: Document,
    exposed: dict[tuple[str, str], Any],
    primary: str | None,
    settings: Document,
) -> None:
    step = a_step(parameterMappings=mappings, parameterOverrides=overrides)
    tool = a_tool(primary, **schema)
    plain = resolve(step, tool, context, context, exposed)
    found = resolve(step, tool, context, context, exposed, settings)
    assert found.keys() <= schema.keys()
    for key in schema:
        is_free = plain.get(key) in (None, "the tool's default")
        expected = settings[key] if is_free and not is_blank(settings.get(key)) else plain.get(key)
        assert found.get(key) == expected
