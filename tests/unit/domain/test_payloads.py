from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain.documents import Document, to_text
from spellcast.domain.outputs import map_outputs, merge_payload, raw_answer, web_outputs
from spellcast.domain.payloads import MAX_NESTING, normalise
from tests.fakes.records import a_step

U1, U2, U3 = "https://o/1.png", "https://o/2.png", "https://o/3"
CLIP, SONG = "https://o/1.mp4?x=1", "https://o/1.mp3"
PICTURE = {"url": U1, "width": 8}


def element(kind: str, data: Any) -> Document:
    return {"type": kind, "data": data}


def text(value: Any, **more: Any) -> Document:
    return element("text", {"text": value, **more})


def images(*items: Any, **more: Any) -> Document:
    return element("image", {"images": list(items), **more})


def files(kind: str, *items: Any, **more: Any) -> Document:
    return element(kind, {"files": list(items), **more})


SHAPES: dict[str, tuple[Any, list[Document]]] = {
    # Nothing.
    "null": (None, []),
    "an empty list": ([], []),
    "an empty object": ({}, []),
    "nothing but nulls": ([None, {"text": None}, {"type": "image"}, {"type": "text", "data": None}], []),
    # Text.
    "a string": ("a", [text("a")]),
    "an empty string": ("", [text("")]),
    "an address is a string like any other": (U1, [text(U1)]),
    "an array of strings": (["a", U1], [text("a"), text(U1)]),
    "text": ({"text": "a"}, [text("a")]),
    "texts": ({"text": ["a", "b"]}, [text(["a", "b"])]),
    "no text": ({"text": []}, [text([])]),
    "result": ({"result": "r"}, [text("r", result="r")]),
    "weak point 15: a result in a list is a text": ({"result": ["x"]}, [text(["x"], result=["x"])]),
    "weak point 15: a result that is an address is no file": ({"result": [U1]}, [text([U1], result=[U1])]),
    "a result that is no text": ({"result": {"a": [1]}}, [text('{"a":[1]}', result={"a": [1]})]),
    "a result of nothing": ({"result": []}, [element("text", {"result": []})]),
    "a falsy result": ({"result": 0}, [text("0", result=0)]),
    "response": ({"response": "x"}, [text("x", response="x")]),
    "description": ({"description": "d"}, [text("d", description="d")]),
    "a string output": ({"output": "o"}, [text("o", output="o")]),
    "content": ({"content": "c"}, [text("c", content="c")]),
    "message": ({"message": "m"}, [text("m", message="m")]),
    "a message with content": ({"message": {"content": "m"}}, [text("m", message={"content": "m"})]),
    "choices": (
        {"id": "c1", "choices": [{"message": {"content": "c"}}]},
        [text("c", id="c1", choices=[{"message": {"content": "c"}}])],
    ),
    "choices without content": (
        {"choices": [{"message": "c"}]},
        [element("unknown", {"choices": [{"message": "c"}]})],
    ),
    "choices of another sort": ({"choices": ["c"]}, [element("unknown", {"choices": ["c"]})]),
    "an empty text is filled, from the result first": (
        {"text": "", "response": "x", "result": "r"},
        [text("r", response="x", result="r")],
    ),
    "what is beside a text stays": ({"text": "a", "statusCode": 200}, [text("a", statusCode=200)]),
    "a message beside a result is no text": ({"text": "a", "message": "m"}, [text("a", message="m")]),
    # Media.
    "images": ({"images": [PICTURE, {"url": U2}]}, [images(PICTURE, {"url": U2})]),
    "images as strings stay strings": ({"images": ["u1"]}, [images("u1")]),
    "one image that is not in a list": ({"images": PICTURE}, [images(PICTURE)]),
    "images without an address": ({"images": [{"b64_json": "…"}]}, [images({"b64_json": "…"})]),
    "no images": ({"images": []}, [images()]),
    "images that are none": ({"images": 7}, [element("unknown", {"images": 7})]),
    "images with holes": ({"images": [None, PICTURE, "", {}]}, [images(PICTURE)]),
    "a video among the images": (
        {"images": [PICTURE, {"url": "v", "format": "video/h264-mp4"}]},
        [images(PICTURE), files("video", {"url": "v", "format": "video/h264-mp4"})],
    ),
    "imageUrl": ({"imageUrl": U3}, [images({"url": U3}, imageUrl=U3)]),
    "image": ({"image": "u1"}, [images({"url": "u1"}, image="u1")]),
    "an image that is an object": ({"image": {**PICTURE, "url": U3}}, [images({**PICTURE, "url": U3})]),
    "imageUrl of a video": ({"imageUrl": CLIP}, [files("video", {"url": CLIP}, imageUrl=CLIP)]),
    "the same address twice": ({"imageUrl": U1, "images": [PICTURE]}, [images(PICTURE, imageUrl=U1)]),
    "two addresses": ({"imageUrl": U2, "images": [PICTURE]}, [images(PICTURE, {"url": U2}, imageUrl=U2)]),
    "videoUrl": ({"videoUrl": U3}, [files("video", {"url": U3}, videoUrl=U3)]),
    "video": ({"video": {"url": CLIP}}, [files("video", {"url": CLIP})]),
    "audio": ({"audio": [{"filename": "a.flac"}]}, [files("audio", {"filename": "a.flac"})]),
    "no audio": ({"audio": []}, [files("audio")]),
    "artifactUrls": (
        {"artifactUrls": [U1, CLIP, SONG, U3]},
        [images({"url": U1}, {"url": U3}), files("file", {"url": CLIP}, {"url": SONG})],
    ),
    "gifs": (
        {"gifs": [{"filename": "a.gif"}, {"filename": "a.mp4"}]},
        [images({"filename": "a.gif"}), files("video", {"filename": "a.mp4"})],
    ),
    "files of one kind": ({"files": [{"url": CLIP}]}, [files("video", {"url": CLIP})]),
    "files of several kinds stay in order": (
        {"files": [{"url": "t"}, CLIP, {"url": U1}]},
        [files("file", {"url": "t"}, CLIP, {"url": U1})],
    ),
    "files of no known kind": ({"files": [{"url": "f"}]}, [files("file", {"url": "f"})]),
    "what is beside an image stays": ({"seed": 7, "images": [PICTURE]}, [images(PICTURE, seed=7)]),
    "a message beside an image is no text": ({"images": [PICTURE], "message": "m"}, [images(PICTURE, message="m")]),
    "an empty text beside an image": ({"images": [PICTURE], "text": ""}, [images(PICTURE, text="")]),
    "everything at once": (
        {"text": "a", "files": [{"url": CLIP}], "images": [PICTURE], "seed": 7},
        [files("video", {"url": CLIP}), images(PICTURE), text("a", seed=7)],
    ),
    "items": (
        [{"url": U1}, {"url": U2}, {"url": CLIP}],
        [images({"url": U1}, {"url": U2}), files("video", {"url": CLIP})],
    ),
    "an item that says what it is": ({"url": U3, "type": "image"}, [images({"url": U3, "type": "image"})]),
    "an item that does not": ({"url": U3}, [element("unknown", {"url": U3})]),
    "an item with a picture in it": ([{"b64_json": "…"}], [images({"b64_json": "…"})]),
    # Elements.
    "an element": ([text("a")], [text("a")]),
    "several elements": ([images(PICTURE), images({"url": U2})], [images(PICTURE), images({"url": U2})]),
    "an element of a string": ([element("text", "a")], [text("a")]),
    "an element of an address": (element("image", U3), [images({"url": U3})]),
    "an element of addresses": (element("video", [U3, CLIP]), [files("video", {"url": U3}, {"url": CLIP})]),
    "an element of a file": (element("file", {"url": U1}), [files("file", {"url": U1})]),
    "an element of nothing known": ([element("text", {"x": 1})], [element("unknown", {"x": 1})]),
    "an element of another type": ([element("text", {"images": [PICTURE]})], [images(PICTURE)]),
    "untyped files have their element's type": (
        [
            element("video", {"files": [{"url": "f"}]}),
            element("sound", {"files": ["f"]}),
            element("files", {"files": []}),
        ],
        [files("video", {"url": "f"}), files("audio", "f"), files("file")],
    ),
    "its type may stand in the object": ({"type": "video", "files": [{"url": "f"}]}, [files("video", {"url": "f"})]),
    "an element without a type": ([{"data": {"images": [PICTURE]}}], [images(PICTURE)]),
    "an element in an envelope": (
        [{"id": "x", "node_id": "9", "data": {"images": [PICTURE]}}, {"node_id": "10", "data": {"text": ["a"]}}],
        [images(PICTURE), text(["a"])],
    ),
    "an envelope around what is not known": ([{"node_id": "9", "data": {"x": 1}}], [element("unknown", {"x": 1})]),
    "data": ({"data": {"text": "a"}}, [text("a")]),
    "data that is text": ({"data": "a", "id": 7}, [text("a")]),
    "data that is not an output": (
        {"data": [1, 2], "total": 2},
        [element("unknown", {"data": [1, 2], "total": 2})],
    ),
    "data beside a text": ({"text": "a", "data": {"rows": [1]}}, [text("a", data={"rows": [1]})]),
    "data beside an image": (
        {"images": [PICTURE], "data": {"url": U3}},
        [images(PICTURE, data={"url": U3})],
    ),
    # Outputs in outputs.
    "outputs": ({"status": "success", "outputs": {"images": [PICTURE]}}, [images(PICTURE)]),
    "outputs in a list": ({"outputs": [{"data": {"images": [PICTURE]}}]}, [images(PICTURE)]),
    "outputs in outputs": ({"outputs": {"outputs": {"outputs": "a"}}}, [text("a")]),
    "outputs beside outputs": (
        {"images": [PICTURE], "result": "r", "id": "x", "outputs": {"images": [{"url": U1}, {"url": U2}]}},
        [images(PICTURE, {"url": U2}), text("r", result="r")],
    ),
    "outputs of which one is not known": (
        {"outputs": [5, {"x": 1}, {"images": [PICTURE]}], "data": {"text": "a"}},
        [element("unknown", 5), element("unknown", {"x": 1}), images(PICTURE), text("a")],
    ),
    "S3: an object keyed by node id": (
        {"9": {"node_meta": {"node_id": "9"}, "data": {"images": [{"url": U1}]}}},
        [images({"url": U1})],
    ),
    "several nodes": (
        {
            "9": {"images": [PICTURE], "animated": [False]},
            "12:3": {"gifs": [{"url": CLIP}]},
            "save": {"data": {"files": [{"url": SONG}]}},
            "13": {"text": ["one"]},
            "14": {"text": "two"},
            "15": {"x": 1},
        },
        [
            images(PICTURE, animated=[False], **{"15": {"x": 1}}),
            files("file", {"url": CLIP}, {"url": SONG}),
            text(["one", "two"]),
        ],
    ),
    "a node that holds a text that is empty": ({"1": {"text": ""}, "2": {"text": "b"}}, [text("b")]),
    "only empty texts": ({"1": {"text": ""}, "2": {"text": "", "x": 1}}, [text("", x=1)]),
    "something beside nodes": ({"meta": 1, "9": {"images": [PICTURE]}}, [images(PICTURE, meta=1)]),
    "a node with more than is known": (
        {"meta": 1, "9": {"outputs": [5, {"images": [PICTURE]}]}},
        [element("unknown", 5), images(PICTURE, meta=1)],
    ),
    "items keyed by node id": ({"9": [{"url": U1}, {"images": [U2]}]}, [images({"url": U1}, U2)]),
    "addresses keyed by node id are files": ({"9": [U1, U3]}, [files("file", {"url": U1}, {"url": U3})]),
    "other lists keyed by numbers are not": ({"9": ["a"], "x": [U1]}, [element("unknown", {"9": ["a"], "x": [U1]})]),
    # What is not known.
    "output_ keys survive": (
        {"output_image": "oi", "output_text": "ot"},
        [element("unknown", {"output_image": "oi", "output_text": "ot"})],
    ),
    "a number": (42, [element("unknown", 42)]),
    "numbers": ([1, 2, None], [element("unknown", [1, 2, None])]),
    "a mixed list": ([1, "a", {"x": 1}], [element("unknown", 1), text("a"), element("unknown", {"x": 1})]),
    "an object": ({"x": 1, "y": None}, [element("unknown", {"x": 1, "y": None})]),
}


