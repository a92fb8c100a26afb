from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain.documents import Document
from spellcast.domain.outputs import map_outputs, merge_payload, pipeline_context, web_outputs
from tests.fakes.records import a_step

U1, U2 = {"url": "https://o/1.png"}, {"url": "https://o/2.png"}
CLIP = {"url": "https://o/1.mp4", "format": "video/mp4"}


def element(kind: str, data: Any) -> Document:
    return {"type": kind, "data": data}


@pytest.mark.parametrize(
    ("payload", "output", "added"),
    [
        pytest.param(
            [element("text", {"text": ["a"]})],
            {"text": "a"},
            {"n1_text": "a", "text": "a"},
            id="one text in a list is that text",
        ),
        pytest.param(
            [element("text", {"text": ["a", "b"]})],
            {"text": ["a", "b"]},
            {"n1_text": ["a", "b"], "text": ["a", "b"]},
            id="several texts stay a list",
        ),
        pytest.param([element("text", {"text": []})], {}, {}, id="no text in a list is nothing"),
        pytest.param(
            [element("text", {"result": "r"})],
            {"result": "r", "text": "r"},
            {"n1_result": "r", "result": "r", "n1_text": "r", "text": "r"},
            id="a result is the text",
        ),
        pytest.param(
            [element("text", {"result": ["r"]})],
            {"result": ["r"], "text": "r"},
            {"n1_result": ["r"], "result": ["r"], "n1_text": "r", "text": "r"},
            id="a result in a list is the text",
        ),
        pytest.param(
            [element("text", {"response": "x"})],
            {"response": "x", "text": "x"},
            {"n1_response": "x", "response": "x", "n1_text": "x", "text": "x"},
            id="a response is the text",
        ),
        pytest.param(
            [element("text", {"output": "o"})],
            {"output": "o", "text": "o"},
            {"n1_output": "o", "output": "o", "n1_text": "o", "text": "o"},
            id="a string output is the text",
        ),
        pytest.param(
            [element("text", {"choices": [{"message": {"content": "c"}}]})],
            {"choices": [{"message": {"content": "c"}}], "text": "c"},
            {
                "n1_choices": [{"message": {"content": "c"}}],
                "choices": [{"message": {"content": "c"}}],
                "n1_text": "c",
                "text": "c",
            },
            id="a choice's content is the text",
        ),
        pytest.param(
            [element("text", {"text": "", "result": "r", "response": "x"})],
            {"text": "r", "result": "r", "response": "x"},
            {"n1_text": "r", "text": "r", "n1_result": "r", "result": "r", "n1_response": "x", "response": "x"},
            id="an empty text is filled from the result first",
        ),
        pytest.param(
            [element("image", {"images": [U1, U2]})],
            {"images": [U1, U2]},
            {"input_image": U1["url"], "n1_images": [U1, U2], "images": [U1, U2]},
            id="the first image is the next step's input image",
        ),
        pytest.param(
            [element("image", {"images": [U1]}), element("image", {"images": [U2]})],
            {"images": [U1, U2]},
            {"input_image": U1["url"], "n1_images": [U1, U2], "images": [U1, U2]},
            id="row 5: all elements are merged in order",
        ),
        pytest.param(
            [element("text", {"text": "a"}), element("image", {"images": [U1]})],
            {"text": "a", "images": [U1]},
            {"input_image": U1["url"], "n1_text": "a", "text": "a", "n1_images": [U1], "images": [U1]},
            id="row 5: elements of different types are merged",
        ),
        pytest.param(
            [element("image", {"images": [{"b64_json": "…"}]})],
            {"images": [{"b64_json": "…"}]},
            {"n1_images": [{"b64_json": "…"}], "images": [{"b64_json": "…"}]},
            id="an image without a URL is no input image",
        ),
        pytest.param(
            [element("image", {"images": ["u1"]})],
            {"images": ["u1"]},
            {"n1_images": ["u1"], "images": ["u1"]},
            id="a bare URL is no input image",
        ),
        pytest.param(
            [element("video", {"files": [CLIP]})],
            {"files": [CLIP]},
            {"input_video": CLIP["url"], "n1_files": [CLIP], "files": [CLIP]},
            id="row 5: a video file is the next step's input video",
        ),
        pytest.param(
            [element("video", {"files": [{"url": "https://o/a.txt"}, {"url": "https://o/b.MP4?x=1"}]})],
            {"files": [{"url": "https://o/a.txt"}, {"url": "https://o/b.MP4?x=1"}]},
            {
                "input_video": "https://o/b.MP4?x=1",
                "n1_files": [{"url": "https://o/a.txt"}, {"url": "https://o/b.MP4?x=1"}],
                "files": [{"url": "https://o/a.txt"}, {"url": "https://o/b.MP4?x=1"}],
            },
            id="row 5: a video is known by its suffix where no format says so",
        ),
        pytest.param(
            [element("file", {"files": [{"url": "https://o/a.txt"}]})],
            {"files": [{"url": "https://o/a.txt"}]},
            {"n1_files": [{"url": "https://o/a.txt"}], "files": [{"url": "https://o/a.txt"}]},
            id="another file is no input video",
        ),
        pytest.param(
            [element("text", {"output_image": "oi", "output_text": "ot"})],
            {"output_image": "oi", "output_text": "ot"},
            {"n1_output_image": "oi", "input_image": "oi", "n1_output_text": "ot", "input_text": "ot"},
            id="an output_ key is the next step's input_ key",
        ),
        pytest.param(
            [element("text", "bare")], {"text": "bare"}, {"n1_text": "bare", "text": "bare"}, id="a bare text"
        ),
        pytest.param([], {}, {}, id="nothing"),
        pytest.param([element("text", {})], {}, {}, id="an empty element"),
        pytest.param([element("text", None)], {}, {}, id="an element without data"),
    ],
)
def test_a_payload_adds_to_the_context(payload: list[Document], output: Document, added: Document) -> None:
    assert merge_payload(payload) == output
    assert map_outputs(a_step(), merge_payload(payload)) == added


