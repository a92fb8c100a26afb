"""Finds tools: the catalog's, and the account's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from spellcast.domain.errors import Fault, InvalidInput, ToolNotFound
from spellcast.domain.spells import SpellVersion
from spellcast.domain.tools import Tool, unknown_tool
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

    def of_version(self, account_id: str, version: SpellVersion) -> Sequence[Tool]:
        """The steps' tools, in their order. Raises InvalidInput naming every step whose tool is gone."""
        identifiers = [step.tool_identifier for step in version.steps]
        tools = self.known(account_id, identifiers)
        faults = [
            Fault(f"spell.steps[{position}].toolIdentifier", f"there is no tool {identifier!r} any more")
            for position, identifier in enumerate(identifiers)
            if identifier not in tools
        ]
        if faults:
            raise InvalidInput(faults)
        return [tools[identifier] for identifier in identifiers]

    def of_running(self, account_id: str, version: SpellVersion) -> Sequence[Tool]:
        """The tools of a cast that runs: where one was deleted since, its step says so when its turn comes."""
        identifiers = [step.tool_identifier for step in version.steps]
        tools = self.known(account_id, identifiers)
        return [tools.get(identifier) or unknown_tool(identifier) for identifier in identifiers]
