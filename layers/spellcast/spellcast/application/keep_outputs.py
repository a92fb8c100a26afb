"""Copies a step's media to the bundle's bucket: what a result holds at once, what it points to when it is finished.

A copy that fails costs nobody the step: the item keeps the provider's address, and says why.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import chain

from spellcast.domain import kept_media, signatures
from spellcast.domain.generations import Generation
from spellcast.domain.kept_media import Kept, NotKept
from spellcast.domain.payloads import normalise
from spellcast.domain.results import ToolResult
from spellcast.observability import logger
from spellcast.ports.adapter import Adapters
from spellcast.ports.clock import Clock
from spellcast.ports.media import MediaNotCopied, MediaSource, MediaStore, OwnHeaders
from spellcast.ports.store import ToolStore

MAX_BYTES = 500 * 1024 * 1024
MAX_ITEMS = 100
# All items of a step together; `process_output` has 300 s.
PATIENCE = timedelta(seconds=240)
# Seconds before the second and the third attempt.
_PAUSES = (1.0, 4.0)
_UNKNOWN_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class KeepOutputs:
    """May be repeated at any point: an item's object is named by its generation and its place there."""

    media: MediaStore
    source: Callable[[], MediaSource]
    adapters: Adapters
    tools: ToolStore
    clock: Clock
    wait: Callable[[float], None]

    def take_in(self, generation_id: str, result: ToolResult) -> ToolResult:
        """The result as it is stored: without base64, whatever the tool says, and with pointers where it has links.

        The objects of base64 are named by their content too: two results may be brought at once, and one counts.
        """
        cast_id = generation_id.partition(".")[0]
        payload = kept_media.with_texts(list(normalise(result.payload)), partial(self._pointed, cast_id))
        outcomes = {
            position: self._taken_in(
                kept_media.key_stem(cast_id, generation_id, position), kept_media.inline_bytes(item)
            )
            for position, item in kept_media.media_items(payload)
            if kept_media.is_inline(item)
        }
        self._report(outcomes)
        return replace(result, payload=kept_media.with_outcomes(payload, outcomes))

    def due(self, generation: Generation) -> ToolResult | None:
        """The stored result, where it points to something that is to be copied."""
        result = generation.result
        if result is None or result.status != "succeeded" or not any(_addresses(result)):
            return None
        tool = self.tools.recall_tool(generation.account_id, generation.tool_id)
        return result if tool is None or tool.metadata.get("keepOutputs") is not False else None

    def __call__(self, generation: Generation, result: ToolResult, until: datetime | None = None) -> ToolResult:
        """A result that is due, with its media copied: by `until`, and within 240 s."""
        latest = self.clock.now() + PATIENCE
        until = latest if until is None else min(until, latest)
        own = self._own_headers(generation)
        outcomes: dict[int, Kept | NotKept] = {}
        copied: dict[str, Kept | NotKept] = {}
        for position, address in _addresses(result):
            if address not in copied:
                stem = kept_media.key_stem(generation.cast_id, generation.generation_id, position)
                copied[address] = (
                    self._fetched(stem, address, own, until)
                    if len(copied) < MAX_ITEMS
                    else NotKept(f"Only {MAX_ITEMS} outputs of a step are kept.")
                )
            outcomes[position] = copied[address]
        self._report(outcomes)
        return replace(result, payload=kept_media.with_outcomes(result.payload, outcomes))

    def _taken_in(self, stem: str, content: bytes | None) -> Kept | NotKept:
        if not content:
            return NotKept("It is not base64 of anything.")
        try:
            return self._stored(f"{stem}-{hashlib.sha256(content).hexdigest()[:16]}", [content])
        except Exception as error:
            return NotKept(_reason(error))

    def _pointed(self, cast_id: str, text: str) -> str:
        """A link to the cast's own media, as its steps are given them, is the pointer again that it was made of."""
        own = kept_media.folder(cast_id)
        key = self.media.key_of(text) if own in text and text.startswith("http") else None
        return kept_media.pointer_to(key) if key and key.startswith(own) else text

    def _fetched(self, stem: str, address: str, own: OwnHeaders, until: datetime) -> Kept | NotKept:
        reason = "There was no time left to copy it."
        for pause in (*_PAUSES, None):
            seconds = (until - self.clock.now()).total_seconds()
            if seconds <= 0:
                break
            try:
                with self.source().open(address, own, max_bytes=MAX_BYTES, seconds=seconds) as chunks:
                    return self._stored(stem, chunks)
            except Exception as error:
                reason = _reason(error)
                if not isinstance(error, MediaNotCopied) or not error.may_pass:
                    break
            if pause is not None:
                self.wait(pause)
        return NotKept(reason)

    def _stored(self, stem: str, chunks: Iterable[bytes]) -> Kept:
        rest = iter(chunks)
        start = b""
        for chunk in rest:
            start += chunk
            if len(start) >= signatures.BYTES_NEEDED:
                break
        if not start:
            raise MediaNotCopied("It is empty.", may_pass=True)
        media_type = signatures.signed_type(start)
        key = f"{stem}.{signatures.extension(media_type)}"
        return Kept(key, media_type, self.media.write(key, chain([start], rest), media_type or _UNKNOWN_TYPE))

    def _own_headers(self, generation: Generation) -> OwnHeaders:
        try:
            return self.adapters.get(generation.service_name).file_headers
        except Exception as error:
            _reason(error)
            return lambda url: None

    def _report(self, outcomes: Mapping[int, Kept | NotKept]) -> None:
        reasons = sorted({outcome.reason for outcome in outcomes.values() if isinstance(outcome, NotKept)})
        if reasons:
            logger().warning("Not every output could be kept", reasons=reasons)


def _reason(error: Exception) -> str:
    """As a caller reads it. A fault of our own is logged, and costs nobody the step either."""
    if isinstance(error, MediaNotCopied):
        return error.reason
    # Its text may have an address with a token.
    logger().warning("Copying outputs failed in a way that it should not", error=type(error).__name__)
    return "It could not be copied."


def _addresses(result: ToolResult) -> Iterator[tuple[int, str]]:
    for position, item in kept_media.media_items(result.payload):
        address = kept_media.remote_address(item)
        if address is not None:
            yield position, address
