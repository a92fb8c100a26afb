"""Standard Webhooks signatures (standardwebhooks.com): made for casters' webhooks, checked on providers'."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime

from spellcast.domain.errors import InvalidSignature

ID = "webhook-id"
TOLERANCE_SECONDS = 300
_PREFIX = "whsec_"


def sign(secret: str, message_id: str, sent_at: datetime, body: bytes) -> dict[str, str]:
    """The three headers that go with `body`."""
    timestamp = str(int(sent_at.timestamp()))
    return {
        ID: message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{_signature(_key(secret), message_id, timestamp, body)}",
    }


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
    """Raises InvalidSignature unless one of the signatures is ours and fresh. Header names are lower case."""
    if not secret:
        raise InvalidSignature("The provider's webhook secret is not configured, so its callbacks are refused")
    message_id = headers.get(ID)
    timestamp = headers.get("webhook-timestamp")
    signatures = headers.get("webhook-signature")
    if not (message_id and timestamp and signatures):
        raise InvalidSignature("The callback carries no signature")
    check_time(timestamp, now)
    expected = _signature(_key(secret), message_id, timestamp, body).encode()
    # All are compared, in constant time: a provider that changes its secret sends two.
    found = False
    for candidate in signatures.split():
        version, _, signature = candidate.partition(",")
        found |= version == "v1" and hmac.compare_digest(expected, signature.encode(errors="replace"))
    if not found:
        raise InvalidSignature("The callback's signature is wrong")


def check_time(timestamp: str, now: datetime) -> None:
    """Raises InvalidSignature unless the time, in whole seconds since 1970, is near `now`."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise InvalidSignature("The callback's time cannot be read")
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE_SECONDS:
        raise InvalidSignature("The callback is too old, or from the future")


def _signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    content = f"{message_id}.{timestamp}.".encode() + body
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()


def _key(secret: str) -> bytes:
    """A `whsec_` secret is base64; one that is not is taken as it stands, as casters choose theirs freely."""
    if not secret.startswith(_PREFIX):
        return secret.encode()
    encoded = secret.removeprefix(_PREFIX)
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return secret.encode()
