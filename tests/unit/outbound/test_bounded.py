"""Answers that are too large or too slow, from a real socket: a mock would not block."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from spellcast.outbound.bounded import AnswerTooLarge, read_bounded

Serve = Callable[[Callable[[socket.socket], None]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that hands its one connection to the given function."""
    with contextlib.ExitStack() as stack:

        def start(answer: Callable[[socket.socket], None]) -> str:
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def run() -> None:
                with contextlib.suppress(OSError):
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(65536)
                        answer(connection)

            thread = threading.Thread(target=run)
            thread.start()
            stack.callback(thread.join)
            return f"http://127.0.0.1:{server.getsockname()[1]}/"

        yield start


def exchange(url: str, max_bytes: int = 1000, seconds: float = 5) -> bytes:
    with httpx.Client(trust_env=False, timeout=5) as client:
        return read_bounded(client, client.build_request("GET", url), max_bytes=max_bytes, seconds=seconds)[1]


def drip(head: bytes, part: bytes) -> Callable[[socket.socket], None]:
    def send(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(100):
            connection.sendall(part)
            time.sleep(0.05)

    return send


def test_an_answer_within_the_bounds(serve: Serve) -> None:
    url = serve(lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"))
    assert exchange(url) == b"fine"


def test_an_answer_that_is_too_large(serve: Serve) -> None:
    url = serve(lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1001))
    with pytest.raises(AnswerTooLarge):
        exchange(url)


@pytest.mark.parametrize(
    ("head", "part"),
    [(b"HTTP/1.1 200 OK\r\n\r\n", b"x"), (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"), (b"", b"H")],
    ids=["body", "headers", "status line"],
)
def test_an_answer_that_never_ends_is_cut_off(serve: Serve, head: bytes, part: bytes) -> None:
    start = time.monotonic()
    with pytest.raises(httpx.HTTPError):
        exchange(serve(drip(head, part)), seconds=0.3)
    assert time.monotonic() - start < 10


def test_a_silent_server_is_cut_off(serve: Serve) -> None:
    start = time.monotonic()
    with pytest.raises(httpx.ReadTimeout):
        exchange(serve(lambda connection: time.sleep(0.6)), seconds=0.3)
    assert time.monotonic() - start < 10


def test_a_compressed_answer_is_refused(serve: Serve) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nxxxx"
    with pytest.raises(httpx.DecodingError):
        exchange(serve(lambda connection: connection.sendall(answer)))


def test_no_timer_is_left(serve: Serve) -> None:
    before = threading.active_count()
    exchange(serve(lambda connection: connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")), seconds=60)
    time.sleep(0.05)
    assert threading.active_count() <= before + 1


def test_a_redirect_to_a_name_that_cannot_be_read_is_no_news_of_the_request(serve: Serve) -> None:
    url = serve(lambda connection: connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: https://xn--/\r\n\r\n"))
    with pytest.raises(httpx.RemoteProtocolError):
        exchange(url)
