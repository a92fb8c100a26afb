"""Media that inputs name by address, for servers that take files: fetched through the guard, bounded, handed over."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from spellcast.adapters.exchange import Answer, Provider
from spellcast.domain.documents import Document
from spellcast.domain.errors import FileUnavailable, InvalidStepInput
from spellcast.domain.kept_media import inline_bytes
from spellcast.domain.media import address_type, is_address, media_type, url_of
from spellcast.domain.signatures import signed_type
from spellcast.domain.tools import Tool
from spellcast.outbound.bounded import AnswerTooLarge, read_bounded

MAX_MEDIA_BYTES = 50 * 1024 * 1024
# For all media of a step together, on their way here and on to the server.
TOTAL_SECONDS = 60.0
TIMEOUT = httpx.Timeout(10.0, connect=5.0)
MAX_REDIRECTS = 3
_USUAL_EXTENSION = {"image": "png", "video": "mp4", "audio": "wav"}


@dataclass(frozen=True, slots=True)
class Media:
    """A file, named after its content: the same picture is one file on the server, whoever sends it.

    Its type is what its bytes prove, else what its address states, else what is usual.
    """

    name: str
    media_type: str
    data: bytes


class InputMedia:
    """Fetches what a tool's image, video and audio inputs name; a file has at most `max_bytes`.

    Never with a provider's key, and never from its server past the guard: any caller may have written the address. An
    earlier step's output comes as a link to the bucket.
    """

    def __init__(self, guarded: Callable[[], httpx.Client], max_bytes: int = MAX_MEDIA_BYTES) -> None:
        self._guarded = guarded
        self._max_bytes = max_bytes

    def handed_over(
        self, tool: Tool, inputs: Document, is_placed: Callable[[str], bool], upload: Callable[[Media, float], Any]
    ) -> Document:
        """The inputs, with what `upload` makes of the files in the place of their addresses; raises what it raises.

        What is no address is left alone: it names a file that the server has.
        """
        deadline = time.monotonic() + TOTAL_SECONDS
        found = dict(inputs)
        for key, field in tool.inputs.items():
            address = url_of(inputs.get(key))
            if field.type in _USUAL_EXTENSION and is_placed(key) and address is not None and is_address(address):
                media = self.fetch(key, field.type, address, deadline)
                found[key] = upload(media, _remaining(key, deadline))
        return found

    def fetch(self, key: str, kind: str, address: str, deadline: float) -> Media:
        """The file that an input names, by a time of `time.monotonic`.

        Raises AddressRefused, InvalidStepInput and FileUnavailable; nothing has been paid for by then.
        """
        if address.startswith("data:"):
            stated, data = address_type(address) or "", inline_bytes(address)
            if data is None:
                raise InvalidStepInput(f"{key}: its data: address cannot be read")
            if len(data) > self._max_bytes:
                raise self._too_large(key)
        else:
            stated, data = self._download(key, address, deadline)
        if not data:
            raise InvalidStepInput(f"{key}: its address leads to an empty file")
        if stated.startswith("text/") or stated == "application/json":
            raise InvalidStepInput(f"{key}: its address leads to {stated[:80]}, which is no {kind}")
        name = f"{hashlib.sha256(data).hexdigest()}.{_extension(kind, address, stated)}"
        stated = stated if stated.startswith(("image/", "video/", "audio/")) else ""
        return Media(name, signed_type(data) or stated or media_type(name) or "application/octet-stream", data)

    def _download(self, key: str, address: str, deadline: float) -> tuple[str, bytes]:
        client = self._guarded()
        for _ in range(MAX_REDIRECTS + 1):
            try:
                request = client.build_request("GET", address, timeout=TIMEOUT)
                seconds = _remaining(key, deadline)
                answer, data = read_bounded(client, request, max_bytes=self._max_bytes, seconds=seconds)
            except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
                raise InvalidStepInput(f"{key}: its address cannot be read") from error
            except httpx.HTTPError as error:
                raise FileUnavailable(f"{key}: its address could not be reached") from error
            except AnswerTooLarge as error:
                raise self._too_large(key) from error
            if answer.next_request is None:
                break
            address = str(answer.next_request.url)
        if answer.status_code >= 500 or answer.status_code in (408, 425, 429):
            raise FileUnavailable(f"{key}: its address answered {answer.status_code}")
        if not answer.is_success:
            raise InvalidStepInput(f"{key}: its address answered {answer.status_code}")
        return answer.headers.get("Content-Type", "").partition(";")[0].strip().lower(), data

    def _too_large(self, key: str) -> InvalidStepInput:
        return InvalidStepInput(f"{key}: its address leads to more than {self._max_bytes} bytes")


def uploaded(
    provider: Provider,
    path: str,
    part: str,
    media: Media,
    fields: Mapping[str, str],
    seconds: float,
    explain: Callable[[Answer], str],
) -> Document:
    """What the provider says of a file that it was sent as a form; sending it costs nothing, and may be repeated."""
    files = {part: (media.name, media.data, media.media_type)}
    form = httpx.Request("POST", "https://form", data=dict(fields), files=files)
    headers = {"Content-Type": form.headers["Content-Type"]}
    answer = provider.ask("POST", path, form.read(), headers=headers, seconds=seconds)
    return provider.document_of(answer, explain=explain)


def _remaining(key: str, deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise FileUnavailable(f"{key}: fetching the step's media takes too long")
    return seconds


def _extension(kind: str, address: str, stated: str) -> str:
    """What nodes go by: that of the address, or of its `filename`, or of the stated type."""
    parts = urlsplit(address) if not address.startswith("data:") else urlsplit("")
    names = [parts.path, *parse_qs(parts.query).get("filename", []), f"file.{stated.partition('/')[2]}"]
    extensions = (name.rpartition(".")[2].lower() for name in names if media_type(name))
    return next(extensions, _USUAL_EXTENSION[kind])
