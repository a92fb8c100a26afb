"""Authorizes a WebSocket's `$connect` by its ticket."""

from __future__ import annotations

from typing import Any

from spellcast import bootstrap
from spellcast.domain.errors import Unauthorized
from spellcast.observability import observed
from spellcast.starting import before_calls


@observed
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """The policy that API Gateway asks for; a WebSocket API takes no simple response."""
    ticket = (event.get("queryStringParameters") or {}).get("ticket", "")
    try:
        account_id = bootstrap.authorize()(ticket)
    except Unauthorized:
        return _policy("nobody", "Deny", event["methodArn"], {})
    return _policy(account_id, "Allow", event["methodArn"], {"accountId": account_id})


def _policy(principal: str, effect: str, arn: str, context: dict[str, str]) -> dict[str, Any]:
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": arn}
    return {
        "principalId": principal,
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": context,
    }


before_calls(bootstrap.authorize)
