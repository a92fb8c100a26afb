"""Says whose request this is, by an API key or by a JWT of the configured issuer."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.domain.errors import Unauthorized
from spellcast.domain.identifiers import fingerprint
from spellcast.ports.store import AccessStore
from spellcast.ports.tokens import TokenVerifier


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Keys are compared by their fingerprint: the table holds no key."""

    access: AccessStore
    tokens: TokenVerifier

    def __call__(self, api_key: str | None, authorization: str | None) -> str:
        """The account id. Raises Unauthorized."""
        if api_key:
            account_id = self.access.find_account(fingerprint(api_key))
            if account_id is None:
                raise Unauthorized("The API key is not known.")
            return account_id
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return self.tokens.subject(token.strip())
        raise Unauthorized("Send an X-API-Key header, or Authorization: Bearer with a token.")
