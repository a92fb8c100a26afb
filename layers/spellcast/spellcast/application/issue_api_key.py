"""Makes an API key for an account."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from spellcast.domain.identifiers import fingerprint
from spellcast.ports.clock import Clock
from spellcast.ports.store import AccessStore, ApiKey


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key as it is shown once, and what is kept of it."""

    secret: str = field(repr=False)
    kept: ApiKey


@dataclass(frozen=True, slots=True)
class IssueApiKey:
    """The key is shown once: only its fingerprint is stored."""

    access: AccessStore
    clock: Clock

    def __call__(self, account_id: str) -> str:
        """A fresh key that speaks for the account."""
        issued = drawn_key(account_id, self.clock)
        self.access.create_api_key(issued.kept)
        return issued.secret


def drawn_key(account_id: str, clock: Clock) -> IssuedKey:
    """A key of 256 random bits, not yet stored."""
    secret = f"sk_{secrets.token_urlsafe(32)}"
    return IssuedKey(secret, ApiKey(fingerprint(secret), account_id, clock.now()))