@pytest.mark.parametrize(("raw", "payload"), SHAPES.values(), ids=SHAPES.keys())
def test_every_shape_becomes_elements(raw: Any, payload: list[Document]) -> None:
    before = copy.deepcopy(raw)
    assert list(normalise(raw)) == payload
    assert raw == before
    assert list(normalise(payload)) == payload, "once more"


@pytest.mark.parametrize(
    ("raw", "kind", "payload"),
    [
        ({"images": [PICTURE]}, "text", [images(PICTURE)]),
        (U3, "image", [images({"url": U3})]),
        ([U3, U1], "image", [images({"url": U3}, {"url": U1})]),
        (U1, "file", [files("file", {"url": U1})]),
        (SONG, "sound", [files("audio", {"url": SONG})]),
        ("a cat", "image", [text("a cat")]),
        (U3, "picture", [text(U3)]),
        ({"files": ["f"]}, "video", [files("video", "f")]),
        ([text("a"), element("text", U3)], "image", [text("a"), text(U3)]),
        (None, "image", []),
    ],
)
def test_its_sender_may_say_what_it_is(raw: Any, kind: str, payload: list[Document]) -> None:
    assert list(normalise(raw, kind)) == payload


def nested(levels: int, key: str) -> Any:
    value: Any = {"images": [PICTURE]}
    for _ in range(levels):
        value = [value] if key == "list" else {key: value, "id": 1}
    return value


