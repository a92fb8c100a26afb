"""Calls the caster's webhook with the bodies of the original (original-system.md §5.5), signed both ways."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, NotRequired, TypedDict

from spellcast.application.media_links import MediaLinks
from spellcast.domain import documents, identifiers, money, standard_webhooks, times
from spellcast.domain.casts import Cast
from spellcast.domain.errors import AddressRefused, CastNotFound, WebhookNotDelivered, WriteConflict
from spellcast.ports.clock import Clock
from spellcast.ports.queue import Message, Queue
from spellcast.ports.receiver import Receiver
from spellcast.ports.store import CastStore

# As much as we take of others' callbacks; of a larger body the caster reads the outputs in the cast's record.
MAX_BODY_BYTES = 1_000_000
# What the signature adds: its key, 64 digits, quotes, colon and comma.
_SIGNATURE_BYTES = len(',"signature":""') + 64


class WebhookFailure(TypedDict):
    """Which step failed."""

    stepIndex: Annotated[int | None, "The step's position, from 0."]
    stepId: Annotated[str | None, "The step's id in the spell."]


class WebhookError(TypedDict):
    """Why."""

    code: Annotated[str, "One of the closed list."]
    message: Annotated[str, "What went wrong."]


class WebhookBody(TypedDict):
    """What a caster's receiver is sent when a cast was completed or has failed."""

    event: Annotated[str, "`spell.completed` or `spell.failed`."]
    castId: Annotated[str, "The cast."]
    spellId: Annotated[str, "The spell."]
    spellSlug: Annotated[str, "The spell's slug."]
    status: Annotated[str, "`completed` or `failed`."]
    generationIds: Annotated[list[str], "The records that count, in the order of the steps."]
    costUsd: Annotated[str, "US dollars that all of it cost."]
    startedAt: Annotated[str, "When it was started."]
    completedAt: NotRequired[Annotated[str, "When it was completed."]]
    finalOutputs: NotRequired[Annotated[Any, "The last step's outputs."]]
    failedAt: NotRequired[Annotated[str | None, "When it failed."]]
    error: NotRequired[Annotated[WebhookError, "Why it failed: `code` and `message`."]]
    failure: NotRequired[Annotated[WebhookFailure, "Where it failed: `stepIndex` and `stepId`."]]
    truncated: NotRequired[Annotated[bool, "It came without `finalOutputs`, which made it too large."]]
    signature: NotRequired[
        Annotated[str, "The original's: HMAC-SHA256 of the body before this key was put at its end."]
    ]


@dataclass(frozen=True, slots=True)
class SendWebhook:
    """One attempt. There are as many as there are waits in `backoff_seconds`, and one more; the queue counts them.

    The caster is told at least once: who dies between the post and the record of it is followed by one who posts
    again, under the same message id. Who dies in the last attempt leaves a dead letter and a record that says pending.
    """

    casts: CastStore
    receiver: Receiver
    queue: Queue
    links: MediaLinks
    clock: Clock
    backoff_seconds: tuple[int, ...]

    def __call__(self, cast_id: str, message: Message) -> None:
        """Raises CastNotFound; AddressRefused and WebhookNotDelivered where the message is to come again."""
        cast = self._cast(cast_id)
        if cast.webhook_url is None or not cast.owes_webhook:
            return
        failure = self._post(cast, cast.webhook_url)
        is_last = message.attempt > len(self.backoff_seconds)
        if failure is None or is_last:
            self._record(cast, message.attempt, failure.message if failure else None)
        if failure is not None:
            self.queue.postpone(message, 0 if is_last else self.backoff_seconds[message.attempt - 1])
            raise failure

    def _post(self, cast: Cast, url: str) -> AddressRefused | WebhookNotDelivered | None:
        """What went wrong is answered and not raised: an error after it would bring the receiver's words to the log."""
        outputs = self.links(cast.cast_id, cast.outputs)
        body, headers = signed_request(replace(cast, outputs=outputs), self.clock.now())
        try:
            self.receiver.post(url, body, headers)
        except (AddressRefused, WebhookNotDelivered) as error:
            return error
        return None

    def _record(self, cast: Cast, attempts: int, error: str | None) -> None:
        # A late bill may come in between, or the same message to somebody else who delivers it.
        while cast.owes_webhook:
            try:
                self.casts.save_cast(cast.delivery_ended(attempts=attempts, error=error, now=self.clock.now()), cast)
                return
            except WriteConflict:
                cast = self._cast(cast.cast_id)

    def _cast(self, cast_id: str) -> Cast:
        cast = self.casts.get_cast(cast_id)
        if cast is None:
            raise CastNotFound(f"There is no cast {cast_id}.")
        return cast


def signed_request(cast: Cast, now: datetime) -> tuple[bytes, dict[str, str]]:
    """Body and headers, without the outputs where they are too large.

    The original's signature covers the body without `signature`, Standard Webhooks' all of it.
    """
    body = _body(cast)
    if documents.size(body) > MAX_BODY_BYTES - (_SIGNATURE_BYTES if cast.webhook_secret else 0):
        body.pop("finalOutputs", None)
        body["truncated"] = True
    # One end of one cast is one message, however often it is sent and whatever is billed meanwhile.
    message_id = f"msg_{identifiers.fingerprint(f'{cast.execution_name}.{cast.ended_at}')[:32]}"
    headers = {
        "content-type": "application/json",
        "user-agent": "Spellcast-Webhook/1.0",
        standard_webhooks.ID: message_id,
    }
    if not cast.webhook_secret:
        return documents.to_text(body).encode(), headers
    signature = hmac.digest(cast.webhook_secret.encode(), documents.to_text(body).encode(), hashlib.sha256).hex()
    sent = documents.to_text({**body, "signature": signature}).encode()
    headers |= standard_webhooks.sign(cast.webhook_secret, message_id, now, sent)
    return sent, headers | {"x-webhook-signature": f"sha256={signature}"}


def _body(cast: Cast) -> WebhookBody:
    body: WebhookBody = {
        "event": f"spell.{cast.status}",
        "castId": cast.cast_id,
        "spellId": cast.spell_id,
        "spellSlug": cast.spell_slug,
        "status": cast.status,
        "generationIds": list(cast.step_generation_ids),
        "costUsd": money.to_text(cast.cost_usd),
        "startedAt": times.to_text(cast.started_at),
    }
    if cast.completed_at:
        body["completedAt"] = times.to_text(cast.completed_at)
        body["finalOutputs"] = cast.outputs
    if cast.failure:
        body["failedAt"] = times.to_text(cast.failed_at) if cast.failed_at else None
        body["error"] = {"code": cast.failure.code, "message": cast.failure.message}
        body["failure"] = {"stepIndex": cast.failure.step_index, "stepId": cast.failure.step_id}
    return body
