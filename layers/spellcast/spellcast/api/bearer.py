"""Bearer tokens: JWTs of the configured issuer, checked against its published keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spellcast.domain.errors import Unauthorized

if TYPE_CHECKING:
    from jwt import PyJWKClient


# OpenID Connect's limit; an account is part of keys of the table, which have at most 2,048 bytes.
MAX_SUBJECT_CHARACTERS = 255


@dataclass(slots=True)
class JwtVerifier:
    """Implements `ports.tokens.TokenVerifier`. The issuer's keys are fetched from `/.well-known/jwks.json` and kept."""

    issuer: str
    audience: str
    _keys: PyJWKClient | None = field(default=None)

    def subject(self, token: str) -> str:
        """The token's `sub`. Raises Unauthorized."""
        if not self.issuer:
            raise Unauthorized("Bearer tokens are not accepted here: no issuer is configured.")
        # Imported by those who need it: most requests bring a key.
        import jwt

        if self._keys is None:
            self._keys = jwt.PyJWKClient(f"{self.issuer.rstrip('/')}/.well-known/jwks.json", timeout=5)
        # Whatever a caller sends and the issuer answers, nobody is let in by it, and it is no defect of ours.
        try:
            claims = jwt.decode(
                token,
                self._keys.get_signing_key_from_jwt(token),
                algorithms=["RS256", "ES256", "EdDSA"],
                issuer=self.issuer,
                audience=self.audience or None,
                options={"require": ["exp", "sub"], "verify_aud": bool(self.audience)},
            )
            subject: str = claims["sub"]
        except Exception as error:
            raise Unauthorized("The token is not valid here.") from error
        if not 0 < len(subject) <= MAX_SUBJECT_CHARACTERS:
            raise Unauthorized("The token's subject cannot be an account here.")
        return subject