@pytest.mark.parametrize(
    ("step", "output", "added"),
    [
        pytest.param(
            {"outputMappings": {"images": "input_images"}},
            {"images": [U1]},
            {"n1_images": [U1], "input_images": [U1]},
            id="a mapped output goes under its name only, and images mapped elsewhere are no input image",
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
        pytest.param({"id": None}, {"text": "t"}, {"text": "t"}, id="a command-shaped step has no namespace"),
        pytest.param({}, {"v": 0}, {"n1_v": 0, "v": 0}, id="a falsy output is an output"),
    ],
)
def test_outputs_are_mapped_by_the_step(step: Document, output: Document, added: Document) -> None:
    assert map_outputs(a_step(**step), output) == added


@pytest.mark.parametrize("message", ["hi", ["hi"], 7])
def test_a_choice_whose_message_is_no_object_is_no_text(message: Any) -> None:
    assert "text" not in merge_payload([element("text", {"choices": [{"message": message}]})])


def test_the_context_is_the_casters_inputs_overlaid_by_the_steps_in_order() -> None:
    first, second = a_step(id="n1"), a_step(id="n2")
    context = pipeline_context(
        {"prompt": "p", "text": "caster's"},
        [(first, [element("text", {"text": "one"})]), (second, [element("text", {"text": "two"})])],
    )
    assert context == {"prompt": "p", "n1_text": "one", "n2_text": "two", "text": "two"}


@pytest.mark.parametrize(
    ("payload", "outputs"),
    [
        ([element("text", {"text": ["a"]})], {"text": "a"}),
        ([element("text", {"text": "a", "result": "a"})], {"text": "a"}),
        ([element("image", {"images": [U1]})], {"images": [U1]}),
        ([element("video", {"files": [CLIP]})], {"files": [CLIP]}),
        (
            [element("image", {"images": [U1]}), element("text", {"text": "t"})],
            [element("image", {"images": [U1]}), element("text", {"text": "t"})],
        ),
        ([element("text", "bare")], [element("text", "bare")]),
        ([], {}),
    ],
)
def test_clients_get_one_element_as_its_data_and_several_as_they_are(payload: list[Document], outputs: Any) -> None:
    assert web_outputs(payload) == outputs


def test_a_completion_without_a_type_keeps_its_data() -> None:
    # The bus may leave `type` out (contract §5), and a completion without one is taken for text.
    assert web_outputs([element("text", {"images": [U1]})]) == {"images": [U1]}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(["text", "images", "files", "result", "response", "output", "url", "format"]), children
        )
    ),
    max_leaves=12,
)


@given(st.lists(st.builds(element, st.sampled_from(["text", "image", "video"]), JSON), max_size=3))
def test_whatever_a_provider_sends_is_mapped_without_changing_it(payload: list[Document]) -> None:
    before = repr(payload)
    added = map_outputs(a_step(), merge_payload(payload))
    web_outputs(payload)
    assert repr(payload) == before
    assert added.get("text", "") is not None
