from __future__ import annotations

from spellcast.adapters.media import media_payload


def test_files_are_grouped_by_kind() -> None:
    files = [{"url": "1", "mediaType": "video/mp4"}, {"url": "2"}, {"url": "3", "mediaType": "application/zip"}]
    assert [element["type"] for element in media_payload(files)] == ["video", "file"]
    assert [element["type"] for element in media_payload(files, "image")] == ["image", "video", "file"]
    assert [element["type"] for element in media_payload(files, "text")] == ["video", "file"]
    assert list(media_payload([])) == []
