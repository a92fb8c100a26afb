from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain.documents import Document
from spellcast.domain.errors import InvalidInput
from spellcast.domain.openapi_imports import OpenApi, inputs_of, outputs_of
from spellcast.domain.tool_definitions import MAX_INPUTS, find_tool_faults
from spellcast.domain.tool_imports import COMFYUI_COSTING, import_tool
from spellcast.domain.tools import parse_tool

SAMPLES = Path(__file__).parents[2] / "fixtures" / "imports"
SERVICES = dict.fromkeys(("comfyui", "replicate", "fal"), ("async", "webhook"))
FAL = "fal-ai/example-video/image-to-video"
VERSION = "5c" * 32


def sample(name: str) -> Document:
    document: Document = json.loads((SAMPLES / f"{name}.json").read_text("utf-8"))
    return document


def comfyui(workflow: Any, **more: Any) -> Document:
    return import_tool({"kind": "comfyui", "workflow": workflow, **more})


def replicate(openapi: Any, model: str = "owner/some-model", **more: Any) -> Document:
    return import_tool({"kind": "replicate", "model": model, "openapi": openapi, **more})


def fal(openapi: Any, endpoint: str = FAL, **more: Any) -> Document:
    return import_tool({"kind": "fal", "endpoint": endpoint, "openapi": openapi, **more})


def shapes(definition: Document) -> dict[str, str]:
    """Each input in order, as `type`, `type!` where it is required, or `type=default`."""
    return {
        key: field["type"] + ("!" if field["required"] else f"={field['default']}" if "default" in field else "")
        for key, field in definition["inputSchema"].items()
    }


def node(class_type: str, title: str = "", **inputs: Any) -> Document:
    return {"class_type": class_type, "inputs": inputs, **({"_meta": {"title": title}} if title else {})}


def faults_of(order: Document) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        import_tool(order)
    return {fault.path: fault.message for fault in caught.value.faults}


ORDERS: dict[str, Document] = {
    **{
        name: {"kind": "comfyui", "workflow": sample(name)}
        for name in ("comfyui_text_to_image", "comfyui_flux_titled", "comfyui_two_pass_video")
    },
    **{
        name: {"kind": "replicate", "model": f"owner/model:{VERSION}", "openapi": sample(name)}
        for name in ("replicate_image", "replicate_chat")
    },
    "fal_video": {"kind": "fal", "endpoint": FAL, "openapi": sample("fal_video")},
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS.keys())
def test_a_sample_makes_a_tool_that_works(order: Document) -> None:
    before = copy.deepcopy(order)
    definition = import_tool(order)
    assert find_tool_faults(definition, SERVICES) == []
    assert parse_tool(definition).primary_input in definition["inputSchema"]
    assert [field["order"] for field in definition["inputSchema"].values()] == list(
        range(len(definition["inputSchema"]))
    )
    assert order == before
    own = {"toolId": "mine", "displayName": "My own", "costingModel": {"rateSource": "fixed"}}
    assert import_tool({**order, **own}) == {**definition, **own}


# --- ComfyUI ---


def test_a_plain_workflow() -> None:
    workflow = sample("comfyui_text_to_image")
    definition = comfyui(workflow)
    assert shapes(definition) == {
        "input_prompt": "string!",
        "input_negative": "string=text, watermark",
        "input_width": "integer=384",
        "input_height": "integer=256",
        "input_steps": "integer=20",
        "input_seed": "integer",
    }
    assert definition["metadata"] == {
        "provider": "ComfyUI",
        "inputType": "text",
        "outputType": "image",
        "seedInputKey": "input_seed",
        "workflowInputs": {
            "input_prompt": ["13", "text"],
            "input_negative": ["14", "text"],
            "input_width": ["12", "width"],
            "input_height": ["12", "height"],
            "input_steps": ["10", "steps"],
            "input_seed": ["10", "seed"],
        },
        "workflow": workflow,
    }
    assert (definition["service"], definition["deliveryMode"]) == ("comfyui", "async")
    assert definition["costingModel"] == COMFYUI_COSTING
    assert definition["category"] == "text-to-image"
    assert definition["outputSchema"] == {"images": {"name": "images", "type": "image"}}
    assert definition["platformHints"] == {"primaryInput": "input_prompt"}
    assert definition["inputSchema"]["input_steps"]["advanced"]
    assert definition["inputSchema"]["input_prompt"]["description"] == "text of CLIP Text Encode (Prompt), node 13"


