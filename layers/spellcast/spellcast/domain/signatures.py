"""What sort of file begins with these bytes: headers and names say what their sender wants them to."""

from __future__ import annotations

import re

# So many bytes are enough to know every sort below.
BYTES_NEEDED = 512

_STARTS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"%PDF-", "application/pdf"),
    (b"glTF", "model/gltf-binary"),
    (b"PK\x03\x04", "application/zip"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
# The brand of an ISO base media file, by its beginning; every other brand is a video.
_BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heic",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"qt  ": "video/quicktime",
}
_MPEG_AUDIO = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")
_XML = (b"<svg", b"<?xml", b"<!--", b"<!DOCTYPE svg")

_EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/svg+xml": "svg",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "video/quicktime": "mov",
    "video/x-matroska": "mkv",
    "video/x-msvideo": "avi",
    "model/gltf-binary": "glb",
}


def signed_type(start: bytes) -> str | None:
    """The media type that a file's first bytes prove, or None."""
    for signature, kind in _STARTS:
        if start.startswith(signature):
            return kind
    if start.startswith(b"RIFF"):
        return _RIFF.get(start[8:12])
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12], "video/mp4")
    if start.startswith(b"\x1a\x45\xdf\xa3"):
        return "video/webm" if b"webm" in start[:64] else "video/x-matroska"
    if start.startswith(b"BM") and start[6:10] == bytes(4):
        return "image/bmp"
    if _MPEG_AUDIO.match(start):
        return "audio/mpeg"
    text = start[:BYTES_NEEDED].removeprefix(b"\xef\xbb\xbf").lstrip()
    return "image/svg+xml" if text.startswith(_XML) and b"<svg" in text and b"<html" not in text.lower() else None


def extension(kind: str | None) -> str:
    """The extension of a file of this media type, without its dot; `bin` where nobody knows the type."""
    return "bin" if kind is None else _EXTENSIONS.get(kind, kind.partition("/")[2])
