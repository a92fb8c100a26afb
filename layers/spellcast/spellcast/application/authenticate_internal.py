"""Lets the callers of the internal routes in."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from spellcast.domain.errors import InvalidInternalKey, MissingInternalKey
from spellcast.ports.secrets import Secrets


@dataclass(frozen=True, slots=True)
class AuthenticateInternal:
    """One key for all of them: whoever holds it says for which account it acts."""

    secrets: Secrets

    def __call__(self, key: str | None) -> None:
        """Raises MissingInternalKey and InvalidInternalKey; how long it takes tells nothing of the key."""
        if not key:
            raise MissingInternalKey("Send an X-Internal-Client-Key header.")
        if not hmac.compare_digest(key.encode("utf-8", "replace"), self.secrets.internal_key().encode()):
            raise InvalidInternalKey("The X-Internal-Client-Key is not known.")