@pytest.mark.parametrize("key", ["list", "outputs", "data", "9"])
def test_outputs_may_be_nested_so_deep_and_no_deeper(key: str) -> None:
    known = normalise({"outputs": nested(MAX_NESTING - 1, key)})
    assert merge_payload(known)["images"] == [PICTURE]
    for levels in (MAX_NESTING + 1, 100_000):
        deep = {"outputs": nested(levels, key)}
        (unknown,) = normalise(deep)
        assert unknown["type"] == "unknown" and unknown["data"] is deep
        (again,) = normalise([unknown])
        assert again["data"] is deep
        (only_this, image) = normalise([deep, {"images": [PICTURE]}])
        assert (only_this["type"], image) == ("unknown", images(PICTURE))


def test_a_result_that_cannot_be_written_has_no_text() -> None:
    for result in (nested(100_000, "list"), [float("nan")]):
        (written,) = normalise({"result": result})
        assert (written["type"], set(written["data"])) == ("text", {"result"})


def test_all_of_ten_thousand_nodes_are_read() -> None:
    nodes = {str(number): {"images": [{"url": f"https://o/{number}.png"}]} for number in range(10_000)}
    assert len(merge_payload(normalise(nodes))["images"]) == 10_000


KEYS = (
    *(
        "type",
        "data",
        "outputs",
        "9",
        "12:3",
        "node",
        "text",
        "result",
        "response",
        "description",
        "content",
        "message",
    ),
    *(
        "output",
        "choices",
        "images",
        "imageUrl",
        "image",
        "videoUrl",
        "video",
        "audio",
        "artifactUrls",
        "files",
        "gifs",
    ),
    *("output_image", "url", "format", "filename", "b64_json", "seed"),
)
NAMES = ("text", "image", "video", "audio", "file", "files", "unknown", "", "a", U1, U2, U3, CLIP, SONG, "video/mp4")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(NAMES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=16,
)


