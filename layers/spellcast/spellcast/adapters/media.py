"""What sort of file an address leads to, by its extension: the same on every system, unlike `mimetypes`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from spellcast.domain.documents import Document

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


def media_payload(files: Iterable[Document], kind_of_unknown: str = "file") -> Iterator[Document]:
    """One payload element for each kind of file: `images`, or `files` of video, audio and anything else."""
    found: dict[str, list[Document]] = {"image": [], "video": [], "audio": [], "file": []}
    for file in files:
        kind = str(file.get("mediaType") or kind_of_unknown).partition("/")[0]
        found[kind if kind in found else "file"].append(file)
    for kind, members in found.items():
        if members:
            yield {"type": kind, "data": {"images" if kind == "image" else "files": members}}
