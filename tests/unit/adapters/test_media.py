from __future__ import annotations

import pytest

from spellcast.adapters.media import media_payload, media_type


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


def test_files_are_grouped_by_kind() -> None:
    files = [{"url": "1", "mediaType": "video/mp4"}, {"url": "2"}, {"url": "3", "mediaType": "application/zip"}]
    assert [element["type"] for element in media_payload(files)] == ["video", "file"]
    assert [element["type"] for element in media_payload(files, "image")] == ["image", "video", "file"]
    assert [element["type"] for element in media_payload(files, "text")] == ["video", "file"]
    assert list(media_payload([])) == []