def test_a_workflow_is_named_after_its_content() -> None:
    one, same = (comfyui(sample("comfyui_text_to_image")) for _ in range(2))
    other = comfyui(sample("comfyui_flux_titled"))
    assert one["toolId"] == same["toolId"] != other["toolId"]
    assert one["toolId"].startswith("comfy-")
    assert one["displayName"] == "ComfyUI workflow " + one["toolId"].removeprefix("comfy-")
    assert comfyui(sample("comfyui_text_to_image"), toolId="mine")["displayName"] == "mine"


def test_titles_and_wired_values() -> None:
    definition = comfyui(sample("comfyui_flux_titled"))
    assert shapes(definition) == {
        "input_prompt": "string!",
        "input_sampler": "string=euler",
        "input_guidance": "number=3.5",
        "input_width": "integer=1280",
        "input_height": "integer=1024",
        "input_steps": "integer=28",
        "input_seed": "integer",
    }
    places = definition["metadata"]["workflowInputs"]
    assert places["input_prompt"] == ["45", "value"]
    assert places["input_sampler"] == ["16", "sampler_name"]
    assert places["input_width"] == ["46", "value"]
    assert places["input_seed"] == ["25", "noise_seed"]


def test_two_passes_media_and_a_video() -> None:
    definition = comfyui(sample("comfyui_two_pass_video"))
    assert shapes(definition) == {
        "input_prompt": "string!",
        "input_prompt_2": "string=fine details",
        "input_negative": "string=blurry",
        "input_image": "image!",
        "input_style_image": "image!",
        "input_audio": "audio!",
        "input_width": "integer=768",
        "input_height": "integer=512",
        "input_length": "integer=49",
        "input_steps": "integer=30",
        "input_steps_2": "integer=10",
        "input_seed": "integer",
    }
    places = definition["metadata"]["workflowInputs"]
    assert places["input_prompt"] == [["4", "text_g"], ["4", "text_l"]]
    assert places["input_seed"] == [["10", "noise_seed"], ["11", "seed"]], "one seed for both"
    assert (definition["category"], definition["metadata"]["outputType"]) == ("image-to-video", "video")
    assert definition["outputSchema"] == {
        "images": {"name": "images", "type": "image"},
        "files": {"name": "files", "type": "video"},
    }


