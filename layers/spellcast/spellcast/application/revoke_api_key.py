"""Ends an API key at once."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.domain.errors import ApiKeyNotFound
from spellcast.ports.store import AccessStore


@dataclass(frozen=True, slots=True)
class RevokeApiKey:
    """One write; the next request with the key is refused, also where it is the request's own."""

    access: AccessStore

    def __call__(self, account_id: str, key_id: str) -> None:
        """Raises ApiKeyNotFound."""
        if not self.access.delete_api_key(account_id, key_id):
            raise ApiKeyNotFound("There is no such API key.")
