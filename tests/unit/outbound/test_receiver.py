from __future__ import annotations

import socket
from typing import Any

import httpx
import pytest

from spellcast.domain.errors import AddressRefused, ProviderUnavailable
from spellcast.outbound.guard import guarded_client
from spellcast.outbound.receiver import HttpReceiver

URL = "https://hooks.example/spell"


def resolve(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", port))]


class Receiver:
    def __init__(self, answer: httpx.Response | Exception) -> None:
        self.requests: list[httpx.Request] = []
        self._answer = answer

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def post(self, url: str = URL) -> None:
        client = guarded_client(False, resolve, httpx.MockTransport(self.handle))
        HttpReceiver(client).post(
            url, b'{"event":"spell.completed"}', {"X-Signature": "s", "Content-Type": "application/json"}
        )


def test_the_body_is_posted_as_it_was_signed() -> None:
    receiver = Receiver(httpx.Response(204))
    receiver.post()
    (sent,) = receiver.requests
    assert (sent.method, sent.content) == ("POST", b'{"event":"spell.completed"}')
    assert (sent.headers["host"], sent.headers["x-signature"]) == ("hooks.example", "s")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (httpx.Response(500), "Webhook returned 500"),
        (httpx.Response(404), "Webhook returned 404"),
        (httpx.Response(302, headers={"location": "https://hooks.example/b"}), "Webhook returned 302"),
        (httpx.Response(200, content=b"x" * 70_000), "answered too much"),
        (httpx.ConnectError("x"), "did not answer: ConnectError"),
        (httpx.ReadTimeout("x"), "did not answer: ReadTimeout"),
        (httpx.RemoteProtocolError("x"), "did not answer: RemoteProtocolError"),
    ],
)
def test_what_is_tried_again(answer: httpx.Response | Exception, message: str) -> None:
    receiver = Receiver(answer)
    with pytest.raises(ProviderUnavailable, match=message):
        receiver.post()
    assert len(receiver.requests) == 1, "redirects are not followed, and retries are the queue's business"


@pytest.mark.parametrize("url", ["http://hooks.example/", "https://127.0.0.1/", "https://[::1", "https://localhost/"])
def test_where_it_must_not_post(url: str) -> None:
    receiver = Receiver(httpx.Response(200))
    with pytest.raises(AddressRefused):
        receiver.post(url)
    assert receiver.requests == []
