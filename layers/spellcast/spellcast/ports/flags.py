"""What an operator switches while the bundle runs."""

from __future__ import annotations

from typing import Protocol


class CastFlags(Protocol):
    """Which side casts for whom, while the original service still runs."""

    def casts_here(self, account_id: str) -> bool:
        """Whether this account's casts run here. Raises FlagsUnreadable where nobody can tell."""
