"""Replaces an API key by a new one; the old one stays good for a while."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from spellcast.application.issue_api_key import IssuedKey, drawn_key
from spellcast.domain.errors import ApiKeyNotFound, WriteConflict
from spellcast.ports.clock import Clock
from spellcast.ports.store import AccessStore, ApiKey


@dataclass(frozen=True, slots=True)
class RotateApiKey:
    """One write. Where its answer is lost, a key that nobody knows is listed; the old one can be rotated again."""

    access: AccessStore
    clock: Clock

    def __call__(self, account_id: str, key_id: str, overlap: timedelta) -> tuple[IssuedKey, ApiKey]:
        """The new key, and the old one with its end, which is never put off. Raises ApiKeyNotFound."""
        while True:
            now = self.clock.now()
            old = self.access.get_api_key(key_id)
            if old is None or old.account_id != account_id or not old.is_good(now):
                raise ApiKeyNotFound("There is no such API key.")
            end = (now + overlap).replace(microsecond=0)
            ended = replace(old, expires_at=min(end, old.expires_at or end), version=old.version + 1)
            issued = drawn_key(account_id, self.clock)
            try:
                self.access.replace_api_key(issued.kept, ended)
            except WriteConflict:
                continue  # Rotated or revoked by somebody else: read it again.
            return issued, ended
