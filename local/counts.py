"""What a run costs: everything that AWS would bill, counted where the embedded cloud does it."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

Tally = defaultdict[str, dict[str, float]]


def _nested() -> Tally:
    return defaultdict(dict)


class Counts:
    """Counters since the last reset; safe to use from every thread of the cloud."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        with self._lock:
            self._tables: dict[str, Tally] = defaultdict(_nested)
            self._totals: dict[str, float] = defaultdict(float)

    def add(self, table: str, row: str, column: str, amount: float = 1) -> None:
        with self._lock:
            cells = self._tables[table][row]
            cells[column] = cells.get(column, 0) + amount

    def highest(self, table: str, row: str, column: str, value: float) -> None:
        with self._lock:
            cells = self._tables[table][row]
            cells[column] = max(cells.get(column, 0), value)

    def total(self, name: str, amount: float = 1) -> None:
        with self._lock:
            self._totals[name] += amount

    def report(self) -> dict[str, Any]:
        with self._lock:
            tables = {name: {row: dict(cells) for row, cells in rows.items()} for name, rows in self._tables.items()}
            totals = dict(self._totals)
        states = tables.get("states", {})
        return {
            "statesEntered": {machine: sum(cells.values()) for machine, cells in states.items()},
            "statesEnteredByState": states,
            "payloadBytes": tables.get("payload", {}),  # "<machine>.<state>": {"input": most, "output": most}
            "invocations": tables.get("invocations", {}),  # function: {caller: count}
            "writesByEntity": tables.get("writesByEntity", {}),  # entity: {"requests", "units"}
            "writesByKey": tables.get("writesByKey", {}),  # pk: {"requests", "units"}
            "readUnits": totals.get("readUnits", 0),
            "readRequests": totals.get("readRequests", 0),
            "putEvents": totals.get("putEvents", 0),
            "webSocketPosts": totals.get("webSocketPosts", 0),
        }


def caller_of(event: Any) -> str:
    """Who invoked a function, told from the shape of its event, as AWS documents it for every source."""
    if not isinstance(event, dict):
        return "machine"
    context = event.get("requestContext")
    if isinstance(context, dict):
        if event.get("type") == "REQUEST":
            return "authorizer"
        return "websocket" if "connectionId" in context else "http"
    records = event.get("Records")
    if isinstance(records, list) and records:
        return {"aws:dynamodb": "stream", "aws:sqs": "queue"}.get(records[0].get("eventSource"), "event")
    return "event" if "detail-type" in event else "machine"


def install(counts: Counts) -> None:
    """Hook the counters into the embedded cloud; the hooks for states are placed by the mends."""
    _count_writes(counts)
    _count_reads(counts)
    _count_invocations(counts)
    _count_messages(counts)


def _count_writes(counts: Counts) -> None:
    from ministack.services import dynamodb

    emit, refused = dynamodb._emit_stream_event, dynamodb._conditional_check_failed
    transact = dynamodb._transact_write_items
    factor = threading.local()  # 2 inside a transaction, which AWS bills twice

    def written(name: str, old: Any, new: Any) -> None:
        capacity: dict[str, Any] = {"table": 0.0, "gsi": {}, "lsi": {}}
        table = dynamodb._tables.get(name) or {}
        dynamodb._accumulate_write_capacity(capacity, table, old, new)
        units = (capacity["table"] + sum(capacity["gsi"].values())) * getattr(factor, "value", 1)
        item = new or old or {}
        for group, attribute in (("writesByEntity", "entity"), ("writesByKey", "pk")):
            row = str((item.get(attribute) or {}).get("S", "-"))
            counts.add(group, row, "requests")
            counts.add(group, row, "units", units)

    def count_write(name: str, event_name: str, old: Any, new: Any, *rest: Any, **named: Any) -> Any:
        written(name, old, new)
        return emit(name, event_name, old, new, *rest, **named)

    def count_refused(data: Any, old_item: Any, *rest: Any) -> Any:
        # A refused condition is billed by the row that it found.
        written(data.get("TableName", ""), old_item, None if old_item else data.get("Key") or data.get("Item"))
        return refused(data, old_item, *rest)

    def count_transaction(data: Any) -> Any:
        factor.value = 2
        try:
            return transact(data)
        finally:
            factor.value = 1

    dynamodb._emit_stream_event = count_write
    dynamodb._conditional_check_failed = count_refused
    dynamodb._transact_write_items = count_transaction


def _count_reads(counts: Counts) -> None:
    from ministack.services import dynamodb

    consumed = dynamodb._add_consumed_capacity

    def count_read(result: Any, data: Any, name: str, write: bool = False, **named: Any) -> Any:
        if not write:
            found = result["Items"] if "Items" in result else [result["Item"]] if "Item" in result else []
            size = sum(dynamodb._item_size_bytes(item) for item in found)
            steps = max(1, -(-size // 4096))  # 4 KB a unit, half when eventually consistent
            counts.total("readUnits", steps if data.get("ConsistentRead") else steps / 2)
            counts.total("readRequests")
        return consumed(result, data, name, write=write, **named)

    dynamodb._add_consumed_capacity = count_read


def _count_invocations(counts: Counts) -> None:
    from ministack.services import lambda_svc

    execute = lambda_svc._execute_function_warm

    def count_invocation(func: Any, event: Any, request_id: Any) -> Any:
        config = func.get("config") or func
        counts.add("invocations", config.get("FunctionName", "-"), caller_of(event))
        return execute(func, event, request_id)

    lambda_svc._execute_function_warm = count_invocation


def _count_messages(counts: Counts) -> None:
    from ministack.services import apigateway, eventbridge

    put_events, connections = eventbridge._put_events, apigateway.handle_connections_api

    def count_events(data: Any, allow_aws_source: bool = False) -> Any:
        if not allow_aws_source:  # what AWS itself emits is not billed
            counts.total("putEvents", len(data.get("Entries", [])))
        return put_events(data, allow_aws_source)

    async def count_post(method: str, *rest: Any) -> Any:
        if method == "POST":
            counts.total("webSocketPosts")
        return await connections(method, *rest)

    eventbridge._put_events = count_events
    apigateway.handle_connections_api = count_post


def state_hooks(counts: Counts) -> tuple[Callable[[Any], None], Callable[[Any, str, Any], int]]:
    """The two calls that the mended interpreter makes: a state was entered; a payload went in or out."""

    def entered(context: Any) -> None:
        counts.add("states", context["StateMachine"]["Name"], context["State"]["Name"])

    def payload(context: Any, direction: str, value: Any) -> int:
        size = len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())
        where = f"{context['StateMachine']['Name']}.{context['State']['Name']}"
        counts.highest("payload", where, direction, size)
        return size

    return entered, payload
