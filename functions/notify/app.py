"""Announces what leaves the table's stream."""

from __future__ import annotations

from typing import Any

from spellcast import bootstrap
from spellcast.observability import begin, logger, observed
from spellcast.starting import before_calls


@observed
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Records in order; those from the first failure on are delivered again."""
    for record in event["Records"]:
        keys = record["dynamodb"]["Keys"]
        kind, _, record_id = keys["pk"]["S"].partition("#")
        begin(**({"castId": record_id} if kind == "CAST" else {}), row=keys["sk"]["S"])
        try:
            bootstrap.notify()(bootstrap.parts().written(record["dynamodb"]["NewImage"]))
        except Exception:
            logger().exception("A revision could not be announced; the stream delivers it again")
            return {"batchItemFailures": [{"itemIdentifier": record["dynamodb"]["SequenceNumber"]}]}
    return {"batchItemFailures": []}


before_calls(bootstrap.notify)
