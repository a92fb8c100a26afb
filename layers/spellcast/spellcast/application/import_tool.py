"""Adds a tool of the account's own, made of what a provider describes a model by."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.application.create_tool import CreateTool
from spellcast.domain import tool_imports
from spellcast.domain.documents import Document
from spellcast.domain.tools import Tool


@dataclass(frozen=True, slots=True)
class ImportTool:
    """The document comes with the order; nothing is fetched."""

    create_tool: CreateTool

    def __call__(self, account_id: str, order: Document) -> Tool:
        """The tool. Raises InvalidInput with every fault, ToolExists where the id or display name is taken."""
        return self.create_tool(account_id, tool_imports.import_tool(order))
