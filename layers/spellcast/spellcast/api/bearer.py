"""Bearer tokens: JWTs of the configured issuer, checked against its published keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spellcast.domain.errors import Unauthorized

if TYPE_CHECKING:
    from jwt import PyJWKClient


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
        # Whatever the issuer answers, nobody is let in by it.
        try:
            claims = jwt.decode(
                token,
                self._keys.get_signing_key_from_jwt(token),
                algorithms=["RS256", "ES256", "EdDSA"],
                issuer=self.issuer,
                audience=self.audience or None,
                options={"require": ["exp", "sub"], "verify_aud": bool(self.audience)},
            )
        except (jwt.PyJWTError, OSError, ValueError) as error:
            raise Unauthorized("The token is not valid here.") from error
        return str(claims["sub"])
