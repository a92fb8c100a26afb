"""The caster's own address is told how the cast ended, signed both ways."""

from __future__ import annotations

import hashlib
import hmac
import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from spellcast.domain import standard_webhooks
from spellcast.domain.documents import to_text
from tests.cloud import PATIENCE, Cloud, called, words

SECRET = "s3cr3t"


@dataclass
class Receiver:
    """A caster's server; `refusals` of its first answers are 500."""

    refusals: int = 0
    url: str = ""
    calls: queue.Queue[tuple[dict[str, str], bytes]] = field(default_factory=queue.Queue)

    def next(self) -> tuple[dict[str, str], bytes]:
        return self.calls.get(timeout=PATIENCE)


@contextmanager
def receiving(refusals: int = 0) -> Iterator[Receiver]:
    receiver = Receiver(refusals)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.calls.put(({name.lower(): value for name, value in self.headers.items()}, body))
            receiver.refusals -= 1
            self.send_response(500 if receiver.refusals >= 0 else 204)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield receiver
        server.shutdown()


def test_a_completed_cast(cloud: Cloud) -> None:
    with receiving() as receiver:
        cast = cloud.cast(cloud.spell(words()), webhookUrl=receiver.url, webhookSecret=SECRET)
        headers, body = receiver.next()
    told = json.loads(body)
    assert list(told) == [
        "event",
        "castId",
        "spellId",
        "spellSlug",
        "status",
        "generationIds",
        "costUsd",
        "startedAt",
        "completedAt",
        "finalOutputs",
        "signature",
    ]
    assert (told["event"], told["castId"], told["finalOutputs"]) == (
        "spell.completed",
        cast["castId"],
        {"text": "a cat!"},
    )
    signature = told.pop("signature")
    assert signature == hmac.new(SECRET.encode(), to_text(told).encode(), hashlib.sha256).hexdigest()
    assert headers["x-webhook-signature"] == f"sha256={signature}"
    standard_webhooks.verify(SECRET, headers, body, datetime.now(UTC))


def test_a_failed_cast(cloud: Cloud) -> None:
    with receiving() as receiver:
        cast = cloud.cast(cloud.spell(called("[fault:refuse]")), webhookUrl=receiver.url)
        headers, body = receiver.next()
    told = json.loads(body)
    assert (told["event"], told["castId"], told["status"]) == ("spell.failed", cast["castId"], "failed")
    assert told["error"]["code"] == "PROVIDER_REFUSED" and told["error"]["message"]
    assert "signature" not in told and "x-webhook-signature" not in headers


@pytest.mark.parametrize("url", ["https://10.0.0.1/hook", "https://metadata.google.internal/", "ftp://example.org/"])
def test_an_address_that_must_not_be_called_is_refused_at_once(cloud: Cloud, url: str) -> None:
    spell = cloud.spell(words())
    answer = cloud.api.post("/v1/casts", json={"spell": spell["spellId"], "webhookUrl": url})
    assert answer.status_code == 400
    assert [fault["path"] for fault in answer.json()["error"]["details"]] == ["webhookUrl"]
