from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain.media import address_type, first_url, is_address, kind_of, media_type, url_of


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.png", "image/png"),
        ("a.b.JPG", "image/jpeg"),
        ("/x/y.webp", "image/webp"),
        ("v.mp4", "video/mp4"),
        ("v.mov", "video/quicktime"),
        ("s.mp3", "audio/mpeg"),
        ("s.m4a", "audio/mp4"),
        ("mesh.glb", None),
        ("png", None),
        ("", None),
        ("a.", None),
    ],
)
def test_media_types(name: str, kind: str | None) -> None:
    assert media_type(name) == kind


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://o/a.png?x=b.mp4", "image/png"),
        ("data:image/webp;base64,AAAA", "image/webp"),
        ("data:,plain", None),
        ("https://[broken/a.png", None),
        ("https://o/", None),
    ],
)
def test_what_an_address_leads_to(url: str, kind: str | None) -> None:
    assert address_type(url) == kind


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://o/1", True),
        ("http://o/1", True),
        ("data:,x", True),
        ("ftp://o/1", False),
        ("https://o/ and more", False),
        ("o/1.png", False),
        (7, False),
    ],
)
def test_addresses(value: object, expected: bool) -> None:
    assert is_address(value) is expected


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        ({"format": "video/h264-mp4", "url": "https://o/1.png"}, "video"),
        ({"format": "png", "mediaType": "image/png"}, "image"),
        ({"content_type": "AUDIO/wav"}, "audio"),
        ({"format": "video"}, "video"),
        ({"filename": "a.mp4", "type": "output"}, "video"),
        ({"filename": 7, "url": "https://o/1.mp3"}, "audio"),
        ({"url": "https://o/1", "type": "image"}, "image"),
        ({"b64_json": "…"}, "image"),
        ({"mediaType": "application/zip"}, None),
        ({"url": 7}, None),
        ({}, None),
        ("https://o/1.webm", "video"),
        ("https://o/1", None),
        (7, None),
    ],
)
def test_kinds_are_told_by_format_then_name_then_address(item: Any, kind: str | None) -> None:
    assert kind_of(item) == kind


@pytest.mark.parametrize(("item", "url"), [("u", "u"), ({"url": "u"}, "u"), ("", None), ({"url": 7}, None), (7, None)])
def test_the_address_of_an_item(item: Any, url: str | None) -> None:
    assert url_of(item) == url


FILES = [{"filename": "b.mp4"}, {"url": "t"}, "https://o/1.mp4", {"url": "s", "format": "audio/wav"}, "https://o/2.mp4"]


@pytest.mark.parametrize(
    ("items", "kind", "url"),
    [
        (FILES, "video", "https://o/1.mp4"),
        (FILES, "audio", "s"),
        (FILES, "image", "t"),
        (FILES, "file", "t"),
        (["https://o/1.mp4"], "audio", None),
        ([], "file", None),
        ("https://o/1.mp4", "video", None),
    ],
)
def test_the_first_address_of_a_kind(items: Any, kind: str, url: str | None) -> None:
    assert first_url(items, kind) == url


@given(st.text() | st.text().map("https://{}".format) | st.text().map("data:{}".format))
def test_any_text_has_a_kind_or_none(value: str) -> None:
    assert kind_of({"url": value, "filename": value, "format": value}) in ("image", "video", "audio", None)
