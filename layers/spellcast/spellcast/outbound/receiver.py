"""Posts to the caster's own address, through the guard."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from spellcast.domain.errors import AddressRefused, WebhookNotDelivered
from spellcast.outbound.bounded import AnswerTooLarge, read_bounded

TOTAL_SECONDS = 10.0
# Of the answer only the status counts, however long it is; the start of a refusal's text is for the caster to read.
MAX_ANSWER_BYTES = 64 * 1024
MAX_TEXT_CHARACTERS = 200


class HttpReceiver:
    """Implements `ports.receiver.Receiver`; the client is a guarded one."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Raises AddressRefused, and WebhookNotDelivered where no 2xx came within 10 seconds."""
        try:
            request = self._client.build_request("POST", url, content=body, headers=dict(headers))
        except httpx.InvalidURL as error:
            raise AddressRefused("The address is refused: it cannot be read") from error
        try:
            answer, text = read_bounded(self._client, request, max_bytes=MAX_ANSWER_BYTES, seconds=TOTAL_SECONDS)
        except httpx.HTTPError as error:
            raise WebhookNotDelivered(f"The webhook's receiver did not answer: {type(error).__name__}.") from error
        except AnswerTooLarge as error:
            answer, text = error.answer, error.start
        if not answer.is_success:
            raise WebhookNotDelivered(_refusal(answer.status_code, text), answer.status_code)


def _refusal(status: int, text: bytes) -> str:
    """In the original's words and in one line (original-system.md S12)."""
    start = " ".join(text.decode(errors="replace").split())[:MAX_TEXT_CHARACTERS]
    return f"Webhook returned {status}: {start}" if start else f"Webhook returned {status}"
