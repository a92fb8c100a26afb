"""Where outputs are kept, and where they are fetched from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Protocol


class MediaNotCopied(Exception):
    """An item could not be fetched or stored; the text is for callers. `may_pass`: trying again can help."""

    def __init__(self, reason: str, *, may_pass: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.may_pass = may_pass


class MediaStore(Protocol):
    """Objects by key. Writing one again replaces it."""

    def write(self, key: str, chunks: Iterable[bytes], media_type: str) -> int:
        """Stores what the chunks hold together, whole or not at all, and answers its size in bytes.

        Raises MediaNotCopied, and whatever the chunks raise.
        """

    def link(self, key: str) -> str:
        """An address from which anybody may fetch the object for some hours; made without asking anybody."""

    def key_of(self, url: str) -> str | None:
        """The key of which an address is a link, expired or not."""


# The headers with which an address of the provider's own is asked; None for every other address.
OwnHeaders = Callable[[str], Mapping[str, str] | None]


class MediaSource(Protocol):
    """The servers from which outputs are fetched."""

    def open(
        self, url: str, own: OwnHeaders, *, max_bytes: int, seconds: float
    ) -> AbstractContextManager[Iterator[bytes]]:
        """The content, as it comes in. Opening and reading raise MediaNotCopied.

        An address that is not the provider's own must be on the public internet; so must every redirect's.
        """
