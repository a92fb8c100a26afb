"""Finds tools: the catalog's, and the account's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from spellcast.domain.errors import ToolNotFound
from spellcast.domain.tools import Tool
from spellcast.ports.store import ToolStore


@dataclass(frozen=True, slots=True)
class FindTools:
    """A step names its tool by id or by display name, as in the original."""

    tools: ToolStore

    def get(self, account_id: str, identifier: str) -> Tool:
        """Raises ToolNotFound."""
        tool = self.tools.get_tool(account_id, identifier)
        if tool is None:
            raise ToolNotFound(f"There is no tool {identifier!r}.")
        return tool

    def list(self, account_id: str) -> list[Tool]:
        """All that the account can use."""
        return self.tools.list_tools(account_id)

    def known(self, account_id: str, identifiers: Iterable[str]) -> dict[str, Tool]:
        """The tools that exist, by the identifiers that were asked for."""
        found = {identifier: self.tools.get_tool(account_id, identifier) for identifier in set(identifiers)}
        return {identifier: tool for identifier, tool in found.items() if tool is not None}
