"""Who sees what a cloud does: the stream what was written, the bus what was announced, sockets what was heard."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from socket import SHUT_RDWR
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.cloud import TERMINAL, Cloud, Document

# Of a row, what its invariants are about.
FACTS = ("revision", "status", "accountId", "costUsd", "receivedAt", "resultStatus", "runId", "failure", "deadlineAt")


class Follower:
    """Something that is asked again and again until it is stopped; a failure of it is raised then."""

    def __init__(self, ask: Callable[[], None], pause: float) -> None:
        self._ask, self._pause = ask, pause
        self._ending = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        while not self._ending.wait(self._pause):
            try:
                self._ask()
            except Exception as error:
                self._error = error
                return

    def stop(self) -> None:
        self._ending.set()
        self._thread.join()
        if self._error is not None:
            raise self._error


class Written:
    """Every revision of every cast and generation, from the table's own stream."""

    def __init__(self, cloud: Cloud, ended: Callable[[str], None]) -> None:
        self._streams = cloud.aws("dynamodbstreams")
        self._ended = ended
        self.revisions: dict[str, list[Document]] = defaultdict(list)
        self.done: set[str] = set()
        stream = self._streams.list_streams(TableName=cloud.outputs["tableName"])["Streams"][0]["StreamArn"]
        shard = self._streams.describe_stream(StreamArn=stream)["StreamDescription"]["Shards"][-1]["ShardId"]
        self._place = self._streams.get_shard_iterator(StreamArn=stream, ShardId=shard, ShardIteratorType="LATEST")[
            "ShardIterator"
        ]
        self._follower = Follower(self.read, 0.5)

    def read(self) -> None:
        while True:
            answer = self._streams.get_records(ShardIterator=self._place, Limit=1000)
            self._place = answer["NextShardIterator"]
            for record in answer["Records"]:
                self._note(record["dynamodb"].get("NewImage") or {})
            if not answer["Records"]:
                return

    def _note(self, image: Any) -> None:
        entity = image.get("entity", {}).get("S")
        if entity not in ("CAST", "GENERATION"):
            return
        facts = {name: next(iter(image[name].values())) for name in FACTS if name in image}
        facts["revision"] = int(facts["revision"])
        cast_id = image["castId"]["S"]
        name = cast_id
        if entity == "GENERATION":
            name = f"{cast_id}.{image['stepIndex']['N']}.{image['attempt']['N']}"
        self.revisions[name].append(facts)
        if entity == "CAST" and facts["status"] in TERMINAL and cast_id not in self.done:
            self.done.add(cast_id)
            self._ended(cast_id)

    def stop(self) -> None:
        self._follower.stop()


class Announced:
    """Every revision that the bus was told, from a queue behind a rule of this test's own."""

    def __init__(self, cloud: Cloud) -> None:
        self._queues, self._events, self._bus = cloud.aws("sqs"), cloud.aws("events"), cloud.outputs["eventBusName"]
        self._queue = self._queues.create_queue(QueueName="witness")["QueueUrl"]
        found = self._queues.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])
        pattern = json.dumps({"source": ["spellcast"]})
        self._events.put_rule(Name="witness", EventBusName=self._bus, EventPattern=pattern)
        target = {"Id": "witness", "Arn": found["Attributes"]["QueueArn"]}
        self._events.put_targets(Rule="witness", EventBusName=self._bus, Targets=[target])
        self.revisions: dict[str, dict[int, Document]] = defaultdict(dict)
        self._follower = Follower(self.read, 0.5)

    def read(self) -> None:
        while messages := self._queues.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                detail = json.loads(message["Body"])["detail"]
                name = detail.get("generationId") or detail["castId"]
                told = {key: detail.get(key) for key in ("status", "costUsd")}
                self.revisions[name][detail["revision"]] = told
            entries = [{"Id": str(at), "ReceiptHandle": each["ReceiptHandle"]} for at, each in enumerate(messages)]
            self._queues.delete_message_batch(QueueUrl=self._queue, Entries=entries)

    def stop(self) -> None:
        self._follower.stop()
        self._events.remove_targets(Rule="witness", EventBusName=self._bus, Ids=["witness"])
        self._events.delete_rule(Name="witness", EventBusName=self._bus)
        self._queues.delete_queue(QueueUrl=self._queue)


