"""Adds a tool of the account's own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault, InvalidInput, ToolExists, WriteConflict
from spellcast.domain.tools import Tool, parse_tool
from spellcast.ports.store import ToolStore


@dataclass(frozen=True, slots=True)
class CreateTool:
    """A tool's id is its name for good: it is not replaced, and no account can hide a built-in tool."""

    tools: ToolStore
    services: Collection[str]

    def __call__(self, account_id: str, definition: Document) -> Tool:
        """The tool. Raises InvalidInput for an unknown service, ToolExists where the id or display name is taken."""
        tool = parse_tool(definition)
        if tool.service not in self.services:
            raise InvalidInput([Fault("service", f"there is none of this name; there are {', '.join(self.services)}")])
        for name in (tool.tool_id, tool.display_name):
            if self.tools.get_tool(account_id, name) is not None:
                raise ToolExists(f"There is a tool {name!r} already.")
        try:
            self.tools.create_tool(account_id, tool)
        except WriteConflict as error:
            raise ToolExists(f"There is a tool {tool.tool_id!r} already.") from error
        return tool
