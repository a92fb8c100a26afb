from __future__ import annotations

from typing import Any

import pytest

from spellcast.domain.documents import Document
from spellcast.domain.outputs import map_outputs, merge_payload, pipeline_context, raw_answer, web_outputs
from spellcast.domain.payloads import normalise
from tests.fakes.records import a_step

U1, U2 = {"url": "https://o/1.png"}, {"url": "https://o/2.png"}
CLIP = {"url": "https://o/1.mp4", "format": "video/mp4"}
SCRIPT = {"url": "https://o/a.txt"}


def element(kind: str, data: Any) -> Document:
    return {"type": kind, "data": data}


def both(**output: Any) -> Document:
    """What an output adds of itself: every key under its node and under its own name."""
    return {**{f"n1_{key}": value for key, value in output.items()}, **output}


# original-system.md §4.4, row by row; where the contract differs, the case's name says so.
ROWS: dict[str, tuple[Any, Document, Document]] = {
    "one text in a list is that text": ([element("text", {"text": ["a"]})], {"text": "a"}, both(text="a")),
    "several texts stay a list": ([element("text", {"text": ["a", "b"]})], {"text": ["a", "b"]}, both(text=["a", "b"])),
    "no text in a list is nothing": ([element("text", {"text": []})], {}, {}),
    "a result is the text": ({"result": "r"}, {"result": "r", "text": "r"}, both(result="r", text="r")),
    "a result in a list is the text": (
        {"result": ["r"]},
        {"result": ["r"], "text": "r"},
        both(result=["r"], text="r"),
    ),
    "a response is the text": ({"response": "x"}, {"response": "x", "text": "x"}, both(response="x", text="x")),
    "a string output is the text": ({"output": "o"}, {"output": "o", "text": "o"}, both(output="o", text="o")),
    "a choice's content is the text": (
        {"choices": [{"message": {"content": "c"}}]},
        {"choices": [{"message": {"content": "c"}}], "text": "c"},
        both(choices=[{"message": {"content": "c"}}], text="c"),
    ),
    "an empty text is filled from the result first": (
        {"text": "", "result": "r", "response": "x"},
        {"text": "r", "result": "r", "response": "x"},
        both(text="r", result="r", response="x"),
    ),
    "the first image is the next step's input image": (
        [element("image", {"images": [U1, U2]})],
        {"images": [U1, U2]},
        {"input_image": U1["url"], **both(images=[U1, U2])},
    ),
    "row 5: all elements are merged in order, not only the first": (
        [{"data": {"images": [U1]}}, {"data": {"images": [U2]}}],
        {"images": [U1, U2]},
        {"input_image": U1["url"], **both(images=[U1, U2])},
    ),
    "images without an element": (
        {"images": [U1]},
        {"images": [U1]},
        {"input_image": U1["url"], **both(images=[U1])},
    ),
    "an image without a URL is no input image": (
        {"images": [{"b64_json": "…"}]},
        {"images": [{"b64_json": "…"}]},
        both(images=[{"b64_json": "…"}]),
    ),
    "images as strings are no input image": ({"images": ["u1"]}, {"images": ["u1"]}, both(images=["u1"])),
    "files": ({"files": [SCRIPT]}, {"files": [SCRIPT]}, both(files=[SCRIPT])),
    "row 5: a video file is the next step's input video": (
        [element("video", {"files": [CLIP]})],
        {"files": [CLIP]},
        {"input_video": CLIP["url"], **both(files=[CLIP])},
    ),
    "an output_ key is the next step's input_ key, and nothing else": (
        {"output_image": "oi", "output_text": "ot"},
        {"output_image": "oi", "output_text": "ot"},
        {"n1_output_image": "oi", "input_image": "oi", "n1_output_text": "ot", "input_text": "ot"},
    ),
    "row 5, weak point 22: an object keyed by node id gives its images": (
        {"9": {"node_meta": {}, "data": {"images": [U1]}}},
        {"images": [U1]},
        {"input_image": U1["url"], **both(images=[U1])},
    ),
    "row 5: a bare string is text, not its characters": ("ab", {"text": "ab"}, both(text="ab")),
    "null": (None, {}, {}),
    "an empty list": ([], {}, {}),
    "an empty object": ({}, {}, {}),
    "an element without data": ([element("text", None)], {}, {}),
}


