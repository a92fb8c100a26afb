"""AWS around the real functions, in this process: every call out of a function passes one numbered choke point.

The table and the bucket are moto's. Step Functions runs the project's definitions, the table's stream feeds `notify`,
the bus goes by the template's rules, the queue receives again, and the sweep comes every minute. Each repeats what died
as its service does. Time passes only where nothing is left to do at the moment.
"""

from __future__ import annotations

import base64
import heapq
import importlib
import itertools
import json
import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import boto3
import httpx
import pytest
from botocore.client import BaseClient
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends

from spellcast import bootstrap
from spellcast.adapters import exchange
from spellcast.aws.access_store import DynamoAccessStore
from spellcast.aws.budget_store import DynamoBudgetStore
from spellcast.aws.cast_store import DynamoCastStore
from spellcast.aws.documents import DocumentStore
from spellcast.aws.lease_store import DynamoLeaseStore
from spellcast.aws.ledger_store import DynamoLedgerStore
from spellcast.aws.spell_store import DynamoSpellStore
from spellcast.aws.table import Table
from spellcast.domain.identifiers import fingerprint
from spellcast.domain.spells import Spell, SpellVersion
from spellcast.observability import logger
from spellcast.ports.store import ApiKey, Connection
from tests.chaos.asl import TaskFailed
from tests.chaos.executions import Executions
from tests.chaos.providers import ADDRESSES, SERVICES, WEBHOOK_SECRET, Providers
from tests.chaos.tables import Tables
from tests.contract.deployment import BUCKET, REGION, TABLE, deployed, properties, session
from tests.fakes.clock import FakeClock
from tests.fakes.crash import Crash
from tests.fakes.crashes import Chokepoint
from tests.functions.scene import matches

ACCOUNT, API_KEY, CONNECTION = "alice", "sk-of-the-crashes", "connection-of-the-crashes"
SPELL = "9a1e4d7c2b3f4a5d8e6f7a8b9c0d1e2f"
_MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:"
_ENVIRONMENT = {
    "SPELLCAST_TABLE": TABLE,
    "SPELLCAST_BUCKET": BUCKET,
    "SPELLCAST_BUS": "spellcast-test",
    "SPELLCAST_HTTP_URL": "https://api.example",
    "SPELLCAST_WEBSOCKET_URL": "wss://socket.example/live",
    "SPELLCAST_WEBSOCKET_ENDPOINT": "https://socket.example/live",
    "SPELLCAST_CAST_MACHINE": f"{_MACHINE}cast_spell",
    "SPELLCAST_POLL_MACHINE": f"{_MACHINE}poll_job",
    "SPELLCAST_SECRETS": "spellcast/test/",
    "SPELLCAST_JWT_ISSUER": "",
    "SPELLCAST_JWT_AUDIENCE": "",
    "SPELLCAST_ALLOW_LOOPBACK": "true",
    "SPELLCAST_WEBHOOK_QUEUE": "https://sqs.us-east-1.amazonaws.com/123456789012/spellcast-test-webhooks",
    "SPELLCAST_WEBHOOK_BACKOFF_SECONDS": "5,30",
    "SPELLCAST_DAILY_BUDGET_USD": "10",
    "AWS_DEFAULT_REGION": REGION,
}
_SECRETS = {
    "callback-signing": "a signing key for crashes",
    **{
        service: json.dumps({"url": ADDRESSES[service], "key": f"key-of-{service}", "webhookSecret": WEBHOOK_SECRET})
        for service in SERVICES
    },
}
# So that a place under it has to be given back.
_SECRETS["comfyui"] = json.dumps({**json.loads(_SECRETS["comfyui"]), "limits": {"jobsInFlight": 4}})
_FUNCTIONS = (
    "cast_api",
    "complete_job",
    "execute_step",
    "finalize_cost",
    "notify",
    "poll_job",
    "process_output",
    "send_webhook",
    "sweep",
)
# The targets of the template's rules.
_RULES = {
    "JobCompletedRule": "complete_job",
    "CastStoppedRule": "finalize_cost",
    "CastCancelledRule": "finalize_cost",
    "WebhookRule": None,
}
# Of a function that is invoked asynchronously: the first try, and `MaximumRetryAttempts`.
_TRIES = 3
_STREAM_TRIES = 10
_VISIBILITY = properties("WebhookQueue")["VisibilityTimeout"]
_MOST_RECEIVES = properties("WebhookQueue")["RedrivePolicy"]["maxReceiveCount"]
_STREAM_FILTER = json.loads(properties("NotifyStream")["FilterCriteria"]["Filters"][0]["Pattern"])
_BATCH = properties("NotifyStream")["BatchSize"]
# No cast of these tests has a deadline later than this.
_PATIENCE = timedelta(hours=4)


