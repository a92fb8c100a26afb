"""Calls the caster's webhook with the bodies of the original (original-system.md §5.5), signed both ways."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime

from spellcast.domain import documents, identifiers, money, standard_webhooks, times
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.errors import CastNotFound
from spellcast.ports.clock import Clock
from spellcast.ports.receiver import Receiver
from spellcast.ports.store import CastStore


@dataclass(frozen=True, slots=True)
class SendWebhook:
    """One attempt; whoever calls it tries again where it raises."""

    casts: CastStore
    receiver: Receiver
    clock: Clock

    def __call__(self, cast_id: str) -> None:
        """Raises CastNotFound, AddressRefused, ProviderUnavailable."""
        cast = self.casts.get_cast(cast_id)
        if cast is None:
            raise CastNotFound(f"There is no cast {cast_id}.")
        if cast.webhook_url is None or not cast.is_terminal:
            return
        body, headers = signed_request(cast, self.clock.now())
        self.receiver.post(cast.webhook_url, body, headers)


def signed_request(cast: Cast, now: datetime) -> tuple[bytes, dict[str, str]]:
    """Body and headers. The original's signature covers the body without `signature`, Standard Webhooks' all of it."""
    body = _body(cast)
    headers = {"content-type": "application/json", "user-agent": "Spellcast-Webhook/1.0"}
    if not cast.webhook_secret:
        return documents.to_text(body).encode(), headers
    signature = hmac.digest(cast.webhook_secret.encode(), documents.to_text(body).encode(), hashlib.sha256).hex()
    sent = documents.to_text({**body, "signature": signature}).encode()
    # The same cast at the same revision is the same message, however often it is sent.
    message_id = f"msg_{identifiers.fingerprint(f'{cast.cast_id}.{cast.revision}')[:32]}"
    headers |= standard_webhooks.sign(cast.webhook_secret, message_id, now, sent)
    return sent, headers | {"x-webhook-signature": f"sha256={signature}"}


def _body(cast: Cast) -> Document:
    body: Document = {
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
