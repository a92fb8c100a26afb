"""Keeps steps away from a provider that does not work at the moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

Answer = TypeVar("Answer")


class Breaker(Protocol):
    """One circuit a service. Only ProviderUnavailable counts against it; of any other error it learns nothing."""

    def guard(self, service: str, ask: Callable[[], Answer]) -> Answer:
        """Asks, at most once. Raises ProviderUnavailable without asking while the service's circuit is open."""
