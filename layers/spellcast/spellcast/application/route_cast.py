"""Decides whose a request of the internal routes is: ours, or still the original's (docs/migrating.md)."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.domain.identifiers import is_object_id
from spellcast.ports.flags import CastFlags
from spellcast.ports.original import Original, OriginalAnswer, PassedRequest


@dataclass(frozen=True, slots=True)
class RouteCast:
    """A record stays with the side that began it; a new cast goes where its account's flag says."""

    original: Original
    flags: CastFlags

    def __call__(
        self, request: PassedRequest, *, account_id: str | None = None, record_id: str | None = None
    ) -> OriginalAnswer | None:
        """The original's answer, to be returned as it is; None where the request is ours to answer.

        `record_id` names the cast or generation that the request is about, if it is about one, and `account_id` who
        begins one otherwise. Raises what `Original.ask` and `CastFlags.casts_here` raise; nothing is sent twice.
        """
        if not self.original.is_configured() or self._is_ours(account_id, record_id):
            return None
        return self.original.ask(request)

    def elsewhere(self, request: PassedRequest) -> OriginalAnswer | None:
        """The same for a request that only the original can answer."""
        return self.original.ask(request) if self.original.is_configured() else None

    def _is_ours(self, account_id: str | None, record_id: str | None) -> bool:
        if record_id is not None:
            return not is_object_id(record_id)
        # Without an account it is a bad request, which the route refuses.
        return account_id is None or self.flags.casts_here(account_id)
