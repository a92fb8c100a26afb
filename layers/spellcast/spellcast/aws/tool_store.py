"""The catalog's tools, and the accounts' own beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spellcast.aws.documents import DocumentStore
from spellcast.aws.table import Row, Table
from spellcast.domain.errors import WriteConflict
from spellcast.domain.tools import Tool, parse_tool


@dataclass(frozen=True, slots=True)
class DynamoToolStore:
    """Implements `ports.store.ToolStore`. A built-in tool is found without a read."""

    table: Table
    documents: DocumentStore
    catalog: Mapping[str, Tool]

    def get_tool(self, account_id: str, identifier: str) -> Tool | None:
        """By display name or id, as the original looks tools up."""
        for tool in self.catalog.values():
            if identifier in (tool.display_name, tool.tool_id):
                return tool
        row = self._row(account_id, identifier)
        if row is not None and not _is_deleted(row):
            return self._to_tool(row)
        return next((tool for tool in self._own(account_id) if tool.display_name == identifier), None)

    def recall_tool(self, account_id: str, tool_id: str) -> Tool | None:
        """By id, also where it is deleted."""
        built_in = self.catalog.get(tool_id)
        if built_in is not None:
            return built_in
        row = self._row(account_id, tool_id)
        return None if row is None else self._to_tool(row)

    def list_tools(self, account_id: str) -> list[Tool]:
        """The catalog's, then the account's own."""
        return [*self.catalog.values(), *self._own(account_id)]

    def create_tool(self, account_id: str, tool: Tool) -> None:
        """In the place of a deleted one of this id. Raises WriteConflict where the id is taken."""
        row = {
            "pk": f"ACCOUNT#{account_id}",
            "sk": f"TOOL#{tool.tool_id}",
            "entity": "TOOL",
            "revision": 1,
            **self.documents.pack(f"tools/{account_id}", {"definition": tool.document}),
        }
        try:
            self.table.create(row)
        except WriteConflict:
            before = self._row(account_id, tool.tool_id)
            if before is None or not _is_deleted(before):
                raise
            self.table.replace({**row, "revision": before["revision"] + 1}, before["revision"])

    def delete_tool(self, account_id: str, tool_id: str) -> bool:
        """Marks the row, and keeps it."""
        row = self._row(account_id, tool_id)
        if row is None or _is_deleted(row):
            return False
        try:
            self.table.replace({**row, "deleted": True, "revision": row["revision"] + 1}, row["revision"])
        except WriteConflict:
            return False  # Only a deletion changes a living tool's row: another one was faster.
        return True

    def _row(self, account_id: str, tool_id: str) -> Row | None:
        return self.table.get(f"ACCOUNT#{account_id}", f"TOOL#{tool_id}")

    def _own(self, account_id: str) -> list[Tool]:
        rows = self.table.query(f"ACCOUNT#{account_id}", "TOOL#")
        return [self._to_tool(row) for row in rows if not _is_deleted(row)]

    def _to_tool(self, row: Row) -> Tool:
        return parse_tool(self.documents.unpack(row, "definition"), is_own=True)


def _is_deleted(row: Row) -> bool:
    return bool(row.get("deleted"))