def test_an_empty_list_says_nothing_of_the_kind_of_what_others_hold() -> None:
    payload = normalise({"videoUrl": [], "images": SONG})
    assert payload == ({"type": "audio", "data": {"files": [SONG]}},) == normalise(payload)


@given(JSON, st.none() | st.sampled_from(NAMES))
def test_normalising_is_idempotent_and_whatever_comes_of_it_can_be_read(raw: Any, kind: str | None) -> None:
    before = copy.deepcopy(raw)
    payload = normalise(raw, kind)
    assert raw == before
    assert normalise(payload) == payload
    assert normalise(list(payload), kind) == payload
    for found in payload:
        assert set(found) == {"type", "data"}
        match found["type"]:
            case "text":
                assert isinstance(found["data"], dict)
            case "image":
                assert isinstance(found["data"]["images"], list)
            case "video" | "audio" | "file":
                assert isinstance(found["data"]["files"], list)
            case kind_:
                assert kind_ == "unknown"
    web_outputs(payload)
    raw_answer(payload)
    added = map_outputs(a_step(), payload)
    assert added.get("text", "") is not None
    assert raw == before


URLS = st.integers(0, 10**9).map(lambda number: f"https://o/u{number}z")
ITEM = URLS | st.builds(lambda url, more: {"url": url, **more}, URLS, st.sampled_from([{}, {"format": "video/mp4"}]))
HELD = st.fixed_dictionaries(
    {},
    optional={
        **{key: st.lists(ITEM, max_size=2) for key in ("images", "files", "gifs", "videos")},
        **dict.fromkeys(("imageUrl", "image", "videoUrl", "video", "audioUrl", "audio"), ITEM),
        "artifactUrls": st.lists(URLS, max_size=2),
        "text": st.sampled_from(["", "a", ["a", "b"]]),
        "message": st.just("m"),
        "seed": st.integers(),
    },
)
NESTED = st.recursive(
    HELD,
    lambda inner: st.one_of(
        st.builds(lambda held, more: {**held, "outputs": more}, HELD, inner | st.lists(inner, max_size=2)),
        st.builds(lambda held, more: {**held, "data": more}, HELD, inner),
        st.builds(lambda data, kind: {"type": kind, "data": data}, inner, st.sampled_from(["text", "image", "x"])),
        st.dictionaries(st.sampled_from(["9", "10:1"]), inner | st.lists(URLS, min_size=1, max_size=2), max_size=2),
        st.lists(inner, max_size=3),
    ),
    max_leaves=5,
)


def addresses(value: Any) -> set[str]:
    if isinstance(value, str):
        return {value} if value.startswith("https://") else set()
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return {url for child in children for url in addresses(child)}


@given(NESTED)
def test_no_address_under_a_known_key_is_lost(raw: Any) -> None:
    output = merge_payload(normalise(raw))
    assert addresses([output.get("images"), output.get("files")]) == addresses(raw)
    to_text(output)
