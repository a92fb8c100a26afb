"""What accounts have set for themselves: one row an account."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from spellcast.aws.documents import DocumentStore
from spellcast.aws.table import Table
from spellcast.domain.account_settings import AccountSettings

SETTINGS = "SETTINGS"


@dataclass(frozen=True, slots=True)
class DynamoSettingsStore:
    """Implements `ports.store.SettingsStore`."""

    table: Table
    documents: DocumentStore

    def get_settings(self, account_id: str) -> AccountSettings:
        """One read; empty where the account never set any."""
        row = self.table.get(f"ACCOUNT#{account_id}", SETTINGS)
        if row is None:
            return AccountSettings()
        daily = row.get("dailyBudgetUsd")
        tools = self.documents.unpack(row, "tools") or {}
        return AccountSettings(tools, None if daily is None else Decimal(daily))

    def put_settings(self, account_id: str, settings: AccountSettings) -> None:
        """Without a condition: the whole is what its caller wants, whatever was there."""
        key = {"pk": f"ACCOUNT#{account_id}", "sk": SETTINGS, "entity": SETTINGS}
        documents = self.documents.pack(f"settings/{account_id}", {"tools": settings.tools})
        self.table.put({**key, "dailyBudgetUsd": settings.daily_budget_usd, **documents})
