"""Adds a tool of the account's own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault, InvalidInput, ToolExists, WriteConflict
from spellcast.domain.tool_definitions import find_tool_faults
from spellcast.domain.tools import Tool, parse_tool
from spellcast.ports.store import ToolStore


@dataclass(frozen=True, slots=True)
class CreateTool:
    """A living tool is not replaced, and no account can hide a built-in tool. `services` have their delivery modes."""

    tools: ToolStore
    services: Mapping[str, Collection[str]]

    def __call__(self, account_id: str, definition: Document) -> Tool:
        """The tool. Raises InvalidInput with every fault, ToolExists where the id or display name is taken."""
        if faults := self.find_faults(definition):
            raise InvalidInput(faults)
        tool = parse_tool(definition, is_own=True)
        for name in (tool.tool_id, tool.display_name):
            if self.tools.get_tool(account_id, name) is not None:
                raise ToolExists(f"There is a tool {name!r} already.")
        try:
            self.tools.create_tool(account_id, tool)
        except WriteConflict as error:
            raise ToolExists(f"There is a tool {tool.tool_id!r} already.") from error
        return tool

    def find_faults(self, definition: Document) -> list[Fault]:
        """What is wrong with a definition whose shape may be wrong besides."""
        return find_tool_faults(definition, self.services)
