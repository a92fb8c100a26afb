"""One HTTP exchange whose answer is bounded in size and whose whole is bounded in time."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import httpx

# A connection that was never made carried nothing.
NOTHING_WAS_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
    httpx.LocalProtocolError,
)


class AnswerTooLarge(Exception):
    """The answer is over the limit; the rest of it was not read."""

    def __init__(self, answer: httpx.Response, start: bytes) -> None:
        super().__init__(f"The answer is over {len(start)} bytes")
        self.answer = answer
        self.start = start


def read_bounded(
    client: httpx.Client, request: httpx.Request, *, max_bytes: int, seconds: float
) -> tuple[httpx.Response, bytes]:
    """Sends the request, once, and reads the whole answer. Raises httpx's errors, and AnswerTooLarge."""
    with streamed(client, request, seconds=seconds) as (response, chunks):
        body = bytearray()
        for chunk in chunks:
            body += chunk
            if len(body) > max_bytes:
                raise AnswerTooLarge(response, bytes(body[:max_bytes]))
        return response, bytes(body)


@contextlib.contextmanager
def streamed(
    client: httpx.Client, request: httpx.Request, *, seconds: float
) -> Iterator[tuple[httpx.Response, Iterator[bytes]]]:
    """Sends the request, once; the body is read as its chunks are. Raises httpx's errors, there and here.

    httpx bounds each read; `seconds` bounds them together, for a server that sends a byte at a time.
    The answer is asked for, and taken, uncompressed: a small compressed one could unpack to any size.
    """
    request.headers["Accept-Encoding"] = "identity"
    with _Deadline(seconds) as deadline:
        request.extensions = {**request.extensions, "trace": deadline.trace}
        try:
            response = _sent(client, request)
            try:
                if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                    raise httpx.DecodingError("The answer is compressed", request=request)
                yield response, _chunks(response, deadline)
            finally:
                response.close()
        except httpx.TransportError as error:
            if deadline.has_passed:
                raise httpx.ReadTimeout("The answer took too long", request=request) from error
            raise


def _sent(client: httpx.Client, request: httpx.Request) -> httpx.Response:
    try:
        return client.send(request, stream=True)
    except UnicodeError as error:
        # httpx reads the host of a redirect although it does not follow it, and some names cannot be read.
        raise httpx.RemoteProtocolError("The answer names an address that cannot be read", request=request) from error


def _chunks(response: httpx.Response, deadline: _Deadline) -> Iterator[bytes]:
    yield from response.iter_bytes(65536)
    # A body without a length ends where its connection does, at the deadline, too.
    if deadline.has_passed:
        raise httpx.ReadTimeout("The answer took too long", request=response.request)


class _Deadline:
    """Shuts the exchange's connection down when its time is over, wherever the exchange then is."""

    def __init__(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.has_passed = False

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            self._socket = None

    def trace(self, name: str, info: dict[str, Any]) -> None:
        """httpcore's trace hook: it shows the connection once there is one, and again once it speaks TLS."""
        if name in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            with self._lock:
                self._socket = info["return_value"].get_extra_info("socket")
                if self.has_passed:
                    self._shut_down()

    def _expire(self) -> None:
        with self._lock:
            self.has_passed = True
            self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            # Below TLS: closing it politely would wait for the other side.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