@pytest.mark.parametrize(
    ("workflow", "expected"),
    [
        pytest.param({"1": node("Nothing")}, {}, id="nothing to give"),
        pytest.param({"1": {"class_type": "Nothing"}}, {}, id="no inputs at all"),
        pytest.param(
            {"1": node("TextEncode", text="a"), "2": node("Zero", conditioning=["1", 0])}
            | {"3": node("KSampler", positive=["1", 0], negative=["2", 0])},
            {"input_prompt": "string!"},
            id="a prompt that is also zeroed for the other side",
        ),
        pytest.param(
            {"1": node("TextEncode", text="a"), "2": node("TextEncode", "Negative prompt", text="b")},
            {"input_prompt": "string!", "input_negative": "string=b"},
            id="told by titles where no wire tells",
        ),
        pytest.param(
            {"1": node("TextEncode", "Negative?", text="a"), "2": node("KSampler", positive=["1", 0])},
            {"input_prompt": "string!"},
            id="wires tell more than titles",
        ),
        pytest.param(
            {"1": node("TextEncode", text=["2", 0]), "2": node("Concatenate", string_a="x", string_b="y")},
            {},
            id="a text that is put together elsewhere",
        ),
        pytest.param(
            {"1": node("TextEncode", text=["2", 0]), "2": node("Describe", image=["3", 0])}
            | {"3": node("LoadImage", image="a.png")},
            {"input_image": "image!"},
            id="a text that a model writes of a picture",
        ),
        pytest.param(
            {"1": node("TextEncode", text=["2", 0]), "2": node("Text", text=["1", 0])}, {}, id="a circle of wires"
        ),
        pytest.param(
            {
                "1": node("KSampler", positive=["2", 0]),
                "2": node("Mix", conditioning_1=["3", 0], conditioning_2=["2", 0]),
            }
            | {"3": node("TextEncode", prompt="a")},
            {"input_prompt": "string!"},
            id="a circle of conditionings",
        ),
        pytest.param(
            {"1": node("TextEncode", text="a"), "2": node("Guide", conditioning=["1", 0], image=["3", 0])}
            | {"3": node("Draw", words=["4", 0]), "4": node("TextEncode", text="b")}
            | {"5": node("KSampler", negative=["2", 0])},
            {"input_prompt": "string!", "input_negative": "string=a"},
            id="a picture beside a conditioning has texts of its own",
        ),
        pytest.param(
            {"1": node("TextEncode", text="a"), "2": node("TextEncode", "Input prompt", text="b")},
            {"input_prompt": "string!", "input_prompt_2": "string=a"},
            id="the title goes first",
        ),
        pytest.param(
            {"1": node("X", "input_strength", value=0.5), "2": node("Y", "input-strength", value=0.5)},
            {"input_strength": "number=0.5"},
            id="two nodes of one title share a value",
        ),
        pytest.param(
            {"1": node("A", "Input: Fast", value=True), "2": node("B", "input cfg", cfg=7, steps=["3", 0])}
            | {"3": node("C", "input_batch_size", n=2), "4": node("D", "input_note", text=" ", other="x")},
            {
                "input_fast": "boolean=True",
                "input_cfg": "number=7",
                "input_batch_size": "integer=2",
                "input_note": "string= ",
            },
            id="kinds of values",
        ),
        pytest.param({"1": node("D", "input_note", text="")}, {"input_note": "string"}, id="an empty default is none"),
        pytest.param(
            {"1": node("D", "input_", text="a"), "2": node("D", "inputs", text="a")}, {}, id="titles of no name"
        ),
        pytest.param({"1": {**node("D", text="a"), "_meta": []}}, {}, id="a node without a title"),
        pytest.param(
            {"1": node("LoadVideo", file="a.mp4"), "2": node("VHS_LoadVideo", video="b.mp4", frame_load_cap=0)},
            {"input_video": "video!", "input_video_2": "video!"},
            id="videos",
        ),
        pytest.param(
            {"1": node("ImageScale", width=5, height=5), "2": node("KSampler", seed=["3", 0], steps=True)}
            | {"3": node("PrimitiveInt", value=4)},
            {"input_seed": "integer"},
            id="sizes of what is no canvas and steps that are no number are left alone",
        ),
        pytest.param(
            {"9": node("KSampler", steps=1), "10": node("KSampler", steps=2), "x": node("KSampler", steps=3)}
            | {"2:1": node("KSampler", steps=4)},
            {
                "input_steps": "integer=4",
                "input_steps_2": "integer=1",
                "input_steps_3": "integer=2",
                "input_steps_4": "integer=3",
            },
            id="in the order of the nodes' numbers",
        ),
    ],
)
def test_what_is_found_in_a_workflow(workflow: Document, expected: dict[str, str]) -> None:
    definition = comfyui(workflow)
    assert shapes(definition) == expected
    assert find_tool_faults(definition, SERVICES) == []
    assert ("platformHints" in definition) == any(
        key in expected for key in ("input_prompt", "input_image", "input_video", "input_audio")
    )
    assert ("seedInputKey" in definition["metadata"]) == ("input_seed" in expected)


@pytest.mark.parametrize(
    ("class_type", "outputs"),
    [
        ("SaveImage", {"images": "image"}),
        ("SaveAnimatedWEBP", {"images": "image"}),
        ("Image Save", {"images": "image"}),
        ("SaveVideo", {"files": "video"}),
        ("SaveWEBM", {"files": "video"}),
        ("SaveAudioMP3", {"files": "audio"}),
        ("ShowText|pysssss", {"text": "string"}),
        ("PreviewImage", None),
    ],
)
def test_what_comes_out(class_type: str, outputs: dict[str, str] | None) -> None:
    definition = comfyui({"1": node(class_type)})
    found = {key: field["type"] for key, field in definition.get("outputSchema", {}).items()}
    assert found == (outputs or {})
    assert ("category" in definition) == ("outputType" in definition["metadata"]) == (outputs is not None)


