"""What accounts have set for themselves: one row an account."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.aws.documents import DocumentStore
from spellcast.aws.table import Table
from spellcast.domain.documents import Document

SETTINGS = "SETTINGS"


@dataclass(frozen=True, slots=True)
class DynamoSettingsStore:
    """Implements `ports.store.SettingsStore`."""

    table: Table
    documents: DocumentStore

    def get_settings(self, account_id: str) -> Document:
        """The account's defaults by tool id; empty where it never set any."""
        row = self.table.get(f"ACCOUNT#{account_id}", SETTINGS)
        return (self.documents.unpack(row, "tools") or {}) if row else {}

    def put_settings(self, account_id: str, tools: Document) -> None:
        """Without a condition: the whole is what its caller wants, whatever was there."""
        key = {"pk": f"ACCOUNT#{account_id}", "sk": SETTINGS, "entity": SETTINGS}
        self.table.put({**key, **self.documents.pack(f"settings/{account_id}", {"tools": tools})})
