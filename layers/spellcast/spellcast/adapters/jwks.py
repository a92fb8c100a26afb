"""The public keys of a provider that signs its callbacks with Ed25519: read from its JWKS, and kept."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import httpx

from spellcast.domain.documents import from_text
from spellcast.domain.errors import InvalidSignature, ProviderAnswerInvalid, ProviderUnavailable
from spellcast.outbound.bounded import AnswerTooLarge, read_bounded

MAX_AGE = timedelta(hours=24)
# An unknown key may be a new one, but not every forged callback is worth a look.
MIN_AGE = timedelta(minutes=1)
MAX_BYTES = 65_536
SECONDS = 5.0
KEY_BYTES = 32


class PublicKeys:
    """The keys at one address, for the life of a container."""

    def __init__(self, name: str, address: str, client: Callable[[], httpx.Client]) -> None:
        self._name = name
        self._address = address
        self._client = client
        self._keys: tuple[bytes, ...] = ()
        self._read_at: datetime | None = None

    def verify(self, signature: bytes, message: bytes, now: datetime) -> None:
        """Raises InvalidSignature unless one of the keys made it, and StepFailed where the keys cannot be had."""
        if self._is_older_than(MAX_AGE, now):
            self._read(now)
        if not self._is_signed(signature, message) and self._is_older_than(MIN_AGE, now):
            self._read(now)
        if not self._is_signed(signature, message):
            raise InvalidSignature("The callback's signature is wrong")

    def _is_older_than(self, age: timedelta, now: datetime) -> bool:
        return self._read_at is None or now - self._read_at >= age

    def _is_signed(self, signature: bytes, message: bytes) -> bool:
        # 25 ms to import, which only whoever receives callbacks should wait for.
        from cryptography.exceptions import InvalidSignature as WrongSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        for key in self._keys:
            try:
                Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
            except WrongSignature:
                continue
            return True
        return False

    def _read(self, now: datetime) -> None:
        client = self._client()
        try:
            request = client.build_request("GET", self._address, timeout=httpx.Timeout(SECONDS))
            answer, body = read_bounded(client, request, max_bytes=MAX_BYTES, seconds=SECONDS)
        except AnswerTooLarge as error:
            raise ProviderAnswerInvalid(f"{self._name}'s public keys are more than {MAX_BYTES} bytes") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ProviderUnavailable(f"{self._name}'s public keys could not be reached") from error
        if answer.status_code != 200:
            raise ProviderUnavailable(f"{self._name}'s public keys could not be read ({answer.status_code})")
        keys = tuple(_ed25519_keys(body))
        if not keys:
            raise ProviderAnswerInvalid(f"{self._name} publishes no key for Ed25519")
        self._keys, self._read_at = keys, now


def _ed25519_keys(body: bytes) -> Iterator[bytes]:
    """Keys of other sorts may stand among them."""
    try:
        document = from_text(body)
    except (ValueError, RecursionError):
        return
    keys = document.get("keys") if isinstance(document, dict) else None
    for key in keys if isinstance(keys, list) else []:
        if not isinstance(key, dict) or (key.get("kty"), key.get("crv")) != ("OKP", "Ed25519"):
            continue
        encoded = key.get("x")
        try:
            public = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)) if isinstance(encoded, str) else b""
        except (binascii.Error, ValueError):
            continue
        if len(public) == KEY_BYTES:
            yield public
