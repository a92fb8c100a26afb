"""Media that lies in the bundle's bucket: how payloads point to it, and who gets a link to it.

A kept item's `url` is a pointer, `s3:media/<castId>/…`. It becomes a link only on its way out of its own cast: what a
caller or a provider writes in the form of a pointer leads to nothing but that cast's own media.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from spellcast.domain.documents import Document
from spellcast.domain.media import url_of

_SCHEME = "s3:"
_LISTS = ("images", "files")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Kept:
    """An item that lies in the bucket; its type is what its bytes say, if they do, and its size is in bytes."""

    key: str
    media_type: str | None
    size: int

    @property
    def pointer(self) -> str:
        """What stands in the item's `url`."""
        return pointer_to(self.key)


@dataclass(frozen=True, slots=True)
class NotKept:
    """An item that could not be copied, and why, as a caller reads it."""

    reason: str


def pointer_to(key: str) -> str:
    """What stands for an object in records."""
    return _SCHEME + key


def folder(cast_id: str) -> str:
    """Below which a cast's media lie."""
    return f"media/{cast_id}/"


def key_stem(cast_id: str, generation_id: str, position: int) -> str:
    """The object of an item of a generation, without its extension: who copies it again writes the same object."""
    return f"{folder(cast_id)}{generation_id}/{position}"


def media_items(payload: Sequence[Document]) -> Iterator[tuple[int, Any]]:
    """The items of all `images` and `files`, numbered through."""
    yield from enumerate(item for items in _lists(payload) for item in items)


def remote_address(item: Any) -> str | None:
    """Where an item has to be fetched from, if it has to be."""
    url = url_of(item)
    return url if url is not None and url.startswith(("https://", "http://")) else None


def is_inline(item: Any) -> bool:
    """Whether the item holds its own bytes, as base64 or in a `data:` address."""
    return _encoded(item) is not None


def inline_bytes(item: Any) -> bytes | None:
    """The bytes that the item holds; None where they cannot be read."""
    text = _encoded(item) or ""
    head, comma, content = text.partition(",")
    if not text.startswith("data:"):
        content = text
    elif not comma:
        return None
    elif not head.endswith(";base64"):
        return unquote_to_bytes(content)
    else:
        content = unquote(content)
    try:
        return base64.b64decode(_SPACE.sub("", content), validate=True)
    except (binascii.Error, ValueError):
        return None


def with_outcomes(payload: Sequence[Document], outcomes: Mapping[int, Kept | NotKept]) -> tuple[Document, ...]:
    """The payload as it stands after its items were copied. A kept item's address is replaced wherever it stands."""
    moved: dict[str, str] = {}
    for position, item in media_items(payload):
        outcome = outcomes.get(position)
        if isinstance(outcome, Kept) and (address := url_of(item)):
            moved[address] = outcome.pointer
    # The walk is in the order of `media_items`.
    rest = iter(outcomes.get(position) for position, _ in media_items(payload))
    changed = [_with_items(element, lambda item: _after(item, next(rest))) for element in payload]
    return tuple(with_texts(changed, lambda text: moved.get(text, text)))


def with_links(document: Any, cast_id: str, link: Callable[[str], str]) -> Any:
    """The document as somebody outside may use it: a link, made of its key, for each pointer to the cast's media."""
    own = _SCHEME + folder(cast_id)
    return with_texts(document, lambda text: link(text.removeprefix(_SCHEME)) if text.startswith(own) else text)


def with_texts(document: Any, change: Callable[[str], str]) -> Any:
    """A copy in which every text that is a value is changed. However deep the document is, this is no recursion."""
    root = [document]
    waiting: list[Any] = [root]
    while waiting:
        container = waiting.pop()
        for key, value in list(container.items() if isinstance(container, dict) else enumerate(container)):
            if isinstance(value, str):
                container[key] = change(value)
            elif isinstance(value, dict | list):
                container[key] = value.copy()
                waiting.append(container[key])
    return root[0]


def _lists(payload: Sequence[Document]) -> Iterator[list[Any]]:
    for element in payload:
        data = element["data"]
        for name in _LISTS if isinstance(data, dict) else ():
            if isinstance(data.get(name), list):
                yield data[name]


def _with_items(element: Document, change: Callable[[Any], Any]) -> Document:
    data = element["data"]
    if not isinstance(data, dict):
        return element
    lists = {name: [change(item) for item in data[name]] for name in _LISTS if isinstance(data.get(name), list)}
    return {**element, "data": {**data, **lists}}


def _after(item: Any, outcome: Kept | NotKept | None) -> Any:
    if outcome is None:
        return item
    if isinstance(outcome, NotKept):
        # A bare address stays one: whoever reads it expects a text.
        return {**item, "kept": False, "reason": outcome.reason} if isinstance(item, dict) else item
    if not isinstance(item, dict):
        return outcome.pointer
    rest = {key: value for key, value in item.items() if key != "b64_json"}
    known = {"mediaType": outcome.media_type} if outcome.media_type else {}
    return {**rest, "url": outcome.pointer, **known, "bytes": outcome.size}


def _encoded(item: Any) -> str | None:
    if isinstance(item, dict) and isinstance(item.get("b64_json"), str):
        return str(item["b64_json"])
    url = url_of(item)
    return url if url is not None and url.startswith("data:") else None
