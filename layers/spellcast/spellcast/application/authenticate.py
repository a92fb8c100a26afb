"""Says whose request this is, by an API key or by a JWT of the configured issuer."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.domain.errors import Unauthorized
from spellcast.domain.identifiers import fingerprint
from spellcast.ports.clock import Clock
from spellcast.ports.store import AccessStore
from spellcast.ports.tokens import TokenVerifier


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Keys are compared by their fingerprint: the table holds no key. Every request reads anew, so that a revoked
    key is refused at once.
    """

    access: AccessStore
    tokens: TokenVerifier
    clock: Clock

    def __call__(self, api_key: str | None, authorization: str | None) -> str:
        """The account id. Raises Unauthorized."""
        if api_key:
            key = self.access.get_api_key(fingerprint(api_key))
            if key is None or not key.is_good(self.clock.now()):
                raise Unauthorized("The API key is not known.")
            return key.account_id
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return self.tokens.subject(token.strip())
        raise Unauthorized("Send an X-API-Key header, or Authorization: Bearer with a token.")
