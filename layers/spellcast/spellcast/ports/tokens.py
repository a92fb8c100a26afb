"""Bearer tokens of somebody else's issuing."""

from __future__ import annotations

from typing import Protocol


class TokenVerifier(Protocol):
    """Checks a bearer token."""

    def subject(self, token: str) -> str:
        """The account that the token speaks for. Raises Unauthorized."""