class Context:
    """Lambda's, as far as it is asked."""

    def get_remaining_time_in_millis(self) -> int:
        return 80_000


@dataclass
class Message:
    """One message of the queue."""

    number: int
    body: str
    received: int = 0
    visibility: float = _VISIBILITY


@dataclass(order=True)
class _Due:
    at: datetime
    number: int
    action: Callable[[], None] = field(compare=False)
    is_needed: Callable[[], bool] = field(compare=False, default=lambda: True)
    is_sweep: bool = field(compare=False, default=False)


class Aws:
    """One deployment with one account, from its first request to the moment when nothing is left to do."""

    _unwatched = staticmethod(vars(BaseClient)["_make_api_call"])

    def __init__(self, dynamodb: Any, storage: Any, restart: Callable[[], None], clock: FakeClock) -> None:
        self.clock = clock
        self.start = clock.now()
        self.chokepoint = Chokepoint()
        self.chokepoint.on_kill = self._die
        self.providers = Providers(clock, self.later, self._call_back)
        self.posts: list[Any] = []
        self.events: list[Any] = []
        self.dead_letters: list[Any] = []
        self.executions = Executions(self.invoke, self._plan, self._route)
        self._restart = restart
        self._is_dead = False
        self._numbers = itertools.count()
        self._agenda: list[_Due] = []
        self._tables = Tables()
        self._current: Message | None = None
        self._position = 0
        self._table = dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION].tables[TABLE]
        self._table.items.clear()
        assert self._table.stream_shard is not None
        self._written: list[Any] = self._table.stream_shard.items
        self._written.clear()
        table = Table(dynamodb, TABLE)
        documents = DocumentStore(lambda: storage, BUCKET)
        self.casts = DynamoCastStore(table, documents)
        self.spells = DynamoSpellStore(table, documents)
        self.days = DynamoBudgetStore(table)
        self.ledger = DynamoLedgerStore(table)
        self.leases = DynamoLeaseStore(table, clock)
        access = DynamoAccessStore(table)
        access.create_api_key(ApiKey(fingerprint(API_KEY), ACCOUNT, clock.now()))
        opened = clock.now() - timedelta(minutes=1)
        access.put_connection(Connection(CONNECTION, ACCOUNT, opened, opened + timedelta(hours=24)))
        self._position = len(self._written)

    # --- what a caster does ---

    def add_spell(self, steps: list[Any]) -> None:
        now = self.clock.now()
        spell = Spell(
            spell_id=SPELL,
            account_id=ACCOUNT,
            slug="fox",
            name="Fox",
            visibility="private",
            version=1,
            created_at=now,
            updated_at=now,
        )
        content = {"steps": steps}
        self.spells.create_spell(
            spell, SpellVersion(spell_id=SPELL, version=1, name="Fox", content=content, created_at=now)
        )

    def request(self, method: str, path: str, body: Any = None, key: str | None = None, tries: int = 5) -> Any:
        """An answered request: a caster who hears nothing asks again, or gives up after some tries."""
        headers = {"x-api-key": API_KEY, "content-type": "application/json"}
        if key is not None:
            headers["idempotency-key"] = key
        for _ in range(tries):
            try:
                answer = self.invoke("cast_api", http_event(method, path, headers, json.dumps(body or {}).encode()))
            except TaskFailed:
                continue
            if answer["statusCode"] < 500:
                return answer
        return None

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Until nothing is left to do and a sweep has looked at all that is there; or until something is as wanted."""
        end = self.clock.now() + _PATIENCE
        self._plan(60, self._sweep, is_sweep=True)
        while self._agenda and not until():
            due = heapq.heappop(self._agenda)
            if not due.is_needed():
                continue
            assert due.at < end, "this goes on for ever"
            self.clock.moment = max(self.clock.moment, due.at)
            due.action()
            self._stream()

    # --- the choke point ---

    def call(self, client: Any, operation: str, params: Any) -> Any:
        """A function's call of an AWS service."""
        name = f"{client.meta.service_model.service_name}.{operation}"
        return self._through(name, lambda: self._answer(client, operation, params))

    def exchange(self, request: httpx.Request) -> httpx.Response:
        """A function's HTTP request."""
        url = f"http://{request.headers['host']}{request.url.raw_path.decode()}"
        service = next((name for name, address in ADDRESSES.items() if url.startswith(address)), "nobody")
        response: httpx.Response = self._through(
            f"{service}.{request.method}",
            lambda: self.providers.answer(request.method, url, request.headers, request.read()),
        )
        return response

    def _through(self, name: str, call: Callable[[], Any]) -> Any:
        if self._is_dead:
            raise Crash("what `finally` wants to do, the dead do not")
        return self.chokepoint.pass_through(name, call)

    def _die(self) -> None:
        self._is_dead = True

    def invoke(self, function: str, event: Any) -> Any:
        """The handler's answer. Raises TaskFailed; after a death the next invocation is a cold one."""
        handler = importlib.import_module(f"functions.{function}.app").lambda_handler
        try:
            return handler(json.loads(json.dumps(event)), Context())
        except Crash as crash:
            self._is_dead = False
            self._restart()
            raise TaskFailed("Runtime.ExitError") from crash
        except Exception as error:
            raise TaskFailed(type(error).__name__, str(error)) from error

    # --- what is due ---

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        self._plan(seconds, action)

    def _plan(self, seconds: float, action: Callable[[], None], **more: Any) -> None:
        at = self.clock.now() + timedelta(seconds=seconds)
        heapq.heappush(self._agenda, _Due(at, next(self._numbers), action, **more))

    def _sweep(self) -> None:
        is_idle = not any(due.is_needed() for due in self._agenda) and not self._open_rows()
        try:
            self.invoke("sweep", {"detail-type": "Scheduled Event", "detail": {}})
        except TaskFailed:
            is_idle = False  # The next comes in a minute.
        if not is_idle:
            self._plan(60, self._sweep, is_sweep=True)

    def _open_rows(self) -> bool:
        return any("gsi2pk" in row.attrs for rows in self._table.items.values() for row in rows.values())

    # --- the stream ---

    def _stream(self) -> None:
        if self._position < len(self._written):
            records = deque(self._records(self._position))
            self._position = len(self._written)
            self._announce(records)

    def _records(self, start: int) -> Iterator[Any]:
        for item in self._written[start:]:
            record = item.to_json()
            if matches(_STREAM_FILTER, {**record, "eventName": record["eventName"]}):
                change = record["dynamodb"]
                keys = {name: change["NewImage"][name] for name in ("pk", "sk")}
                kept = {"Keys": keys, "NewImage": change["NewImage"], "SequenceNumber": change["SequenceNumber"]}
                yield {"eventName": record["eventName"], "dynamodb": kept}

    def _announce(self, records: deque[Any]) -> None:
        tries = 0
        while records:
            batch = list(itertools.islice(records, _BATCH))
            failed = batch[0]["dynamodb"]["SequenceNumber"]
            try:
                failures = self.invoke("notify", {"Records": batch})["batchItemFailures"]
                failed = failures[0]["itemIdentifier"] if failures else None
            except TaskFailed:
                pass
            while batch and batch[0]["dynamodb"]["SequenceNumber"] != failed:
                batch.pop(0)
                records.popleft()
                tries = 0
            tries += 1
            if records and tries > _STREAM_TRIES:
                self.dead_letters.append(records.popleft())
                tries = 0

    # --- the bus and the queue ---

    def _put_events(self, entries: list[Any]) -> Any:
        for entry in entries:
            event = {
                "source": entry["Source"],
                "detail-type": entry["DetailType"],
                "detail": json.loads(entry["Detail"]),
            }
            self.events.append(event)
            self._route(event)
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "e"} for _ in entries]}

    def _route(self, event: Any) -> None:
        for rule, function in _RULES.items():
            if matches(properties(rule)["EventPattern"], event):
                if function is None:
                    self._send(json.dumps(event))
                else:
                    self.later(0, partial(self._deliver, function, event, 1))

    def _deliver(self, function: str, event: Any, number: int) -> None:
        try:
            self.invoke(function, event)
        except TaskFailed:
            if number == _TRIES:
                self.dead_letters.append(event)
            else:
                self.later(60 * number, partial(self._deliver, function, event, number + 1))

    def _send(self, body: str) -> None:
        self.later(0, partial(self._receive, Message(next(self._numbers), body)))

    def _receive(self, message: Message) -> None:
        message.received += 1
        message.visibility = _VISIBILITY
        self._current = message
        record = {
            "messageId": str(message.number),
            "receiptHandle": f"{message.number}/{message.received}",
            "body": message.body,
            "attributes": {"ApproximateReceiveCount": str(message.received)},
        }
        try:
            is_done = not self.invoke("send_webhook", {"Records": [record]})["batchItemFailures"]
        except TaskFailed:
            is_done = False
        if is_done:
            return
        if message.received == _MOST_RECEIVES:
            self.dead_letters.append(message)
        else:
            self.later(message.visibility, partial(self._receive, message))

    # --- providers' callbacks ---

    def _call_back(self, token: str, headers: dict[str, str], body: bytes, number: int = 1) -> None:
        event = http_event("POST", f"/v1/completions/{token}", headers, body)
        try:
            status = self.invoke("complete_job", {**event, "pathParameters": {"token": token}})["statusCode"]
        except TaskFailed:
            status = 500
        if status >= 500 and number < 5:
            self.later(number, lambda: self._call_back(token, headers, body, number + 1))

    # --- what the services answer ---

    def _answer(self, client: Any, operation: str, params: Any) -> Any:
        match client.meta.service_model.service_name, operation:
            case "stepfunctions", _:
                return self.executions.answer(client, operation, params)
            case "dynamodb", _:
                return self._tables.answer(client, operation, params)
            case _, "GetSecretValue":
                name = params["SecretId"].removeprefix("spellcast/test/")
                return {"SecretString": _SECRETS[name]}
            case _, "PostToConnection":
                self.posts.append(json.loads(params["Data"]))
                return {}
            case _, "PutEvents":
                return self._put_events(params["Entries"])
            case _, "SendMessage":
                self._send(params["MessageBody"])
                return {}
            case _, "ChangeMessageVisibility" if self._current is not None:
                self._current.visibility = params["VisibilityTimeout"]
                return {}
        return self._unwatched(client, operation, params)

    # --- what is left in the end ---

    def written(self) -> Iterator[Any]:
        """Every revision of casts and generations, as the stream has it."""
        for record in self._records(0):
            image = record["dynamodb"]["NewImage"]
            if image["entity"]["S"] in ("CAST", "GENERATION"):
                yield bootstrap.parts().written(image)

    def announced(self) -> set[tuple[str, int]]:
        """What both the WebSocket and the bus were told, as ids and revisions."""
        told = [message["payload"] for message in self.posts if message["type"] in ("castUpdate", "generationUpdate")]
        return {_numbered(payload) for payload in told} & {_numbered(event["detail"]) for event in self.events}


