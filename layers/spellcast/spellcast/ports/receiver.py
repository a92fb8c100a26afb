"""The caster's own address, which is told how the cast ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Receiver(Protocol):
    """An address that a caster supplied."""

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Raises AddressRefused for an address that must not be called, WebhookNotDelivered where it took nothing."""
