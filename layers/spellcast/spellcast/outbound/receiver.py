"""Posts to the caster's own address, through the guard."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from spellcast.domain.errors import AddressRefused, ProviderUnavailable
from spellcast.outbound.bounded import AnswerTooLarge, read_bounded

TOTAL_SECONDS = 10.0
# Of the answer only the status counts.
MAX_ANSWER_BYTES = 64 * 1024


class HttpReceiver:
    """Implements `ports.receiver.Receiver`; the client is a guarded one."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Raises AddressRefused, and ProviderUnavailable where no 2xx came within 10 seconds."""
        try:
            request = self._client.build_request("POST", url, content=body, headers=dict(headers))
        except httpx.InvalidURL as error:
            raise AddressRefused("The address is refused: it cannot be read") from error
        try:
            answer, _ = read_bounded(self._client, request, max_bytes=MAX_ANSWER_BYTES, seconds=TOTAL_SECONDS)
        except httpx.HTTPError as error:
            raise ProviderUnavailable(f"The webhook's receiver did not answer: {type(error).__name__}.") from error
        except AnswerTooLarge as error:
            raise ProviderUnavailable("The webhook's receiver answered too much.") from error
        if not answer.is_success:
            raise ProviderUnavailable(f"Webhook returned {answer.status_code}")