@pytest.mark.parametrize(
    ("workflow", "expected"),
    [
        ({}, {"workflow": "has no nodes"}),
        ([], {"workflow": "has no nodes"}),
        (sample("comfyui_editor"), {"workflow": "editor; export it for the API"}),
        (
            {"1": 5, "2": {"inputs": {}}, "3": node("A", model=["7", 0]), "4": {"class_type": "", "inputs": []}},
            {
                "workflow.1": "is no node",
                "workflow.2.class_type": "is missing",
                "workflow.3.inputs.model": "leads to node 7, which there is not",
                "workflow.4.class_type": "is missing",
                "workflow.4.inputs": "is not an object",
            },
        ),
        ({"prompt": {"1": node("A")}}, {"workflow.prompt.class_type": "is missing"}),
        (
            {"1": node("KSampler", "input_main", seed=1, steps=2), "2": node("A", "input_x", model=["1", 0])},
            {
                "workflow.1._meta.title": "which value; name the input after one of seed, steps",
                "workflow.2._meta.title": "which value",
            },
        ),
        ({"1": node("A", "input_" + "x" * 101, text="a")}, {"workflow.1._meta.title": "longer than 100 characters"}),
    ],
)
def test_faults_of_a_workflow(workflow: Any, expected: dict[str, str]) -> None:
    found = faults_of({"kind": "comfyui", "workflow": workflow})
    assert found.keys() == expected.keys()
    assert all(message in found[path] for path, message in expected.items()), found


# --- OpenAPI ---


def test_a_replicate_model() -> None:
    definition = replicate(sample("replicate_image"))
    assert shapes(definition) == {
        "prompt": "string!",
        "image": "image",
        "strength": "number=0.8",
        "output_format": "enum=webp",
        "go_fast": "boolean=True",
        "seed": "integer",
        "lora_weights": "file",
        "loop": "integer",
        "aspect_ratio": "enum",
    }
    assert definition["inputSchema"]["output_format"]["enum"] == ["webp", "jpg", "png"]
    assert definition["inputSchema"]["output_format"]["description"] == "Format of the output images"
    assert definition["metadata"] == {"provider": "Replicate", "model": "owner/some-model", "seedInputKey": "seed"}
    assert (definition["toolId"], definition["displayName"]) == ("replicate-owner-some-model", "owner/some-model")
    assert (definition["service"], definition["deliveryMode"]) == ("replicate", "webhook")
    assert "outputSchema" not in definition, "an address may lead to anything"
    assert "costingModel" not in definition, "nobody said what it costs"


def test_a_replicate_version_and_a_text() -> None:
    definition = replicate(sample("replicate_chat"), f"owner/chat:{VERSION}")
    assert definition["metadata"] == {
        "provider": "Replicate",
        "model": "owner/chat",
        "version": VERSION,
        "outputType": "text",
    }
    assert shapes(definition) == {
        "prompt": "string!",
        "max_tokens": "integer=512",
        "temperature": "number=0.6",
        "stop_sequences": "array",
    }
    assert definition["outputSchema"] == {"text": {"name": "text", "type": "string"}}


def test_a_fal_endpoint() -> None:
    definition = fal(sample("fal_video"))
    assert shapes(definition) == {
        "prompt": "string!",
        "image_url": "image!",
        "video_size": "any=landscape_16_9",
        "duration": "enum=5",
        "seed": "integer",
        "loras": "array=[]",
        "reference_url": "url",
        "scale": "number=1.5",
        "camera": "object",
        "mode": "enum",
    }
    assert definition["metadata"] == {"provider": "fal", "model": FAL, "seedInputKey": "seed", "outputType": "video"}
    assert definition["toolId"] == "fal-example-video-image-to-video"
    assert definition["outputSchema"] == {
        "files": {"name": "files", "type": "video"},
        "text": {"name": "text", "type": "string"},
    }


def test_an_endpoint_whose_document_has_another_name_is_the_only_one_in_it() -> None:
    assert fal(sample("fal_video"), "example/other-name")["metadata"]["model"] == "example/other-name"


