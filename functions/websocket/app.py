"""The WebSocket's routes."""

from __future__ import annotations

from typing import Any

from spellcast import bootstrap
from spellcast.api.errors import refusal
from spellcast.domain.errors import TooManyConnections
from spellcast.observability import observed
from spellcast.starting import before_calls


@observed
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """`$connect`, `$disconnect` and `$default`; `authorize` has said whose connection it is."""
    request = event["requestContext"]
    account_id, connection_id = request["authorizer"]["accountId"], request["connectionId"]
    watch = bootstrap.watch_casts()
    match request["routeKey"]:
        case "$connect":
            try:
                watch.connect(account_id, connection_id)
            except TooManyConnections as error:
                return refusal(error)
        case "$disconnect":
            watch.disconnect(account_id, connection_id)
        case _:
            watch.receive(account_id, connection_id, event.get("body") or "")
    return {"statusCode": 200}


before_calls(bootstrap.watch_casts)
