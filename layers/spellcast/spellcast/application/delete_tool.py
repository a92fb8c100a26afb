"""Takes a tool of the account's own out of use; jobs that run with it are looked after to their end."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.domain.errors import ToolNotFound
from spellcast.ports.store import ToolStore


@dataclass(frozen=True, slots=True)
class DeleteTool:
    """Only its owner's to delete, by its id; no account deletes a built-in tool."""

    tools: ToolStore

    def __call__(self, account_id: str, tool_id: str) -> None:
        """Raises ToolNotFound, also where it is deleted already."""
        if not self.tools.delete_tool(account_id, tool_id):
            raise ToolNotFound(f"There is no tool {tool_id!r} of your own.")