@pytest.mark.parametrize(
    ("property_", "expected"),
    [
        ({}, "any"),
        ({"type": ["string", "integer"]}, "any"),
        ({"type": [{}]}, "any"),
        ({"type": 5}, "any"),
        ({"enum": []}, "any"),
        ({"enum": [None, "a"], "default": "b"}, "enum"),
        ({"type": "string", "format": "uri"}, "file"),
        ({"type": "string", "default": 5}, "string=5"),
        ({"type": "integer", "default": 0.5}, "integer"),
        ({"type": "object", "default": "x"}, "object"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}, {"type": "null"}]}, "number"),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}, 5], "default": True}, "boolean=True"),
        ({"allOf": [{"type": "integer"}, {"minimum": 1}]}, "any"),
        ({"$ref": "#/components/schemas/Loop"}, "any"),
        ({"$ref": "#/nowhere/at/all"}, "any"),
        ({"$ref": 5}, "any"),
        ({"description": 5, "title": "x"}, "any"),
    ],
)
def test_schemas_of_an_input(property_: Document, expected: str) -> None:
    loop = {"$ref": "#/components/schemas/Loop"}
    schemas = {"Input": {"properties": {"x": property_}, "required": 5}, "Loop": loop}
    definition = replicate({"components": {"schemas": schemas}})
    assert shapes(definition) == {"x": expected}
    assert find_tool_faults(definition, SERVICES) == []


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("image_url", "image"),
        ("init_image", "image"),
        ("mask_url", "image"),
        ("reference_video", "video"),
        ("voice_url", "audio"),
        ("imagine", "file"),
        ("weights", "file"),
    ],
)
def test_files_are_told_by_their_names(key: str, expected: str) -> None:
    inputs = inputs_of(OpenApi({}), {"properties": {key: {"type": "string", "format": "uri"}}}, "x")
    assert inputs[key]["type"] == expected


@pytest.mark.parametrize(
    ("properties", "required", "primary"),
    [
        ({"text": {"type": "string"}, "image": {"type": "string", "format": "uri"}}, [], "text"),
        ({"a": {"type": "integer"}, "b": {"type": "integer"}}, ["b"], "b"),
        ({"a": {"type": "integer"}, "image_url": {"type": "string"}}, [], "image_url"),
        ({"a": {"type": "integer"}}, [], None),
        ({}, [], None),
    ],
)
def test_what_a_prompt_fills(properties: Document, required: list[str], primary: str | None) -> None:
    definition = replicate({"components": {"schemas": {"Input": {"properties": properties, "required": required}}}})
    assert definition.get("platformHints", {}).get("primaryInput") == primary


@pytest.mark.parametrize(
    ("schema", "expected", "kind"),
    [
        ({}, {}, None),
        ({"type": "string"}, {"text": "string"}, "text"),
        ({"type": "string", "format": "uri"}, {}, None),
        ({"type": "array", "items": {"type": "integer"}}, {}, None),
        ({"properties": 5}, {}, None),
        ({"properties": {"images": {"type": "array"}, "image": {"type": "object"}}}, {"images": "image"}, "image"),
        ({"properties": {"audio_url": {"type": "string"}, "seed": {"type": "integer"}}}, {"files": "audio"}, "audio"),
        (
            {"properties": {"image_count": {"type": "integer"}, "output": {"type": "string"}}},
            {"text": "string"},
            "text",
        ),
    ],
)
def test_outputs_of_a_schema(schema: Document, expected: dict[str, str], kind: str | None) -> None:
    outputs, found = outputs_of(OpenApi({}), schema)
    assert ({key: field["type"] for key, field in outputs.items()}, found) == (expected, kind)


