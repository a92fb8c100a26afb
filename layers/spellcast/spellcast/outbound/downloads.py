"""Fetches outputs: from the provider's own server, which the operator named, and from the public internet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

import httpx

from spellcast.domain.errors import AddressRefused
from spellcast.outbound.bounded import streamed
from spellcast.ports.media import MediaNotCopied, OwnHeaders

MAX_REDIRECTS = 3
_MAY_PASS = frozenset({408, 425, 429})


class HttpMediaSource:
    """Implements `ports.media.MediaSource`. Only what is the provider's own is asked by the client of providers."""

    def __init__(self, guarded: Callable[[], httpx.Client], of_providers: Callable[[], httpx.Client]) -> None:
        self._guarded = guarded
        self._of_providers = of_providers

    @contextmanager
    def open(self, url: str, own: OwnHeaders, *, max_bytes: int, seconds: float) -> Iterator[Iterator[bytes]]:
        """The content, as it comes in. Opening and reading raise MediaNotCopied."""
        until = monotonic() + seconds
        try:
            for _ in range(MAX_REDIRECTS + 1):
                headers = own(url)
                client = self._guarded() if headers is None else self._of_providers()
                request = client.build_request("GET", url, headers=dict(headers or {}))
                with streamed(client, request, seconds=max(0.0, until - monotonic())) as (response, chunks):
                    if response.has_redirect_location:
                        # Judged like the first address: neither its headers nor its privileges are taken along.
                        url = str(request.url.join(response.headers["Location"]))
                        continue
                    _check(response, max_bytes)
                    yield _capped(chunks, max_bytes)
                    return
        except AddressRefused as error:
            raise MediaNotCopied(error.message) from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise MediaNotCopied("Its address cannot be read.") from error
        except httpx.HTTPError as error:
            raise MediaNotCopied("Its server could not be reached, or broke off.", may_pass=True) from error
        raise MediaNotCopied("Its server redirects too often.")


def _check(response: httpx.Response, max_bytes: int) -> None:
    status = response.status_code
    if status != 200:
        raise MediaNotCopied(f"Its server answered {status}.", may_pass=status >= 500 or status in _MAY_PASS)
    length = response.headers.get("Content-Length", "")
    if length.isascii() and length.isdigit() and int(length) > max_bytes:
        raise _too_large(max_bytes)


def _capped(chunks: Iterator[bytes], max_bytes: int) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        yield chunk


def _too_large(max_bytes: int) -> MediaNotCopied:
    return MediaNotCopied(f"It is over {max_bytes // 1024**2} MB.")
