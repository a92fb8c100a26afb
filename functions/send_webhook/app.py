"""Calls casters' webhooks; the queue tries again, and gives up into its dead-letter queue."""

from __future__ import annotations

from typing import Any

from spellcast import bootstrap
from spellcast.domain import documents
from spellcast.domain.errors import SpellcastError
from spellcast.observability import begin, logger


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """One message of the queue is one terminal `Cast Updated` event."""
    failures = []
    for record in event["Records"]:
        cast_id = documents.from_text(record["body"])["detail"]["castId"]
        begin(castId=cast_id)
        try:
            bootstrap.send_webhook()(cast_id)
        except SpellcastError as error:
            logger().warning("The webhook was not delivered", code=error.code, reason=error.message)
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}
