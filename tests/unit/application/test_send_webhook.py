from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from spellcast.application import send_webhook
from spellcast.application.send_webhook import SendWebhook, signed_request
from spellcast.domain import documents, standard_webhooks
from spellcast.domain.casts import Cast, CastFailure
from spellcast.domain.errors import CastNotFound, InvalidSignature, ProviderUnavailable
from tests.fakes.clock import START, FakeClock
from tests.fakes.records import a_cast, in_seconds
from tests.fakes.store import FakeStore

SECRET = "s3cr3t"


class FakeReceiver:
    """Implements `ports.receiver.Receiver`."""

    def __init__(self, error: Exception | None = None) -> None:
        self.posts: list[tuple[str, bytes, Mapping[str, str]]] = []
        self._error = error

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        self.posts.append((url, body, headers))
        if self._error:
            raise self._error


def completed(**changes: Any) -> Cast:
    values: dict[str, Any] = {
        "status": "completed",
        "revision": 2,
        "cost_usd": Decimal("0.00444"),
        "outputs": {"text": "cap"},
        "step_generation_ids": ("c1.0.1",),
        "completed_at": in_seconds(7),
        **changes,
    }
    return a_cast(**values)


FAILED = a_cast(
    status="failed",
    revision=2,
    failure=CastFailure("JOB_FAILED", "No cats.", 1, "n1", "c1.1.1"),
    failed_at=in_seconds(7),
)


def sent(cast: Cast, now: datetime = START) -> tuple[dict[str, Any], dict[str, str], bytes]:
    body, headers = signed_request(cast, now)
    return documents.from_text(body), headers, body


def test_a_completed_cast_is_told_in_the_originals_words() -> None:
    body, headers, _ = sent(completed())
    signature = body.pop("signature")
    assert body == {
        "event": "spell.completed",
        "castId": "c1",
        "spellId": "s1",
        "spellSlug": "a-spell",
        "status": "completed",
        "generationIds": ["c1.0.1"],
        "costUsd": "0.00444",
        "startedAt": "2026-01-31T12:00:00.000Z",
        "completedAt": "2026-01-31T12:00:07.000Z",
        "finalOutputs": {"text": "cap"},
    }
    assert headers["x-webhook-signature"] == f"sha256={signature}"
    assert headers["content-type"] == "application/json"


def test_its_keys_stand_in_the_originals_order() -> None:
    body, _, _ = sent(completed())
    assert list(body) == [
        *("event", "castId", "spellId", "spellSlug", "status", "generationIds", "costUsd", "startedAt"),
        *("completedAt", "finalOutputs", "signature"),
    ]


def test_row_13_a_failed_cast_is_told_with_step_code_and_message() -> None:
    body, _, _ = sent(FAILED)
    assert (body["event"], body["status"]) == ("spell.failed", "failed")
    assert body["error"] == {"code": "JOB_FAILED", "message": "No cats."}
    assert body["failure"] == {"stepIndex": 1, "stepId": "n1"}
    assert body["failedAt"] == "2026-01-31T12:00:07.000Z"
    assert not {"completedAt", "finalOutputs"} & body.keys()


def test_the_originals_signature_meets_the_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    # original-system.md S12, over exactly these bytes.
    vector = {"event": "spell.completed", "castId": "c1", "status": "completed", "costUsd": 0.00444}
    monkeypatch.setattr(send_webhook, "_body", lambda cast: dict(vector))
    body, headers, _ = sent(completed())
    expected = "c040a83829511869e76addd2d9386f2d4f376806f73cc808e2ef14dbc3bb9627"
    assert body == {**vector, "signature": expected}
    assert headers["x-webhook-signature"] == f"sha256={expected}"


@pytest.mark.parametrize("cast", [completed(outputs={"text": "é \u2028 </script>"}), FAILED])
def test_the_originals_signature_is_over_the_body_without_it(cast: Cast) -> None:
    body, _, raw = sent(cast)
    signature = body.pop("signature")
    # What a receiver does: take the signature out, and write the rest as it was written.
    unsigned = raw.replace(f',"signature":"{signature}"'.encode(), b"")
    assert documents.from_text(unsigned) == body
    assert hmac.new(SECRET.encode(), unsigned, hashlib.sha256).hexdigest() == signature


@pytest.mark.parametrize("cast", [completed(), FAILED])
def test_the_standard_headers_verify_over_the_whole_body(cast: Cast) -> None:
    _, headers, raw = sent(cast)
    standard_webhooks.verify(SECRET, headers, raw, START)
    with pytest.raises(InvalidSignature):
        standard_webhooks.verify(SECRET, headers, raw + b" ", START)
    with pytest.raises(InvalidSignature):
        standard_webhooks.verify("another", headers, raw, START)


def test_sent_again_it_is_the_same_message_at_another_time() -> None:
    _, first, body = sent(completed())
    _, second, again = sent(completed(), START + timedelta(hours=1))
    assert (first["webhook-id"], body) == (second["webhook-id"], again)
    assert first["webhook-timestamp"] != second["webhook-timestamp"]
    standard_webhooks.verify(SECRET, second, again, START + timedelta(hours=1))


def test_another_cast_and_another_revision_are_other_messages() -> None:
    ids = {sent(cast)[1]["webhook-id"] for cast in (completed(), completed(revision=3), completed(cast_id="c2"))}
    assert len(ids) == 3


@pytest.mark.parametrize("secret", [None, ""])
def test_without_a_secret_nothing_is_signed(secret: str | None) -> None:
    body, headers, _ = sent(completed(webhook_secret=secret))
    assert "signature" not in body
    assert not [name for name in headers if "signature" in name or name.startswith("webhook-")]


def test_the_secret_is_not_sent() -> None:
    _, headers, raw = sent(completed())
    assert SECRET not in raw.decode() + repr(headers)


def test_any_secret_that_was_taken_signs() -> None:
    sent(completed(webhook_secret="whsec_not base64!"))


# --- one attempt ---


def use_case(cast: Cast | None, receiver: FakeReceiver) -> SendWebhook:
    store = FakeStore()
    if cast is not None:
        store.create_cast(cast)
    return SendWebhook(store, receiver, FakeClock())


@pytest.mark.parametrize("cast", [completed(), FAILED])
def test_the_casters_address_is_called_once(cast: Cast) -> None:
    receiver = FakeReceiver()
    use_case(cast, receiver)("c1")
    ((url, body, headers),) = receiver.posts
    assert url == "https://me.example/hook"
    assert (body, dict(headers)) == signed_request(cast, START)


@pytest.mark.parametrize("cast", [a_cast(), completed(webhook_url=None)], ids=["running", "nobody to call"])
def test_nobody_else_is_called(cast: Cast) -> None:
    receiver = FakeReceiver()
    use_case(cast, receiver)("c1")
    assert receiver.posts == []


def test_a_cast_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(CastNotFound):
        use_case(None, FakeReceiver())("c1")


def test_a_receiver_that_is_down_is_left_to_whoever_tries_again() -> None:
    receiver = FakeReceiver(ProviderUnavailable("Down."))
    with pytest.raises(ProviderUnavailable):
        use_case(completed(), receiver)("c1")
    assert len(receiver.posts) == 1
