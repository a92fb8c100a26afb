"""What sort of media an address or a file leads to: by its stated format, or by its extension.

The table is ours: unlike `mimetypes`, it is the same on every system.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

_SUBTYPES = {
    "image": ("png", "jpeg", "webp", "gif", "avif", "bmp", "tiff"),
    "video": ("mp4", "webm"),
    "audio": ("wav", "flac", "ogg", "opus"),
}
_ALIASES = {
    "jpg": "image/jpeg",
    "tif": "image/tiff",
    "svg": "image/svg+xml",
    "mov": "video/quicktime",
    "mkv": "video/x-matroska",
    "avi": "video/x-msvideo",
    "m4v": "video/mp4",
    "mp3": "audio/mpeg",
    "m4a": "audio/mp4",
}
# Where providers state a format: `video/mp4`, ComfyUI's `video/h264-mp4`, or only `video`.
_FORMATS = ("format", "mediaType", "contentType", "content_type", "mimeType", "mime_type")
_NAMES = ("filename", "file_name", "fileName", "name")


def media_type(name: str) -> str | None:
    """The media type of a file name or path, where its extension is a known one."""
    stem, _, extension = name.lower().rpartition(".")
    if not stem:
        return None
    if extension in _ALIASES:
        return _ALIASES[extension]
    for kind, subtypes in _SUBTYPES.items():
        if extension in subtypes:
            return f"{kind}/{extension}"
    return None


def address_type(url: str) -> str | None:
    """The media type of what an address leads to: as a `data:` address states it, otherwise by its path's extension."""
    if url.startswith("data:"):
        return url[5:].partition(",")[0].partition(";")[0].lower() or None
    try:
        return media_type(urlsplit(url).path)
    except ValueError:
        return None


def is_address(value: object) -> bool:
    """Whether the value is an absolute address of something that can be fetched."""
    return (
        isinstance(value, str)
        and value.startswith(("https://", "http://", "data:"))
        and not any(character.isspace() for character in value[:2000])
    )


def url_of(item: Any) -> str | None:
    """The address of an item of `images` or `files`: an object's `url`, or the item itself."""
    url = item.get("url") if isinstance(item, dict) else item
    return url if isinstance(url, str) and url else None


def kind_of(item: Any) -> str | None:
    """`image`, `video` or `audio` where format, file name or address say so."""
    if isinstance(item, str):
        return _family(address_type(item))
    if not isinstance(item, dict):
        return None
    url = url_of(item)
    stated = (
        *(_family(item.get(key)) for key in _FORMATS),
        *(_family(media_type(item[key])) for key in _NAMES if isinstance(item.get(key), str)),
        _family(address_type(url)) if url else None,
        "image" if isinstance(item.get("b64_json"), str) else None,
        _family(item.get("type")),
    )
    return next((family for family in stated if family), None)


def first_url(items: Any, kind: str) -> str | None:
    """The first address of that kind in a list of items; where none is known to be one, the first of no known kind.

    `file` takes any.
    """
    found = [(kind_of(item), url) for item in items if (url := url_of(item))] if isinstance(items, list) else []
    for wanted in (kind, None):
        for known, url in found:
            if kind == "file" or known == wanted:
                return url
    return None


def _family(media: Any) -> str | None:
    family = media.lower().partition("/")[0] if isinstance(media, str) else None
    return family if family in _SUBTYPES else None
