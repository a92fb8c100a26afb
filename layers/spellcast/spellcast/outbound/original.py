"""Passes requests on to the original service, whose address is the operator's: it may well be a private one."""

from __future__ import annotations

import string
from collections.abc import Callable
from urllib.parse import quote

import httpx

from spellcast.domain.errors import OriginalUnanswered, OriginalUnavailable
from spellcast.outbound.bounded import NOTHING_WAS_SENT, AnswerTooLarge, read_bounded
from spellcast.ports.adapter import ProviderConfig
from spellcast.ports.original import PASSED_ON, OriginalAnswer, PassedRequest

TIMEOUT = httpx.Timeout(24.0, connect=3.0)
# The original runs a cast's first step before it answers; `cast_api` has 29 s.
TOTAL_SECONDS = 24.0
# A Lambda answers at most 6 MB.
MAX_ANSWER_BYTES = 5_000_000


def original_client() -> httpx.Client:
    """It follows no redirect, keeps no cookie, and takes nothing from the environment."""
    return httpx.Client(timeout=TIMEOUT, follow_redirects=False, trust_env=False, headers={"User-Agent": "spellcast"})


class HttpOriginal:
    """Implements `ports.original.Original`; `config` gives address and key, empty where there is no original."""

    def __init__(self, config: Callable[[], ProviderConfig], client: Callable[[], httpx.Client]) -> None:
        self._config = config
        self._client = client

    def is_configured(self) -> bool:
        """Whether the secret names an address."""
        return bool(self._config().url)

    def ask(self, request: PassedRequest) -> OriginalAnswer:
        """One exchange; the caller's key is replaced by the original's."""
        if request.was_passed_on:
            raise OriginalUnavailable("The address of the original service leads back here; nothing was changed.")
        config = self._config()
        client = self._client()
        try:
            # As they came; what is no part of an address is encoded rather than read as its end.
            path, query = quote(request.path, safe="/%:@!$&'()*+,;=~"), quote(request.query, safe=string.punctuation)
            url = httpx.URL(config.url.rstrip("/") + path).copy_with(query=query.encode() or None)
            outgoing = client.build_request(
                request.method,
                url,
                content=request.body,
                headers={"X-Internal-Client-Key": config.key, "Content-Type": "application/json", PASSED_ON: "1"},
            )
            response, body = read_bounded(client, outgoing, max_bytes=MAX_ANSWER_BYTES, seconds=TOTAL_SECONDS)
        except NOTHING_WAS_SENT as error:
            raise OriginalUnavailable("The original service could not be reached; nothing was changed.") from error
        except (httpx.HTTPError, AnswerTooLarge) as error:
            if request.method == "GET":
                raise OriginalUnavailable("The original service gave no answer that can be passed on.") from error
            raise OriginalUnanswered(
                "The request was passed on to the original service and its answer was lost. It is not sent again: "
                "look there whether it was carried out before you repeat it."
            ) from error
        return OriginalAnswer(response.status_code, response.headers.get("Content-Type", "application/json"), body)
