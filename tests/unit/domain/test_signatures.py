from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain.media import kind_of, media_type
from spellcast.domain.signatures import BYTES_NEEDED, extension, signed_type

FILES = [
    (b"\x89PNG\r\n\x1a\n....", "image/png", "png"),
    (b"\xff\xd8\xff\xe0..JFIF", "image/jpeg", "jpg"),
    (b"GIF87a..", "image/gif", "gif"),
    (b"GIF89a..", "image/gif", "gif"),
    (b"II*\x00..", "image/tiff", "tiff"),
    (b"MM\x00*..", "image/tiff", "tiff"),
    (b"BM\x46\x00\x00\x00\x00\x00\x00\x00\x36", "image/bmp", "bmp"),
    (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image/webp", "webp"),
    (b"\x00\x00\x00\x20ftypavif..", "image/avif", "avif"),
    (b"\x00\x00\x00\x20ftypheic..", "image/heic", "heic"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'>", "image/svg+xml", "svg"),
    (b"\xef\xbb\xbf \n<?xml version='1.0'?><!-- a --><svg>", "image/svg+xml", "svg"),
    (b"\x00\x00\x00\x20ftypisom..", "video/mp4", "mp4"),
    (b"\x00\x00\x00\x20ftypmp42..", "video/mp4", "mp4"),
    (b"\x00\x00\x00\x14ftypqt  ..", "video/quicktime", "mov"),
    (b"\x1a\x45\xdf\xa3....\x42\x82\x84webm", "video/webm", "webm"),
    (b"\x1a\x45\xdf\xa3....\x42\x82\x88matroska", "video/x-matroska", "mkv"),
    (b"RIFF\x10\x00\x00\x00AVI LIST", "video/x-msvideo", "avi"),
    (b"RIFF\x10\x00\x00\x00WAVEfmt ", "audio/wav", "wav"),
    (b"ID3\x04..", "audio/mpeg", "mp3"),
    (b"\xff\xfb\x90d", "audio/mpeg", "mp3"),
    (b"OggS\x00..", "audio/ogg", "ogg"),
    (b"fLaC\x00..", "audio/flac", "flac"),
    (b"\x00\x00\x00\x20ftypM4A ..", "audio/mp4", "m4a"),
    (b"%PDF-1.7", "application/pdf", "pdf"),
    (b"glTF\x02..", "model/gltf-binary", "glb"),
    (b"PK\x03\x04..", "application/zip", "zip"),
]
UNKNOWN = [
    b"",
    b"hello",
    b"RIFF\x10\x00\x00\x00ACON",
    b"BMW is a car",
    b"<!DOCTYPE html><html><svg></svg></html>",
    b"<!-- <svg> --><HTML><script>",
    b"<html>",
    b"<?xml version='1.0'?><feed/>",
    b"{}",
]


@pytest.mark.parametrize(("start", "kind", "suffix"), FILES, ids=lambda value: value if isinstance(value, str) else "")
def test_what_a_file_begins_with(start: bytes, kind: str, suffix: str) -> None:
    assert (signed_type(start), extension(kind)) == (kind, suffix)
    assert kind_of({"mediaType": kind}) == kind_of(f"https://x/a.{suffix}") or media_type(f"a.{suffix}") is None


@pytest.mark.parametrize("start", UNKNOWN, ids=ascii)
def test_what_could_be_anything(start: bytes) -> None:
    assert signed_type(start) is None
    assert extension(None) == "bin"


@given(st.binary(max_size=64))
def test_any_bytes_can_be_looked_at(start: bytes) -> None:
    assert extension(signed_type(start)).isalnum()


def test_it_takes_no_time_to_doubt_a_file() -> None:
    began = time.process_time()
    signed_type(b"<!---->" * 100_000)
    assert time.process_time() - began < 0.5
    assert BYTES_NEEDED < 1024
