"""Media in the bucket, on moto; that links open without credentials is shown on the embedded cloud."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError

from spellcast.aws.media_store import LINK_SECONDS, PART_BYTES, S3MediaStore
from spellcast.ports.media import MediaNotCopied
from tests.contract.deployment import BUCKET, deployed, session

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEY = "media/c1/c1.0.1/0.png"
CHUNK = 65_536


@pytest.fixture
def s3() -> Iterator[S3Client]:
    with deployed():
        yield session().client("s3", config=Config(signature_version="s3v4"))


@pytest.fixture
def store(s3: S3Client) -> S3MediaStore:
    return S3MediaStore(lambda: s3, BUCKET)


def chunks(size: int) -> Iterator[bytes]:
    for start in range(0, size, CHUNK):
        yield bytes([start // CHUNK % 251]) * min(CHUNK, size - start)


@pytest.mark.parametrize("size", [1, CHUNK, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES + 7, 3 * PART_BYTES, 25_000_000])
def test_an_object_is_what_its_chunks_hold_together(store: S3MediaStore, s3: S3Client, size: int) -> None:
    assert store.write(KEY, chunks(size), "image/png") == size
    found = s3.get_object(Bucket=BUCKET, Key=KEY)
    assert found["Body"].read() == b"".join(chunks(size))
    assert found["ContentType"] == "image/png"
    # What fits into one part is one request.
    assert ("-" in found["ETag"]) is (size > PART_BYTES)


def test_writing_again_replaces_the_object(store: S3MediaStore, s3: S3Client) -> None:
    store.write(KEY, chunks(2 * PART_BYTES), "video/mp4")
    store.write(KEY, [b"small"], "image/png")
    assert s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == b"small"


@pytest.mark.parametrize("before", [0, PART_BYTES + CHUNK])
def test_of_a_copy_that_breaks_off_nothing_is_left(store: S3MediaStore, s3: S3Client, before: int) -> None:
    def broken() -> Iterator[bytes]:
        yield from chunks(before + 1)
        yield from chunks(before)
        raise MediaNotCopied("broken off", may_pass=True)

    with pytest.raises(MediaNotCopied, match="broken off"):
        store.write(KEY, broken(), "image/png")
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)


def test_a_bucket_that_takes_nothing_may_take_it_later(s3: S3Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MediaNotCopied, match="did not take it") as raised:
        S3MediaStore(lambda: s3, "no-such-bucket").write(KEY, [b"x"], "image/png")
    assert raised.value.may_pass

    def unreachable(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://s3")

    # Nor does an abort that fails hide why it was necessary.
    monkeypatch.setattr(s3, "upload_part", unreachable)
    monkeypatch.setattr(s3, "abort_multipart_upload", unreachable)
    with pytest.raises(MediaNotCopied, match="did not take it"):
        S3MediaStore(lambda: s3, BUCKET).write(KEY, chunks(2 * PART_BYTES), "image/png")


def test_a_link_is_signed_for_twelve_hours(store: S3MediaStore) -> None:
    link = urlsplit(store.link(KEY))
    assert (link.scheme, link.path.removeprefix(f"/{BUCKET}")) == ("https", f"/{KEY}")
    signed = parse_qs(link.query)
    assert signed["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert signed["X-Amz-Expires"] == [str(LINK_SECONDS)] == [str(12 * 3600)]


def test_a_link_tells_its_key(store: S3MediaStore) -> None:
    assert store.key_of(store.link(KEY)) == KEY
    assert store.key_of(store.link(KEY).partition("?")[0]) == KEY
    for foreign in (f"https://x.example/{KEY}", f"https://x.example/?{store.link(KEY)}", "", f"s3:{KEY}"):
        assert store.key_of(foreign) is None
