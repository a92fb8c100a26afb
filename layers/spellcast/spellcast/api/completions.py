"""The providers' callbacks: always a 2xx or 4xx, fast (contract §4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spellcast.api.errors import refusal
from spellcast.application.receive_callback import ReceiveCallback
from spellcast.domain import documents
from spellcast.domain.errors import PayloadTooLarge, SpellcastError, StepFailed, StorageUnavailable
from spellcast.observability import logger

MAX_CALLBACK_BYTES = 1_000_000


def answer_callback(receive: ReceiveCallback, token: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The answer in API Gateway's payload format 2.0; the log never holds the token."""
    try:
        if len(body) > MAX_CALLBACK_BYTES:
            raise PayloadTooLarge(f"A callback has at most {MAX_CALLBACK_BYTES} bytes.")
        generation_id = receive(token, headers, body)
    except SpellcastError as error:
        logger().warning("A callback was refused", code=error.code)
        return refusal(error, _status_of(error))
    if generation_id is None:
        logger().info("A callback tells of a job that is nobody's here")
    else:
        logger().info("A callback was taken", castId=generation_id.partition(".")[0], generationId=generation_id)
    body_sent = documents.to_text({"generationId": generation_id})
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": body_sent}


def _status_of(error: SpellcastError) -> int | None:
    """What fails a step is, in a callback, something wrong with what was sent; or it can be sent again, a little later.

    Senders repeat after any status but a 2xx, and those that choose repeat after a 429.
    """
    if not isinstance(error, StepFailed | StorageUnavailable):
        return None
    return 429 if error.retryable else 400
