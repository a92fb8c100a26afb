"""The bucket's media in memory, and servers to fetch from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from spellcast.ports.media import MediaNotCopied, OwnHeaders

BUCKET_URL = "https://bucket.example/"
PNG = b"\x89PNG\r\n\x1a\n" + b"pixels" * 100


class FakeMediaStore:
    """Implements `ports.media.MediaStore`. `failures` are raised by the next writes, one each."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.failures: list[Exception] = []

    def write(self, key: str, chunks: Iterable[bytes], media_type: str) -> int:
        content = b"".join(chunks)
        if self.failures:
            raise self.failures.pop(0)
        self.objects[key] = (content, media_type)
        return len(content)

    def link(self, key: str) -> str:
        return f"{BUCKET_URL}{key}?signature=s3cr3t"

    def key_of(self, url: str) -> str | None:
        address = url.partition("?")[0]
        return address.removeprefix(BUCKET_URL) if address.startswith(BUCKET_URL) else None


class FakeMediaSource:
    """Implements `ports.media.MediaSource`; what `contents` does not have is not found. A test may put faults there."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes | list[bytes | MediaNotCopied]] = {}
        self.opened: list[str] = []
        self.headers: list[dict[str, str] | None] = []

    @contextmanager
    def open(self, url: str, own: OwnHeaders, *, max_bytes: int, seconds: float) -> Iterator[Iterator[bytes]]:
        self.opened.append(url)
        headers = own(url)
        self.headers.append(None if headers is None else dict(headers))
        content = self.contents.get(url, [MediaNotCopied("Its server answered 404.")])
        if isinstance(content, list):
            found = content.pop(0) if len(content) > 1 else content[0]
            if isinstance(found, MediaNotCopied):
                raise found
            content = found
        yield iter([content[start : start + 100] for start in range(0, len(content), 100)])
