"""The catalog's tools, and the accounts' own beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spellcast.aws.documents import DocumentStore
from spellcast.aws.table import Row, Table
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
        row = self.table.get(f"ACCOUNT#{account_id}", f"TOOL#{identifier}")
        if row is not None:
            return self._to_tool(row)
        return next((tool for tool in self._own(account_id) if tool.display_name == identifier), None)

    def list_tools(self, account_id: str) -> list[Tool]:
        """The catalog's, then the account's own."""
        return [*self.catalog.values(), *self._own(account_id)]

    def create_tool(self, account_id: str, tool: Tool) -> None:
        """Raises WriteConflict where the id is taken."""
        self.table.create(
            {
                "pk": f"ACCOUNT#{account_id}",
                "sk": f"TOOL#{tool.tool_id}",
                "entity": "TOOL",
                **self.documents.pack(f"tools/{account_id}", {"definition": tool.document}),
            }
        )

    def _own(self, account_id: str) -> list[Tool]:
        return [self._to_tool(row) for row in self.table.query(f"ACCOUNT#{account_id}", "TOOL#")]

    def _to_tool(self, row: Row) -> Tool:
        return parse_tool(self.documents.unpack(row, "definition"))
