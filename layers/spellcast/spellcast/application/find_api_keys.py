"""Lists an account's API keys."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.ports.store import AccessStore, ApiKey, Page


@dataclass(frozen=True, slots=True)
class FindApiKeys:
    """What is kept of them; the keys themselves are known to nobody here."""

    access: AccessStore

    def list(self, account_id: str, *, limit: int, cursor: str | None) -> Page[ApiKey]:
        """Latest first. Raises InvalidInput for a cursor that is none."""
        return self.access.list_api_keys(account_id, limit=limit, cursor=cursor)
