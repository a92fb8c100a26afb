from __future__ import annotations

import socket
from typing import Any

import httpx
import pytest

from spellcast.domain.errors import AddressRefused, WebhookNotDelivered
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
    ("answer", "message", "status"),
    [
        (httpx.Response(500), "Webhook returned 500", 500),
        (httpx.Response(500, content=b"err"), "Webhook returned 500: err", 500),
        (httpx.Response(404, content=b"\n <h1>Not\r\n\there</h1> \n"), "Webhook returned 404: <h1>Not here</h1>", 404),
        (httpx.Response(503, content="na\u00efve".encode() + b"\xff"), "Webhook returned 503: na\u00efve\ufffd", 503),
        (httpx.Response(500, content=b"a b" * 1000), f"Webhook returned 500: {('a b' * 67)[:200]}", 500),
        (httpx.Response(302, headers={"location": "https://hooks.example/b"}), "Webhook returned 302", 302),
        (httpx.Response(500, content=b"x" * 70_000), f"Webhook returned 500: {'x' * 200}", 500),
        (httpx.ConnectError("x"), "The webhook's receiver did not answer: ConnectError.", None),
        (httpx.ReadTimeout("x"), "The webhook's receiver did not answer: ReadTimeout.", None),
        (httpx.RemoteProtocolError("x"), "The webhook's receiver did not answer: RemoteProtocolError.", None),
    ],
)
def test_what_is_tried_again(answer: httpx.Response | Exception, message: str, status: int | None) -> None:
    receiver = Receiver(answer)
    with pytest.raises(WebhookNotDelivered) as refused:
        receiver.post()
    assert (refused.value.message, refused.value.status) == (message, status)
    assert len(receiver.requests) == 1, "redirects are not followed, and retries are the queue's business"


def test_a_long_answer_is_an_answer() -> None:
    receiver = Receiver(httpx.Response(200, content=b"x" * 70_000))
    receiver.post()
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("url", ["http://hooks.example/", "https://127.0.0.1/", "https://[::1", "https://localhost/"])
def test_where_it_must_not_post(url: str) -> None:
    receiver = Receiver(httpx.Response(200))
    with pytest.raises(AddressRefused):
        receiver.post(url)
    assert receiver.requests == []
