"""Faults that AWS has now and then, in front of MiniStack: for tests, and only where SPELLCAST_FAULTS is set.

`POST /_spellcast/faults {"seed": 1, "rates": {"throttled": 0.05}}` sets them; the answer, and that of a GET, tells how
many calls of each kind there were and how many of them met the fault. What MiniStack does by itself meets none.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

from local.asgi import Application, Receive, Scope, Send

KINDS = {
    "throttled": "a call of DynamoDB is refused, and may be repeated",
    "conflicting": "an update, or a transaction, meets somebody else's transaction on the same row",
    "not taken": "the bus takes none of the entries, in an answer that is a success",
    "answered": "the machine has taken the answer to a task token, and says that it was answered before",
    "unknown token": "the machine knows no such task token, and its task goes on waiting",
    "gone": "a WebSocket is closed, and a post to it refused",
    "too many posts": "a post to a WebSocket is refused, and may be repeated",
}


class Faults:
    """Which of the next calls meets what; one series of draws a kind, so that none depends on the others' calls."""

    def __init__(self) -> None:
        self.set(0, {})

    def set(self, seed: int, rates: dict[str, float]) -> None:
        """Rates are from 0 to 1. Raises ValueError for a kind that there is not."""
        if unknown := set(rates) - set(KINDS):
            raise ValueError(f"There are no faults {sorted(unknown)}.")
        self._rates = rates
        self._draws = {kind: random.Random(f"{seed} {kind}") for kind in KINDS}
        self._asked: Counter[str] = Counter()
        self._met: Counter[str] = Counter()

    def report(self) -> dict[str, dict[str, int]]:
        return {kind: {"calls": self._asked[kind], "met": self._met[kind]} for kind in KINDS}

    def meets(self, kind: str) -> bool:
        self._asked[kind] += 1
        met = self._draws[kind].random() < self._rates.get(kind, 0)
        self._met[kind] += met
        return met

    def before(self, cloud: Application) -> Application:
        """The cloud as its clients see it."""

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                return await cloud(scope, receive, send)
            target = next((value.decode() for name, value in scope["headers"] if name == b"x-amz-target"), "")
            service, _, operation = target.partition(".")
            if service == "DynamoDB_20120810":
                fault = self._of_the_table(operation)
            elif target == "AWSEvents.PutEvents":
                fault = _NOT_TAKEN if self.meets("not taken") else None
            elif target == "AWSStepFunctions.SendTaskSuccess":
                fault = self._of_the_machine()
            elif scope["method"] == "POST" and "/@connections/" in scope["path"]:
                fault = self._of_the_socket()
            else:
                fault = None
            if fault is None:
                return await cloud(scope, receive, send)
            body = await _read(receive)
            if fault is _ANSWERED:
                await cloud(scope, _again(body), _nowhere)
            if fault is _GONE:
                await cloud({**scope, "method": "DELETE"}, _again(b""), _nowhere)
            await _refuse(send, fault, body)

        return application

    def _of_the_table(self, operation: str) -> str | None:
        if self.meets("throttled"):
            return "ProvisionedThroughputExceededException"
        if operation == "UpdateItem" and self.meets("conflicting"):
            return "TransactionConflictException"
        if operation == "TransactWriteItems" and self.meets("conflicting"):
            return _CANCELLED
        return None

    def _of_the_machine(self) -> str | None:
        if self.meets("answered"):
            return _ANSWERED
        return "TaskDoesNotExist" if self.meets("unknown token") else None

    def _of_the_socket(self) -> str | None:
        if self.meets("gone"):
            return _GONE
        return "LimitExceededException" if self.meets("too many posts") else None


_ANSWERED = "TaskTimedOut"
_CANCELLED = "TransactionCanceledException"
_GONE = "GoneException"
_NOT_TAKEN = "InternalFailure"
_STATUS = {_GONE: 410, "LimitExceededException": 429, _NOT_TAKEN: 200}


async def _refuse(send: Send, fault: str, body: bytes) -> None:
    content: dict[str, Any] = {"__type": fault, "message": "A fault that a test asked for."}
    if fault == _CANCELLED:
        content["CancellationReasons"] = [{"Code": "TransactionConflict"} for _ in json.loads(body)["TransactItems"]]
    elif fault == _NOT_TAKEN:
        entries = [{"ErrorCode": fault, "ErrorMessage": content["message"]} for _ in json.loads(body)["Entries"]]
        content = {"FailedEntryCount": len(entries), "Entries": entries}
    headers = [(b"content-type", b"application/x-amz-json-1.0"), (b"x-amzn-errortype", fault.encode())]
    await send({"type": "http.response.start", "status": _STATUS.get(fault, 400), "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(content).encode()})


async def _read(receive: Receive) -> bytes:
    content: bytes = b""
    while True:
        message = await receive()
        content += message.get("body", b"")
        if not message.get("more_body"):
            return content


def _again(body: bytes) -> Receive:
    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _nowhere(message: Any) -> None:
    pass