def _numbered(told: Any) -> tuple[str, int]:
    return str(told.get("generationId") or told["castId"]), int(told["revision"])


def http_event(method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
    """API Gateway's, payload format 2.0."""
    return {
        "version": "2.0",
        "routeKey": f"{method} {path}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.17"},
            "requestId": "r",
            "stage": "$default",
        },
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


@contextmanager
def aws() -> Iterator[Callable[[], Aws]]:
    """Makes one deployment after the other, each empty and cold."""
    current: list[Aws] = []
    clients: dict[str, Any] = {}
    connect = bootstrap.Parts._client

    def client_of(parts: bootstrap.Parts, service: str, **options: Any) -> Any:
        if service not in clients:
            client = connect(parts, service, **options)
            client._make_api_call = lambda operation, params: current[0].call(client, operation, params)
            clients[service] = client
        return clients[service]

    def restart() -> None:
        for member in vars(bootstrap).values():
            if hasattr(member, "cache_clear"):
                member.cache_clear()

    shared, log = session(), logging.getLogger("spellcast")
    logger()
    level = log.level
    with pytest.MonkeyPatch.context() as patch, httpx.Client(trust_env=False) as http, deployed() as (dynamodb, s3):
        for name, value in _ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setattr(boto3.session, "Session", lambda: shared)
        patch.setattr(bootstrap.Parts, "_client", client_of)
        patch.setattr(bootstrap, "SystemClock", lambda: current[0].clock)
        patch.setattr(exchange, "provider_client", lambda: http)
        patch.setattr(httpx.HTTPTransport, "handle_request", lambda _, request: current[0].exchange(request))
        log.setLevel(logging.CRITICAL)

        def begin() -> Aws:
            restart()
            current[:] = [Aws(dynamodb, s3, restart, FakeClock())]
            return current[0]

        try:
            yield begin
        finally:
            log.setLevel(level)
            restart()
