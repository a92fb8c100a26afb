"""Calls casters' webhooks; the queue tries again, and gives up into its dead-letter queue."""

from __future__ import annotations

from typing import Any

from spellcast import bootstrap
from spellcast.domain import documents
from spellcast.domain.errors import SpellcastError
from spellcast.observability import begin, logger, observed
from spellcast.ports.queue import Message
from spellcast.starting import before_calls


@observed
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """A message of the queue is one terminal `Cast Updated` event; how often it was received numbers the attempt."""
    failures = []
    for record in event["Records"]:
        cast_id = documents.from_text(record["body"])["detail"]["castId"]
        message = Message(record["receiptHandle"], int(record["attributes"]["ApproximateReceiveCount"]))
        begin(castId=cast_id, attempt=message.attempt)
        try:
            bootstrap.send_webhook()(cast_id, message)
        except SpellcastError as error:
            # Without its text, which may be the receiver's.
            status = getattr(error, "status", None)
            logger().warning("The webhook was not delivered", code=error.code, status=status)
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


before_calls(bootstrap.send_webhook)
