from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain import kept_media
from spellcast.domain.documents import Document
from spellcast.domain.kept_media import Kept, NotKept
from spellcast.domain.outputs import map_outputs, web_outputs
from spellcast.domain.payloads import normalise
from tests.fakes.records import a_step

PNG = b"\x89PNG"
B64 = base64.b64encode(PNG).decode()
KEPT = Kept("media/c1/c1.0.1/0.png", "image/png", 4)
POINTER = "s3:media/c1/c1.0.1/0.png"
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def images(*items: Any, **more: Any) -> Document:
    return {"type": "image", "data": {"images": list(items), **more}}


def files(*items: Any, **more: Any) -> Document:
    return {"type": "video", "data": {"files": list(items), **more}}


def test_items_are_numbered_through() -> None:
    payload = [images("a", {"url": "b"}), {"type": "unknown", "data": 1}, files({"url": "c"}), images()]
    assert list(kept_media.media_items(payload)) == [(0, "a"), (1, {"url": "b"}), (2, {"url": "c"})]
    assert list(kept_media.media_items([{"type": "image", "data": {"images": "none"}}])) == []


@pytest.mark.parametrize(
    ("item", "address", "inline"),
    [
        ({"url": "https://x/a.png"}, "https://x/a.png", False),
        ("http://x/a.png", "http://x/a.png", False),
        ({"url": f"data:image/png;base64,{B64}"}, None, True),
        (f"data:image/png;base64,{B64}", None, True),
        ({"b64_json": B64}, None, True),
        ({"url": POINTER}, None, False),
        ({"url": "ftp://x/a.png"}, None, False),
        ({"filename": "a.png"}, None, False),
        (7, None, False),
    ],
)
def test_where_an_items_bytes_are(item: Any, address: str | None, inline: bool) -> None:
    assert (kept_media.remote_address(item), kept_media.is_inline(item)) == (address, inline)


@pytest.mark.parametrize(
    ("item", "content"),
    [
        ({"b64_json": B64}, PNG),
        ({"b64_json": f"data:image/png;base64,{B64}", "url": "https://x/"}, PNG),
        ({"b64_json": f" {B64[:3]}\n{B64[3:]} "}, PNG),
        ({"url": f"data:image/png;base64,{B64}"}, PNG),
        (f"data:;base64,{B64}", PNG),
        ("data:;base64,YWJjZA%3D%3D", b"abcd"),
        ("data:image/svg+xml,%3Csvg/%3E", b"<svg/>"),
        ({"b64_json": "no base64!"}, None),
        ({"b64_json": "aé"}, None),
        ("data:image/png", None),
        ("https://x/", b""),
    ],
)
def test_the_bytes_that_an_item_holds(item: Any, content: bytes | None) -> None:
    assert kept_media.inline_bytes(item) == content


def test_a_kept_item_points_to_the_bucket_and_says_what_it_is() -> None:
    item = {"url": "https://x/a.gif", "filename": "a.gif", "mediaType": "image/gif"}
    assert kept_media.with_outcomes([images(item)], {0: KEPT}) == (
        images({"url": POINTER, "filename": "a.gif", "mediaType": "image/png", "bytes": 4}),
    )
    unknown = Kept("media/c1/c1.0.1/0.bin", None, 9)
    assert kept_media.with_outcomes([images(item)], {0: unknown}) == (
        images({**item, "url": "s3:media/c1/c1.0.1/0.bin", "bytes": 9}),
    )
    assert kept_media.with_outcomes([images({"b64_json": B64, "mediaType": "x"})], {0: KEPT}) == (
        images({"url": POINTER, "mediaType": "image/png", "bytes": 4}),
    )
    assert kept_media.with_outcomes([images("https://x/a.gif")], {0: KEPT}) == (images(POINTER),)


def test_an_address_is_replaced_wherever_it_stands() -> None:
    payload = [
        images({"url": "https://x/a"}, {"url": "https://x/b"}, imageUrl="https://x/a"),
        {"type": "text", "data": {"text": "see https://x/a", "result": {"deep": [["https://x/a"]]}}},
        {"type": "unknown", "data": 7},
    ]
    changed = kept_media.with_outcomes(payload, {0: KEPT})
    assert changed[0]["data"]["imageUrl"] == POINTER
    assert changed[0]["data"]["images"][1] == {"url": "https://x/b"}
    assert changed[1]["data"] == {"text": "see https://x/a", "result": {"deep": [[POINTER]]}}
    assert payload[0]["data"]["imageUrl"] == "https://x/a", "what was given is left as it was"


def test_what_could_not_be_kept_says_so_and_keeps_its_address() -> None:
    payload = [images({"url": "https://x/a"}, "https://x/b"), files({"url": "https://x/c"})]
    outcomes: dict[int, Kept | NotKept] = {number: NotKept("gone") for number in range(3)}
    assert kept_media.with_outcomes(payload, outcomes) == (
        images({"url": "https://x/a", "kept": False, "reason": "gone"}, "https://x/b"),
        files({"url": "https://x/c", "kept": False, "reason": "gone"}),
    )


def test_a_kept_payload_is_read_as_any_other() -> None:
    payload = kept_media.with_outcomes(normalise({"images": [{"url": "https://x/a"}]}), {0: KEPT})
    assert normalise(payload) == payload
    assert web_outputs(payload) == payload[0]["data"]
    assert map_outputs(a_step(), payload)["input_image"] == POINTER
    film = Kept("media/c1/c1.0.1/0.mp4", "video/mp4", 4)
    payload = kept_media.with_outcomes(normalise({"files": [{"url": "https://x/a"}]}), {0: film})
    assert map_outputs(a_step(), payload)["input_video"] == film.pointer


def test_links_are_made_of_the_casts_own_pointers_only() -> None:
    others = ["s3:media/c2/c2.0.1/0.png", "s3:documents/c1/x.json", "s3:media/c1", "see s3:media/c1/a", "media/c1/a"]
    document = {"url": POINTER, "deep": [{"url": POINTER}], "others": others, "number": 7, POINTER: None}
    assert kept_media.with_links(document, "c1", lambda key: f"<{key}>") == {
        "url": "<media/c1/c1.0.1/0.png>",
        "deep": [{"url": "<media/c1/c1.0.1/0.png>"}],
        "others": others,
        "number": 7,
        POINTER: None,
    }
    assert kept_media.with_links(POINTER, "c1", lambda key: "link") == "link"
    assert kept_media.with_links(None, "c1", lambda key: "link") is None


def test_a_key_is_below_its_casts_folder() -> None:
    assert kept_media.key_stem("c1", "c1.0.1", 3) == "media/c1/c1.0.1/3"
    assert kept_media.key_stem("c1", "c1.0.1", 3).startswith(kept_media.folder("c1"))


@given(JSON)
def test_a_document_without_pointers_stays_as_it_is(document: Any) -> None:
    assert kept_media.with_texts(document, lambda text: text) == document


def test_a_document_may_be_of_any_depth() -> None:
    deep: Any = POINTER
    for _ in range(5_000):
        deep = [deep]
    found = kept_media.with_links(deep, "c1", lambda key: "link")
    while isinstance(found, list):
        found = found[0]
    assert found == "link"
