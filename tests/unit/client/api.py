"""The whole API over the fakes, behind the client: its routes as an httpx transport, its messages on a WebSocket."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from spellcast.domain.casts import Cast
from spellcast.domain.messages import cast_update, connection_ack, generation_messages
from tests.fakes.world import World
from tests.unit.api.caller import Caller, request

DROP = None


def transport(call: Caller) -> httpx.MockTransport:
    """Requests of httpx as API Gateway hands them on."""

    def handle(asked: httpx.Request) -> httpx.Response:
        event = request(asked.method, asked.url.path, query=dict(asked.url.params), headers=dict(asked.headers))
        event["body"] = asked.content.decode() or None
        reply = call.send(event)
        return httpx.Response(reply.status, headers=reply.headers, text=reply.text)

    return httpx.MockTransport(handle)


@dataclass
class Live:
    """A WebSocket that says what a test wants. `greetings` are the connections that were made."""

    url: str = ""
    greetings: int = 0
    refuses: bool = False
    _said: queue.Queue[dict[str, Any] | None] = field(default_factory=queue.Queue)

    def tell(self, *messages: dict[str, Any] | None) -> None:
        """To the connection that is open, or the next one; DROP closes it."""
        for message in messages:
            self._said.put(message)

    def tell_of(self, world: World, cast: Cast, *positions: int) -> None:
        """The cast as it stands, or of its steps those in these positions."""
        now = world.clock.now()
        if not positions:
            self.tell(cast_update(world.cast_of(cast), now))
        for position in positions:
            self.tell(*generation_messages(world.generation(cast, position), now))

    def answer(self, connection: ServerConnection) -> None:
        """Greets, and says what there is to say."""
        self.greetings += 1
        world = World()
        connection.send(json.dumps(connection_ack(world.clock.now())))
        try:
            while (message := self._next(connection)) is not DROP:
                connection.send(json.dumps(message))
        except ConnectionClosed:
            pass

    def _next(self, connection: ServerConnection) -> dict[str, Any] | None:
        while True:
            try:
                return self._said.get(timeout=0.02)
            except queue.Empty:
                connection.ping()  # raises once the listener has gone


@contextmanager
def live() -> Iterator[Live]:
    """The WebSocket, for as long as a test needs it."""
    told = Live()

    def refuse(connection: ServerConnection, asked: Any) -> Any:
        return connection.respond(HTTPStatus.FORBIDDEN, "") if told.refuses else None

    with serve(told.answer, "127.0.0.1", 0, process_request=refuse) as server:
        told.url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/live"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield told
        told.tell(DROP)
        server.shutdown()
        thread.join()
