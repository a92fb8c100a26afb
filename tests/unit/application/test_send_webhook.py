from __future__ import annotations

import hashlib
import hmac
import traceback
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from spellcast.application import send_webhook
from spellcast.application.media_links import MediaLinks
from spellcast.application.send_webhook import MAX_BODY_BYTES, SendWebhook, signed_request
from spellcast.domain import documents, standard_webhooks
from spellcast.domain.casts import Cast, CastFailure, Delivery
from spellcast.domain.errors import (
    AddressRefused,
    CastNotFound,
    InvalidSignature,
    SpellcastError,
    WebhookNotDelivered,
)
from spellcast.ports.queue import Message
from tests.fakes.clock import START, FakeClock
from tests.fakes.crash import Crash
from tests.fakes.crashes import Chokepoint, When
from tests.fakes.media import FakeMediaStore
from tests.fakes.queue import VISIBILITY, FakeQueue
from tests.fakes.records import a_cast, in_seconds
from tests.fakes.store import FakeStore

SECRET = "s3cr3t"


class FakeReceiver:
    """Implements `ports.receiver.Receiver`. `meanwhile` happens when it is first called."""

    def __init__(self, *refusals: Exception) -> None:
        self.posts: list[tuple[str, bytes, Mapping[str, str]]] = []
        self.refusals = deque(refusals)
        self.meanwhile: Callable[[], object] | None = None

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        self.posts.append((url, body, headers))
        if self.meanwhile:
            self.meanwhile()
            self.meanwhile = None
        if self.refusals:
            raise self.refusals.popleft()


def completed(**changes: Any) -> Cast:
    values: dict[str, Any] = {
        "status": "completed",
        "revision": 2,
        "cost_usd": Decimal("0.00444"),
        "outputs": {"text": "cap"},
        "step_generation_ids": ("c1.0.1",),
        "completed_at": in_seconds(7),
        "updated_at": in_seconds(7),
        **changes,
    }
    return a_cast(**values)