INPUT = "openapi.components.schemas.Input"


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ({"kind": "comfyui"}, {"workflow": "is required for the kind comfyui"}),
        (
            {"kind": "replicate", "workflow": {}, "endpoint": "a/b"},
            {
                "model": "is required",
                "openapi": "is required",
                "workflow": "is not for the kind replicate",
                "endpoint": "is not for the kind replicate",
            },
        ),
        ({"kind": "fal", "endpoint": "a/b", "openapi": {}, "model": "a/b"}, {"model": "is not for the kind fal"}),
        ({"kind": "replicate", "model": "flux", "openapi": {}}, {"model": "is no model"}),
        ({"kind": "replicate", "model": "a/b:latest", "openapi": {}}, {"model": "is no model"}),
        ({"kind": "replicate", "model": "a/..", "openapi": {}}, {"model": "is no model"}),
        ({"kind": "replicate", "model": "a/b", "openapi": []}, {"openapi": "is not an OpenAPI document"}),
        ({"kind": "replicate", "model": "a/b", "openapi": {}}, {INPUT: "has no properties"}),
        (
            {
                "kind": "replicate",
                "model": "a/b",
                "openapi": {"components": {"schemas": {"Input": {"properties": []}}}},
            },
            {INPUT: "has no properties"},
        ),
        (
            {
                "kind": "replicate",
                "model": "a/b",
                "openapi": {"components": {"schemas": {"Input": {"properties": {"": {}, "x": 5, "y" * 201: {}}}}}},
            },
            {
                f"{INPUT}.properties.": "has a name of 0 characters",
                f"{INPUT}.properties.x": "is not a schema",
                f"{INPUT}.properties.{'y' * 200}": "has a name of 201 characters",
            },
        ),
        ({"kind": "fal", "endpoint": "flux", "openapi": {}}, {"endpoint": "is no endpoint"}),
        ({"kind": "fal", "endpoint": "a/../b", "openapi": {}}, {"endpoint": "is no endpoint"}),
        ({"kind": "fal", "endpoint": "a/b", "openapi": {}}, {"openapi.paths": "has no POST of /a/b"}),
        (
            {
                "kind": "fal",
                "endpoint": "a/b",
                "openapi": {"paths": {"/c": {"post": {"x": 1}}, "/d": {"post": {"x": 1}}}},
            },
            {"openapi.paths": "has no POST of /a/b"},
        ),
        (
            {"kind": "fal", "endpoint": "a/b", "openapi": {"paths": {"/a/b": {"post": {"x": 1}}}}},
            {"openapi.paths./a/b.post.requestBody": "has no properties"},
        ),
    ],
)
def test_faults_of_an_order(order: Document, expected: dict[str, str]) -> None:
    found = faults_of(order)
    assert found.keys() == expected.keys()
    assert all(message in found[path] for path, message in expected.items()), found


@pytest.mark.parametrize("number", [MAX_INPUTS, MAX_INPUTS + 1])
def test_a_tool_has_no_more_inputs_than_a_form_can_show(number: int) -> None:
    properties: Document = {f"p{index}": {"type": "string"} for index in range(number)}
    openapi = {"components": {"schemas": {"Input": {"properties": properties}}}}
    order: Document = {"kind": "replicate", "model": "a/b", "openapi": openapi}
    if number > MAX_INPUTS:
        assert faults_of(order) == {"openapi": "makes 201 inputs; a tool has at most 200"}
    else:
        assert len(import_tool(order)["inputSchema"]) == number


KEYS = [
    "1",
    "class_type",
    "inputs",
    "_meta",
    "title",
    "text",
    "positive",
    "type",
    "properties",
    "$ref",
    "anyOf",
    "enum",
    "default",
    "items",
    "x-order",
    "x-fal-order-properties",
    "Input",
    "Output",
    "format",
    "required",
]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.sampled_from(["a", "uri", "1", "#/a"]),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            children,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(JSON, JSON, JSON)
def test_any_json_is_a_tool_or_a_list_of_faults(one: Any, two: Any, three: Any) -> None:
    paths = {"/a/b": {"post": {"requestBody": {"content": {"application/json": {"schema": one}}}}}}
    orders: list[Document] = [
        {"kind": "comfyui", "workflow": one},
        {"kind": "comfyui", "workflow": {"1": {"class_type": "TextEncode", "inputs": one, "_meta": two}, "2": three}},
        {"kind": "replicate", "model": "a/b", "openapi": {"components": {"schemas": {"Input": one, "Output": two}}}},
        {"kind": "replicate", "model": "a/b", "openapi": {"components": {"schemas": {"Input": {"properties": one}}}}},
        {"kind": "fal", "endpoint": "a/b", "openapi": {"paths": paths, "components": two}},
    ]
    for order in orders:
        if order.get("workflow", 0) is None:
            continue
        try:
            definition = import_tool(order)
        except InvalidInput as error:
            assert error.faults
        else:
            assert find_tool_faults(definition, SERVICES) == []
