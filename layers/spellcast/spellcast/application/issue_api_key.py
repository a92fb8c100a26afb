"""Makes an API key for an account."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from spellcast.domain.identifiers import fingerprint
from spellcast.ports.store import AccessStore


@dataclass(frozen=True, slots=True)
class IssueApiKey:
    """The key is shown once: only its fingerprint is stored."""

    access: AccessStore

    def __call__(self, account_id: str) -> str:
        """A fresh key that speaks for the account."""
        key = f"sk_{secrets.token_urlsafe(32)}"
        self.access.put_api_key(fingerprint(key), account_id)
        return key