@pytest.mark.parametrize(("raw", "output", "added"), ROWS.values(), ids=ROWS.keys())
def test_a_payload_adds_to_the_context(raw: Any, output: Document, added: Document) -> None:
    payload = normalise(raw)
    assert merge_payload(payload) == output
    assert map_outputs(a_step(), payload) == added


@pytest.mark.parametrize(
    ("raw", "output"),
    [
        pytest.param(["a", ["b", "c"]], {"text": ["a", "b", "c"]}, id="texts"),
        pytest.param([{"text": ""}, "b", {"text": []}], {"text": "b"}, id="a text and empty ones"),
        pytest.param(["", ""], {"text": ""}, id="only empty texts"),
        pytest.param(["a", {"images": [U1], "text": ""}], {"text": "a", "images": [U1]}, id="a text that is no text"),
        pytest.param(
            [{"text": "a", "seed": 1}, {"images": [U1], "seed": 2}],
            {"text": "a", "seed": 2, "images": [U1]},
            id="facts",
        ),
        pytest.param([42, {"x": 1}], {"result": 42, "x": 1}, id="a number has no name of its own"),
        pytest.param([{"images": [U1]}, {"images": 1, "files": 2, "x": 3}], {"images": [U1], "x": 3}, id="no images"),
    ],
)
def test_elements_are_merged_in_order(raw: Any, output: Document) -> None:
    assert merge_payload(normalise(raw)) == output


@pytest.mark.parametrize(
    ("step", "raw", "added"),
    [
        pytest.param(
            {"outputMappings": {"images": "input_images"}},
            {"images": [U1]},
            {"n1_images": [U1], "input_images": [U1]},
            id="a mapped output goes under its name only, and images mapped elsewhere are no input image",
        ),
        pytest.param(
            {"outputMappings": {"files": "clips"}},
            {"files": [CLIP]},
            {"n1_files": [CLIP], "clips": [CLIP]},
            id="nor files mapped elsewhere an input video",
        ),
        pytest.param(
            {"outputMappings": {"images": "", "text": None}},
            {"images": [U1], "text": "t"},
            {"input_image": U1["url"], **both(images=[U1], text="t")},
            id="an empty mapping is none",
        ),
        pytest.param(
            {"outputMappings": {"text": "caption"}}, {"text": "t"}, {"n1_text": "t", "caption": "t"}, id="renamed"
        ),
        pytest.param(
            {"outputMappings": {"output_text": "caption"}},
            {"output_text": "t"},
            {"n1_output_text": "t", "caption": "t"},
            id="a mapping beats the prefix",
        ),
        pytest.param(
            {},
            {"images": [U1], "output_image": "oi"},
            {"input_image": "oi", **both(images=[U1]), "n1_output_image": "oi"},
            id="the prefix beats the first image",
        ),
        pytest.param(
            {},
            {"images": [U1], "input_image": "own"},
            {"input_image": U1["url"], **both(images=[U1]), "n1_input_image": "own"},
            id="an output's own name does not overwrite what is there",
        ),
        pytest.param(
            {},
            {"output_text": "", "input_text": "own"},
            {"n1_output_text": "", "n1_input_text": "own", "input_text": "own"},
            id="unless that is empty",
        ),
        pytest.param({"id": None}, {"text": "t"}, {"text": "t"}, id="a command-shaped step has no namespace"),
        pytest.param({}, {"v": 0}, {"n1_v": 0, "v": 0}, id="a falsy output is an output"),
        pytest.param({}, {"images": []}, both(images=[]), id="row 3: no images are an output too"),
        pytest.param(
            {},
            {"images": [{"b64_json": "…"}, U2]},
            both(images=[{"b64_json": "…"}, U2]),
            id="only the first image counts",
        ),
    ],
)
def test_outputs_are_mapped_by_the_step(step: Document, raw: Any, added: Document) -> None:
    assert map_outputs(a_step(**step), normalise(raw)) == added


