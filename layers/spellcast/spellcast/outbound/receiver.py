"""Posts to the caster's own address, through the guard."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from spellcast.domain.errors import ProviderUnavailable


class HttpReceiver:
    """Implements `ports.receiver.Receiver`; the client is a guarded one."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Raises AddressRefused, and ProviderUnavailable where the receiver did not answer 2xx within 10 seconds."""
        try:
            answer = self._client.post(url, content=body, headers=dict(headers))
        except httpx.HTTPError as error:
            raise ProviderUnavailable(f"The webhook's receiver did not answer: {type(error).__name__}.") from error
        if not answer.is_success:
            raise ProviderUnavailable(f"Webhook returned {answer.status_code}")
