"""A circuit that is always closed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from spellcast.domain.errors import ProviderUnavailable

Answer = TypeVar("Answer")


class FakeBreaker:
    """Implements `ports.breaker.Breaker`: services in `open` are not asked, and `failed` counts what would open it."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.failed: Counter[str] = Counter()

    def guard(self, service: str, ask: Callable[[], Answer]) -> Answer:
        if service in self.open:
            raise ProviderUnavailable(f"{service} is left alone for a moment", nothing_started=True)
        try:
            return ask()
        except ProviderUnavailable:
            self.failed[service] += 1
            raise