@pytest.mark.parametrize(
    ("raw", "url"),
    [
        pytest.param([SCRIPT, "https://o/b.MP4?x=1"], "https://o/b.MP4?x=1", id="by its extension"),
        pytest.param([{"url": "v", "format": "video/h264-mp4"}], "v", id="by its format"),
        pytest.param([{"filename": "v.mp4"}, {"filename": "w.mp4", "url": "w"}], "w", id="only with an address"),
        pytest.param([SCRIPT, {"url": "https://o/1.mp3"}], None, id="neither text nor sound"),
    ],
)
def test_the_first_video_among_files_is_the_next_steps(raw: Any, url: str | None) -> None:
    assert map_outputs(a_step(), normalise({"files": raw})).get("input_video") == url


def test_a_file_is_a_video_where_its_element_says_so() -> None:
    payload = normalise([element("audio", {"files": ["https://o/1"]}), element("video", {"files": ["https://o/2"]})])
    assert map_outputs(a_step(), payload)["input_video"] == "https://o/2"


def test_the_context_is_the_casters_inputs_overlaid_by_the_steps_in_order() -> None:
    first, second = a_step(id="n1"), a_step(id="n2")
    context = pipeline_context(
        {"prompt": "p", "text": "caster's"},
        [(first, normalise("one")), (second, normalise("two"))],
    )
    assert context == {"prompt": "p", "n1_text": "one", "n2_text": "two", "text": "two"}


# original-system.md §5.2.
@pytest.mark.parametrize(
    ("raw", "outputs", "answer"),
    [
        pytest.param({"text": ["a"]}, {"text": "a"}, "a", id="a text"),
        pytest.param({"text": ["a", "b"]}, {"text": "a"}, ["a", "b"], id="the first text"),
        pytest.param({"result": "a", "seed": 1}, {"text": "a"}, "a", id="the text of a result"),
        pytest.param({"result": ["a"]}, {"text": "a"}, "a", id="weak point 15: of an expression's too"),
        pytest.param({"text": ""}, {"text": ""}, "", id="an empty text"),
        pytest.param({"text": []}, {}, {}, id="no text"),
        pytest.param({"result": []}, {}, {}, id="no text beside a result"),
        pytest.param({"images": [U1], "seed": 1}, {"images": [U1]}, {"images": [U1]}, id="images"),
        pytest.param({"images": []}, {}, {}, id="no images"),
        pytest.param({"files": [CLIP]}, {"files": [CLIP]}, {"files": [CLIP]}, id="a video"),
        pytest.param({"audio": "a"}, {"files": [{"url": "a"}]}, {"files": [{"url": "a"}]}, id="a sound"),
        pytest.param({"files": [SCRIPT]}, {"files": [SCRIPT]}, {"files": [SCRIPT]}, id="a file"),
        pytest.param({"files": []}, {}, {}, id="no file"),
        pytest.param({"x": 1}, [element("unknown", {"x": 1})], [element("unknown", {"x": 1})], id="not known"),
        pytest.param(
            [{"images": [U1]}, "t"],
            [element("image", {"images": [U1]}), element("text", {"text": "t"})],
            [element("image", {"images": [U1]}), element("text", {"text": "t"})],
            id="several",
        ),
        pytest.param(None, {}, {}, id="nothing"),
    ],
)
def test_clients_get_one_element_as_its_outputs_and_others_as_they_are(raw: Any, outputs: Any, answer: Any) -> None:
    assert web_outputs(normalise(raw)) == outputs
    assert raw_answer(normalise(raw)) == answer
