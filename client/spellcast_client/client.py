"""The client, for who waits (`Client`) and for who awaits (`AsyncClient`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from spellcast_client.calls import Call, fits_a_header, unreachable
from spellcast_client.errors import UNAUTHORIZED, UNREACHABLE, SpellcastError
from spellcast_client.live import PATIENCE, SILENCE, Listening, Message
from spellcast_client.models import Cast
from spellcast_client.routes import AsyncRoutes, Routes

A = TypeVar("A")

# Seconds. An answer of the API takes at most 30 (API Gateway).
TIMEOUT = 35.0
CLOSING = 1.0
_LISTED = 100


class Client(Routes):
    """Spellcast's API at `url`, as the account of `api_key`. Close it, or use it in a `with` statement.

    Every method raises SpellcastError. What is safe to repeat is sent up to four times: a GET, and what has an
    Idempotency-Key, which the client draws where none is given.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None,
        *,
        timeout: float = TIMEOUT,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._address = _address(url)
        self.http = httpx.Client(**_settings(url, api_key, timeout), transport=transport)
        self._sleep = sleep

    def watch(
        self, cast_id: str, *, patience: float = PATIENCE, on_connection: Callable[[bool], None] | None = None
    ) -> Iterator[Message]:
        """What happens to a cast, until it has ended; the first and the last message are a `castSnapshot`.

        A connection that drops is made again, for up to `patience` seconds, and what was missed is told then;
        `on_connection` is called with False when it is lost, and with True when it is back.
        """
        return self._listen(
            Listening(cast_id, patience=patience, on_connection=on_connection), lambda: [self.get_cast(cast_id)]
        )

    def listen(
        self, *, patience: float = PATIENCE, on_connection: Callable[[bool], None] | None = None
    ) -> Iterator[Message]:
        """What happens to all of the account's casts, from now on and for ever.

        What casts became while no connection was is told as `castUpdate`, of the latest 100.
        """
        return self._listen(
            Listening(patience=patience, on_connection=on_connection), lambda: self.list_casts(limit=_LISTED).casts
        )

    def close(self) -> None:
        """Gives the connections back."""
        self.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, call: Call[A]) -> A:
        request = call.request()
        for attempt in count(1):
            reply = None
            try:
                reply = self.http.request(**request)
                return call.read(reply)
            except httpx.HTTPError as error:
                failure = unreachable(error, self._address)
            except SpellcastError as error:
                failure = error
            pause = call.pause_before(attempt + 1, failure, reply)
            if pause is None:
                raise failure
            self._sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _listen(self, listening: Listening, look: Callable[[], list[Cast]]) -> Iterator[Message]:
        from websockets.exceptions import WebSocketException
        from websockets.sync.client import connect

        while not listening.is_over:
            try:
                with connect(self.issue_ticket().url, close_timeout=CLOSING) as socket:
                    while not listening.is_over:
                        try:
                            message = Message.parse(socket.recv(SILENCE))
                        except TimeoutError:
                            message = None
                        if message is not None:
                            yield from listening.news([message])
                        if listening.must_look(message):
                            yield from listening.found(look())
            except (WebSocketException, OSError) as error:
                self._sleep(listening.pause(_dropped(error)))
            except SpellcastError as error:
                self._sleep(listening.pause(error))


class AsyncClient(AsyncRoutes):
    """The same as `Client`, for who awaits; close it with `aclose`, or use it in an `async with` statement."""

    def __init__(
        self,
        url: str,
        api_key: str | None,
        *,
        timeout: float = TIMEOUT,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._address = _address(url)
        self.http = httpx.AsyncClient(**_settings(url, api_key, timeout), transport=transport)
        self._sleep = sleep

    def watch(
        self, cast_id: str, *, patience: float = PATIENCE, on_connection: Callable[[bool], None] | None = None
    ) -> AsyncIterator[Message]:
        """As `Client.watch`."""

        async def look() -> list[Cast]:
            return [await self.get_cast(cast_id)]

        return self._listen(Listening(cast_id, patience=patience, on_connection=on_connection), look)

    def listen(
        self, *, patience: float = PATIENCE, on_connection: Callable[[bool], None] | None = None
    ) -> AsyncIterator[Message]:
        """As `Client.listen`."""

        async def look() -> list[Cast]:
            return (await self.list_casts(limit=_LISTED)).casts

        return self._listen(Listening(patience=patience, on_connection=on_connection), look)

    async def aclose(self) -> None:
        """Gives the connections back."""
        await self.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _send(self, call: Call[A]) -> A:
        request = call.request()
        for attempt in count(1):
            reply = None
            try:
                reply = await self.http.request(**request)
                return call.read(reply)
            except httpx.HTTPError as error:
                failure = unreachable(error, self._address)
            except SpellcastError as error:
                failure = error
            pause = call.pause_before(attempt + 1, failure, reply)
            if pause is None:
                raise failure
            await self._sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    async def _listen(self, listening: Listening, look: Callable[[], Awaitable[list[Cast]]]) -> AsyncIterator[Message]:
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        while not listening.is_over:
            try:
                async with connect((await self.issue_ticket()).url, close_timeout=CLOSING) as socket:
                    while not listening.is_over:
                        try:
                            message = Message.parse(await asyncio.wait_for(socket.recv(), SILENCE))
                        except TimeoutError:
                            message = None
                        for told in listening.news([message] if message else []):
                            yield told
                        if listening.must_look(message):
                            for told in listening.found(await look()):
                                yield told
            except (WebSocketException, OSError) as error:
                await self._sleep(listening.pause(_dropped(error)))
            except SpellcastError as error:
                await self._sleep(listening.pause(error))


def _settings(url: str, api_key: str | None, timeout: float) -> dict[str, Any]:
    if api_key and not fits_a_header(api_key):
        raise SpellcastError(UNAUTHORIZED, "The key has characters that no key has.")
    headers = {"X-API-Key": api_key} if api_key else {}
    return {"base_url": url, "headers": headers, "timeout": timeout}


def _address(url: str) -> str:
    """Where it is, without what a user may have put before the host."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise SpellcastError(UNREACHABLE, "The address of the API is none: it begins with https:// or http://.")
    return f"{parsed.scheme}://{parsed.netloc.decode()}"


def _dropped(error: Exception) -> SpellcastError:
    """The address of a WebSocket holds its ticket, and so does the text of some of its errors."""
    return SpellcastError(UNREACHABLE, f"The WebSocket cannot be kept open ({type(error).__name__}).")
