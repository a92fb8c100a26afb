"""What only the deployment knows."""

from __future__ import annotations

from typing import Protocol


class Secrets(Protocol):
    """Read when they are used, so that a rotation needs no deployment."""

    def callback_signing_key(self) -> str:
        """The key of the tokens in callback URLs."""

    def internal_key(self) -> str:
        """The key that callers of the internal routes send."""
