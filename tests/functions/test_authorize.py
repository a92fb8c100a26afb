"""Who may open a WebSocket."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from functions.authorize import app
from spellcast.ports.store import Ticket
from tests.functions.scene import ACCOUNT, TICKET, Scene, load_event, now


def effect(answer: dict[str, Any]) -> str:
    (statement,) = answer["policyDocument"]["Statement"]
    assert statement["Action"] == "execute-api:Invoke"
    assert statement["Resource"] == load_event("authorize.ticket")["methodArn"]
    return str(statement["Effect"])


def test_a_ticket_lets_its_account_in_once(scene: Scene) -> None:
    scene.access.put_ticket(Ticket(TICKET, ACCOUNT, now() + timedelta(seconds=60)))
    allowed = app.lambda_handler(load_event("authorize.ticket"), None)
    assert (effect(allowed), allowed["principalId"], allowed["context"]) == ("Allow", ACCOUNT, {"accountId": ACCOUNT})
    scene.restart()
    denied = app.lambda_handler(load_event("authorize.ticket"), None)
    assert (effect(denied), denied["context"]) == ("Deny", {})


def test_the_context_is_what_the_websocket_reads(scene: Scene) -> None:
    scene.access.put_ticket(Ticket(TICKET, ACCOUNT, now() + timedelta(seconds=60)))
    context = app.lambda_handler(load_event("authorize.ticket"), None)["context"]
    assert load_event("websocket.connect")["requestContext"]["authorizer"]["accountId"] == context["accountId"]


def test_an_expired_ticket_lets_nobody_in(scene: Scene) -> None:
    scene.access.put_ticket(Ticket(TICKET, ACCOUNT, now() - timedelta(seconds=1)))
    assert effect(app.lambda_handler(load_event("authorize.ticket"), None)) == "Deny"


def test_an_unknown_ticket_lets_nobody_in(scene: Scene) -> None:
    scene.access.put_ticket(Ticket(TICKET, ACCOUNT, now() + timedelta(seconds=60)))
    for _ in range(2):
        assert effect(app.lambda_handler(load_event("authorize.unknown_ticket"), None)) == "Deny"
    assert effect(app.lambda_handler(load_event("authorize.ticket"), None)) == "Allow"


def test_no_ticket_lets_nobody_in(scene: Scene) -> None:
    for query in (None, {}, {"ticket": ""}):
        event = {**load_event("authorize.ticket"), "queryStringParameters": query}
        assert effect(app.lambda_handler(event, None)) == "Deny"
