"""API Gateway's WebSocket connections and the EventBridge bus."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from spellcast.domain import documents, messages
from spellcast.domain.documents import Document
from spellcast.observability import logger, measure
from spellcast.ports.announcer import Event
from spellcast.ports.clock import Clock
from spellcast.ports.store import AccessStore

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient
    from mypy_boto3_events import EventBridgeClient

SOURCE = "spellcast"
# Of PutEvents, entries together (EventBridge API reference): fewer bytes than these.
_ENTRIES_PER_CALL = 10
PUT_BYTES = 256 * 1024


# A row is written inside `$connect`, before the connection is open; one that is older than this and gone, is gone.
OPENING = timedelta(seconds=10)
_GREETING_PAUSES = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
# For one message to all connections of an account: others' revisions wait behind it. A post takes some 15 ms.
PATIENCE = timedelta(seconds=3)
_GONE = "GoneException"


class MessageRefused(Exception):
    """The connection did not take the answer that its client asked for."""


class EventsRefused(Exception):
    """The bus took some entries and not others; all of them are put again."""


@dataclass(frozen=True, slots=True)
class AwsAnnouncer:
    """Implements `ports.announcer.Announcer`."""

    connections: Callable[[], ApiGatewayManagementApiClient]
    events: Callable[[], EventBridgeClient]
    bus: str
    access: AccessStore
    clock: Clock

    def push(self, account_id: str, message: Document) -> None:
        """Posts to every open connection of the account until PATIENCE ends, and forgets those that are gone.

        One that does not take the message is closed: its client connects anew, subscribes, and so misses nothing.
        """
        data, gone = documents.to_text(messages.fitted(message)).encode(), 0
        missed: dict[str, str] = {}
        ends = self.clock.now() + PATIENCE
        for connection in self.access.list_connections(account_id):
            if self.clock.now() >= ends:
                missed[connection.connection_id] = "no time was left"
                continue
            failure = self._post(connection.connection_id, data)
            if failure == _GONE:
                if self.clock.now() - connection.connected_at > OPENING:
                    self.access.delete_connection(account_id, connection.connection_id)
                    gone += 1
            elif failure:
                missed[connection.connection_id] = failure
                self._close(connection.connection_id)
        if gone:
            measure({"ConnectionsGone": gone})
        if missed:
            logger().warning("Connections did not take a message", connections=missed)

    def greet(self, connection_id: str, message: Document) -> None:
        """Tries for half a second: until `$connect` has been answered, API Gateway calls the connection gone."""
        data, failure = documents.to_text(message).encode(), None
        ends = self.clock.now() + PATIENCE
        for pause in _GREETING_PAUSES:
            failure = self._post(connection_id, data)
            if failure is None or self.clock.now() >= ends:
                break
            time.sleep(pause)
        if failure not in (None, _GONE):
            logger().warning("Connections did not take a message", connections={connection_id: failure})

    def send(self, connection_id: str, message: Document) -> None:
        """Posts to one connection; one that is gone is not an error. Raises MessageRefused for any other failure."""
        failure = self._post(connection_id, documents.to_text(messages.fitted(message)).encode())
        if failure not in (None, _GONE):
            raise MessageRefused(failure)

    def publish(self, events: Sequence[Event]) -> None:
        """Raises EventsRefused where an entry was not taken."""
        entries = [
            {
                "Source": SOURCE,
                "DetailType": event.detail_type,
                "Detail": documents.to_text(event.detail),
                "EventBusName": self.bus,
            }
            for event in events
        ]
        for part in _parts(entries):
            answer = self.events().put_events(Entries=part)  # type: ignore[arg-type]
            if answer["FailedEntryCount"]:
                raise EventsRefused(f"{answer['FailedEntryCount']} events were not taken by {self.bus}.")

    def _post(self, connection_id: str, data: bytes) -> str | None:
        """None, or why not, as AWS calls it, after a second try at once: its client makes none, and no pauses."""
        failure = None
        for _ in range(2):
            try:
                self.connections().post_to_connection(ConnectionId=connection_id, Data=data)
            except ClientError as error:
                failure = error.response["Error"]["Code"]
                if failure == _GONE:
                    break
            except BotoCoreError as error:
                failure = type(error).__name__
            else:
                return None
        return failure

    def _close(self, connection_id: str) -> None:
        """Its row goes with `$disconnect`. Where this fails too, it is open, and has missed a message."""
        with suppress(ClientError, BotoCoreError):
            self.connections().delete_connection(ConnectionId=connection_id)


def _parts(entries: Sequence[dict[str, str]]) -> Iterator[list[dict[str, str]]]:
    """As many entries a call as the bus takes."""
    part: list[dict[str, str]] = []
    room = PUT_BYTES
    for entry in entries:
        # As EventBridge counts: what names the bus is not in the event.
        needed = sum(len(entry[name].encode()) for name in ("Source", "DetailType", "Detail"))
        if part and (len(part) == _ENTRIES_PER_CALL or needed >= room):
            yield part
            part, room = [], PUT_BYTES
        part.append(entry)
        room -= needed
    if part:
        yield part
