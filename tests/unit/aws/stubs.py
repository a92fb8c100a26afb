"""Clients whose every answer the test chooses; none of them is asked over a network."""

from __future__ import annotations

from typing import Any

from botocore.stub import Stubber

from tests.contract.deployment import session


def stubbed(service: str, **options: Any) -> Stubber:
    """A client's stubber, which fails at a call that nobody expects."""
    stubber = Stubber(session().client(service, **options))  # type: ignore[call-overload]
    stubber.activate()
    return stubber


def client_of(stubber: Stubber) -> Any:
    """The client, of whatever service it is."""
    return stubber.client
