"""The signed token in a provider's callback URL: it names the generation, so a webhook needs no lookup by run id.

`<base64url of generationId|expiry>.<base64url of HMAC-SHA256>`; the token is the authorisation (contract §2).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from datetime import datetime, timedelta

from spellcast.domain.errors import InvalidCallbackToken

# A provider may call late: its result changes no status then, but what it billed is still added.
VALID_AFTER_DEADLINE = timedelta(hours=24)


def sign(generation_id: str, deadline_at: datetime, secret: str) -> str:
    """A token for this generation, good until 24 hours after its deadline."""
    expires = int((deadline_at + VALID_AFTER_DEADLINE).timestamp())
    body = _encode(f"{generation_id}|{expires}".encode())
    return f"{body}.{_mac(body, secret)}"


def verify(token: str, now: datetime, secret: str) -> str:
    """The generation id. Raises InvalidCallbackToken for anything that was not signed here or has expired."""
    body, _, mac = token.partition(".")
    if not token.isascii() or not hmac.compare_digest(mac.encode(), _mac(body, secret).encode()):
        raise InvalidCallbackToken("The callback token is not valid.")
    try:
        generation_id, _, expires = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode().partition("|")
        expired = now.timestamp() >= int(expires)
    except (binascii.Error, ValueError) as error:
        raise InvalidCallbackToken("The callback token is not valid.") from error
    if expired:
        raise InvalidCallbackToken("The callback token has expired.")
    return generation_id


def _mac(body: str, secret: str) -> str:
    return _encode(hmac.new(secret.encode(), body.encode(), hashlib.sha256).digest())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