FAILED = a_cast(
    status="failed",
    revision=2,
    failure=CastFailure("JOB_FAILED", "No cats.", 1, "n1", "c1.1.1"),
    failed_at=in_seconds(7),
    updated_at=in_seconds(7),
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


@pytest.mark.parametrize("secret", ["s3cr3t", None])
@pytest.mark.parametrize("character", ["x", "é", '"'])
@pytest.mark.parametrize("over", [0, 1])
def test_a_body_over_1_mb_goes_without_its_outputs_to_the_byte(secret: str | None, character: str, over: int) -> None:
    def outputs_of(text: str) -> Cast:
        return completed(outputs={"text": text}, webhook_secret=secret)

    room = MAX_BODY_BYTES - len(sent(outputs_of(""))[2])
    each = documents.size(character) - documents.size("")
    cast = outputs_of(character * (room // each) + "y" * (room % each + over))
    body, headers, content = sent(cast)
    assert MAX_BODY_BYTES == 1_000_000
    assert ("finalOutputs" in body, body.get("truncated", False)) == (not over, bool(over))
    assert len(content) < 2_000 if over else len(content) == MAX_BODY_BYTES
    if secret:
        standard_webhooks.verify(secret, headers, content, START)


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


def test_another_cast_and_another_end_are_other_messages_and_another_revision_is_not() -> None:
    ids = {sent(cast)[1]["webhook-id"] for cast in (completed(), completed(revision=3))}
    others = {sent(cast)[1]["webhook-id"] for cast in (completed(completed_at=in_seconds(8)), completed(cast_id="c2"))}
    assert (len(ids), len(ids | others)) == (1, 3)


@pytest.mark.parametrize("secret", [None, ""])
def test_without_a_secret_nothing_is_signed(secret: str | None) -> None:
    body, headers, _ = sent(completed(webhook_secret=secret))
    assert "signature" not in body
    assert not [name for name in headers if "signature" in name]
    assert headers["webhook-id"].startswith("msg_")  # by which a repeat is known all the same


def test_the_secret_is_not_sent() -> None:
    _, headers, raw = sent(completed())
    assert SECRET not in raw.decode() + repr(headers)


def test_any_secret_that_was_taken_signs() -> None:
    sent(completed(webhook_secret="whsec_not base64!"))


# --- attempts ---


class Told:
    """A cast's webhook: its message, whoever receives it, and its receiver, whose first answers are `refusals`."""

    def __init__(self, cast: Cast | None, *refusals: Exception, kills: Collection[tuple[int, When]] = ()) -> None:
        self.chokepoint = Chokepoint()
        self.clock = FakeClock(in_seconds(8))
        self.store = FakeStore()
        self.receiver = FakeReceiver(*refusals)
        self.queue = FakeQueue(self.clock)
        if cast is not None:
            self.store.create_cast(cast)
        self.store.writes.clear()
        store, receiver, queue = map(self.chokepoint, (self.store, self.receiver, self.queue))
        self.send_webhook = SendWebhook(
            store, receiver, queue, MediaLinks(FakeMediaStore()), self.clock, backoff_seconds=(5, 30)
        )
        self.chokepoint.arm(kills)

    def deliver(self) -> bool:
        """Whether the message was done with; otherwise it is a dead letter now."""
        return self.queue.deliver(partial(self.send_webhook, "c1"))

    @property
    def cast(self) -> Cast:
        found = self.store.get_cast("c1")
        assert found is not None
        return found

    def message_ids(self) -> set[str]:
        return {headers["webhook-id"] for _, _, headers in self.receiver.posts}

    def recorded(self) -> list[Delivery | None]:
        return [record.delivery for record in self.store.writes if isinstance(record, Cast)]


REFUSED = WebhookNotDelivered("Webhook returned 500: err", 500)
ENDS = pytest.mark.parametrize("cast", [completed(), FAILED], ids=["completed", "failed"])


@ENDS
def test_the_casters_address_is_called_once(cast: Cast) -> None:
    told = Told(cast)
    assert told.deliver()
    ((url, body, headers),) = told.receiver.posts
    assert url == "https://me.example/hook"
    assert (body, dict(headers)) == signed_request(cast, in_seconds(8))
    assert told.recorded() == [Delivery("sent", 1, in_seconds(8))]


def test_the_caster_is_told_links_and_the_record_keeps_its_pointers() -> None:
    pointer = "s3:media/c1/c1.0.1/0.png"
    told = Told(completed(outputs={"images": [{"url": pointer}]}))
    assert told.deliver()
    ((_, body, _),) = told.receiver.posts
    link = FakeMediaStore().link(pointer.removeprefix("s3:"))
    assert documents.from_text(body)["finalOutputs"] == {"images": [{"url": link}]}
    assert told.cast.outputs == {"images": [{"url": pointer}]}


@ENDS
def test_a_receiver_that_recovers_is_told_after_the_back_off(cast: Cast) -> None:
    told = Told(cast, REFUSED)
    assert told.deliver()
    assert (len(told.receiver.posts), told.queue.waits) == (2, [5])
    assert told.recorded() == [Delivery("sent", 2, in_seconds(8 + 5))]


@ENDS
@pytest.mark.parametrize("error", [REFUSED, AddressRefused("The address is refused: it is private.")])
def test_after_three_attempts_the_record_says_why_and_the_message_is_a_dead_letter(
    cast: Cast, error: SpellcastError
) -> None:
    told = Told(cast, error, error, error)
    assert not told.deliver()
    # The dead letter need not wait for anything.
    assert (len(told.receiver.posts), told.queue.waits) == (3, [5, 30, 0])
    assert told.recorded() == [Delivery("failed", 3, in_seconds(8 + 5 + 30), error.message)]
    assert told.cast == replace(
        cast, delivery=told.cast.delivery, revision=cast.revision + 1, updated_at=in_seconds(8 + 5 + 30)
    )


def test_all_attempts_are_one_message_signed_anew() -> None:
    told = Told(completed(), REFUSED, REFUSED, REFUSED)
    told.deliver()
    assert len(told.message_ids()) == 1
    assert len({headers["x-webhook-signature"] for _, _, headers in told.receiver.posts}) == 1
    for (_, body, headers), moment in zip(told.receiver.posts, (8, 13, 43), strict=True):
        assert headers["webhook-timestamp"] == str(int(in_seconds(moment).timestamp()))
        standard_webhooks.verify(SECRET, headers, body, in_seconds(moment))


def test_a_late_bill_between_two_attempts_makes_no_other_message() -> None:
    told = Told(completed(), REFUSED)

    def bill() -> None:
        told.store.save_cast(told.cast.billed(cost_usd=Decimal("0.05"), points=15, now=told.clock.now()), told.cast)

    told.receiver.meanwhile = bill
    assert told.deliver()
    assert len(told.message_ids()) == 1
    costs = [documents.from_text(body)["costUsd"] for _, body, _ in told.receiver.posts]
    assert costs[-1] == "0.05", "each attempt tells the record as it is"


def test_a_message_that_comes_again_tells_nobody_again() -> None:
    told = Told(completed())
    assert told.deliver() and told.deliver()
    assert len(told.receiver.posts) == len(told.recorded()) == 1


def test_a_dead_letter_that_is_sent_again_makes_up_for_the_failure() -> None:
    told = Told(completed(), REFUSED, REFUSED, REFUSED, REFUSED)
    assert not told.deliver()
    assert told.deliver()
    assert len(told.message_ids()) == 1
    assert [(item.status, item.attempts, item.error) for item in told.recorded() if item] == [
        ("failed", 3, "Webhook returned 500: err"),
        ("sent", 5, None),
    ]


def test_a_dead_letter_that_fails_again_is_recorded_with_the_newest_reason() -> None:
    other = WebhookNotDelivered("Webhook returned 401", 401)
    told = Told(completed(), REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, other)
    assert not told.deliver() and not told.deliver()
    assert [(item.attempts, item.error) for item in told.recorded() if item] == [
        (3, "Webhook returned 500: err"),
        (6, "Webhook returned 401"),
    ]


@pytest.mark.parametrize("refusals", [(), (REFUSED, REFUSED, REFUSED)], ids=["sent", "failed"])
def test_a_late_bill_just_before_the_record_is_kept_with_it(refusals: tuple[Exception, ...]) -> None:
    told = Told(completed(), *refusals)

    def bill() -> None:
        told.store.save_cast(told.cast.billed(cost_usd=Decimal("0.05"), points=15, now=told.clock.now()), told.cast)

    told.store.meanwhile.append(bill)
    told.deliver()
    assert (told.cast.cost_usd, told.cast.revision) == (Decimal("0.05"), 4)
    assert told.cast.delivery is not None
    assert told.cast.delivery.status == ("failed" if refusals else "sent")


@pytest.mark.parametrize("refusals", [(), (REFUSED, REFUSED, REFUSED)], ids=["sent", "failed"])
def test_who_is_told_by_another_at_the_same_time_stays_told(refusals: tuple[Exception, ...]) -> None:
    told = Told(completed(), *refusals)
    ended = completed().delivery_ended(attempts=1, error=None, now=in_seconds(8))
    told.store.meanwhile.append(lambda: told.store.save_cast(ended, told.cast))
    told.deliver()
    assert told.cast == ended
    assert told.queue.waits == ([5, 30, 0] if refusals else [])


@pytest.mark.parametrize(
    "cast",
    [a_cast(), a_cast(status="cancelled"), completed(webhook_url=None)],
    ids=["running", "cancelled", "nobody to call"],
)
def test_nobody_else_is_called(cast: Cast) -> None:
    told = Told(cast)
    assert told.deliver()
    assert told.receiver.posts == []
    assert told.recorded() == []


def test_a_cast_that_does_not_exist_ends_in_the_dead_letters() -> None:
    with pytest.raises(CastNotFound):
        Told(None).send_webhook("c1", Message("receipt", 1))
    assert not Told(None).deliver()


def test_an_error_after_the_post_does_not_bring_the_receivers_words_to_the_log() -> None:
    told = Told(completed(), REFUSED, kills=[(3, "before")])
    with pytest.raises(Crash) as raised:
        told.send_webhook("c1", Message("receipt", 1))
    assert told.chokepoint.calls == ["FakeStore.get_cast", "FakeReceiver.post", "FakeQueue.postpone"]
    assert REFUSED.message not in "".join(traceback.format_exception(raised.value))


# --- killed at every call to the outside ---

REFUSALS = [pytest.param((REFUSED,) * count, id=f"{count} refusals") for count in range(4)]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("refusals", REFUSALS)
def test_a_crash_at_any_call_loses_nothing(refusals: tuple[Exception, ...], when: When) -> None:
    undisturbed = Told(completed(), *refusals)
    undisturbed.deliver()
    for number in range(1, len(undisturbed.chokepoint.calls) + 1):
        told = Told(completed(), *refusals, kills=[(number, when)])
        done = told.deliver()
        about = (told.chokepoint.killed, told.chokepoint.calls)
        taken = len(told.receiver.posts) > len(refusals)
        status = told.cast.delivery.status if told.cast.delivery else "pending"
        assert len(told.recorded()) <= 1, about
        if done:
            assert (status, taken) == ("sent", True), about
        elif status != "failed":
            # Killed in the third attempt, after which there is none: the dead letter knows.
            assert len(told.queue.waits) == 3 and told.queue.waits[-1] == VISIBILITY, about
        else:
            assert not taken, about
        # Whoever looks after the dead letters sends them again, and the receiver is up by then.
        told.receiver.refusals.clear()
        if not done:
            assert told.deliver(), about
        assert told.cast.delivery is not None and told.cast.delivery.status == "sent", about
        assert len(told.message_ids()) == 1, about


@pytest.mark.parametrize(("number", "when"), [(2, "after"), (3, "before")])
def test_who_dies_between_post_and_record_is_followed_by_the_same_message(number: int, when: When) -> None:
    told = Told(completed(), kills=[(number, when)])
    assert told.deliver()
    assert told.queue.waits == [VISIBILITY], "nobody postponed it"
    assert (len(told.receiver.posts), len(told.message_ids())) == (2, 1)
    assert [(item.status, item.attempts) for item in told.recorded() if item] == [("sent", 2)]
