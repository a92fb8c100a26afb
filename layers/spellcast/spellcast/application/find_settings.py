"""Finds what an account has set for itself."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.domain.documents import Document
from spellcast.ports.store import SettingsStore


@dataclass(frozen=True, slots=True)
class FindSettings:
    """An account that never set anything has empty settings."""

    settings: SettingsStore

    def __call__(self, account_id: str) -> Document:
        """`{tools: {toolId: {param: value}}, dailyBudgetUsd?}`."""
        return self.settings.get_settings(account_id).document()