@dataclass
class Watcher:
    """A client that reconnects whenever its socket ends, and then asks for what it may have missed (contract §5).

    `known` is what it shows its user: of each cast and generation the newest revision that it was told. It waits for
    `pause` seconds before it connects again.
    """

    url: str
    key: str
    pause: float = 0.0
    known: dict[str, Document] = field(default_factory=dict)
    connections: int = 0
    disorder: list[str] = field(default_factory=list)
    repeats: int = 0
    heard: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)
    _wanted: set[str] = field(default_factory=set)
    _socket: ClientConnection | None = None
    _ending: bool = False
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        with self.changed:
            assert self.changed.wait_for(lambda: self._socket is not None, 60), "no socket was acknowledged"

    def stop(self) -> None:
        self._ending = True
        self.drop()
        if self._thread is not None:
            self._thread.join(60)

    def watch(self, cast_id: str) -> None:
        """It is asked for now, and after every reconnection until nothing of it can have been missed.

        That is when its end came in a snapshot, or after one over the same socket.
        """
        with self.changed:
            self._wanted.add(cast_id)
            socket = self._socket
        if socket is not None:
            try:
                self._subscribe(socket, cast_id)
            except ConnectionClosed:
                pass  # The next one asks.

    def drop(self, abruptly: bool = False) -> None:
        """The socket ends: with a goodbye, or as where a cable is pulled."""
        socket = self._socket
        if socket is None:
            return
        if abruptly:
            socket.socket.shutdown(SHUT_RDWR)
        else:
            socket.close()

    def until_connected(self, before: int, patience: float) -> None:
        """More often than so many times."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.connections > before, patience), "it did not connect again"

    def until_known(self, cast_id: str, patience: float) -> Document:
        """The cast's end, as this client has learned of it."""
        with self.changed:
            ended = self.changed.wait_for(lambda: cast_id not in self._wanted, timeout=patience)
            assert ended, f"the end of {cast_id} was never heard of"
            return self.known[cast_id]

    def _watch(self) -> None:
        with httpx.Client(headers={"X-API-Key": self.key}, timeout=60) as api:
            while not self._ending:
                try:
                    ticket = api.post(f"{self.url}/v1/realtime/ticket").raise_for_status().json()
                    with connect(ticket["url"], open_timeout=60, close_timeout=1) as socket:
                        self._listen(socket)
                except (ConnectionClosed, InvalidStatus, OSError, httpx.HTTPError, TimeoutError, EOFError):
                    pass
                finally:
                    self._socket = None
                time.sleep(self.pause)

    def _listen(self, socket: ClientConnection) -> None:
        newest: dict[str, int] = {}
        shown: set[str] = set()
        for text in socket:
            message = json.loads(text)
            if message["type"] == "connection_ack":
                self.connections += 1
                with self.changed:
                    self._socket = socket
                    asked = list(self._wanted)
                    self.changed.notify_all()
                for cast_id in asked:
                    self._subscribe(socket, cast_id)
            elif message["type"] in ("castUpdate", "generationUpdate"):
                payload = message["payload"]
                name = payload.get("generationId") or payload["castId"]
                revision = payload["revision"]
                self.heard += 1
                self.repeats += newest.get(name) == revision
                if revision < newest.get(name, 0):
                    self.disorder.append(f"{name}: {revision} after {newest[name]}")
                newest[name] = max(revision, newest.get(name, 0))
                self._learn(name, payload)
                self._settle(payload, message["type"] == "castUpdate" and name in shown)
            elif message["type"] == "castSnapshot":
                payload = message["payload"]
                for generation in payload.get("generations", ()):
                    self._learn(generation["generationId"], generation)
                self._learn(payload["castId"], payload)
                shown.add(payload["castId"])
                self._settle(self.known[payload["castId"]], True)

    def _subscribe(self, socket: ClientConnection, cast_id: str) -> None:
        socket.send(json.dumps({"action": "subscribe", "castId": cast_id}))

    def _learn(self, name: str, told: Document) -> None:
        with self.changed:
            if told["revision"] > self.known.get(name, {}).get("revision", 0):
                self.known[name] = told
                self.changed.notify_all()

    def _settle(self, cast: Document, is_whole: bool) -> None:
        if is_whole and cast["status"] in TERMINAL:
            with self.changed:
                self._wanted.discard(cast["castId"])
                self.changed.notify_all()
