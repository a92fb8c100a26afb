"""Says what is wrong with a spell before it is saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spellcast.application.find_tools import FindTools
from spellcast.domain import linter
from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault, InvalidInput
from spellcast.domain.spells import Visibility
from spellcast.domain.tools import Tool


@dataclass(frozen=True, slots=True)
class LintSpell:
    """Faults refuse a spell, warnings come with it."""

    find_tools: FindTools

    def __call__(self, account_id: str, content: Document, visibility: Visibility = "private") -> Sequence[Fault]:
        """The warnings. Raises InvalidInput with every fault."""
        tools = self._tools(account_id, content)
        if faults := linter.find_faults(content, tools):
            raise InvalidInput(faults)
        warnings = linter.find_warnings(content, tools)
        return warnings if visibility == "private" else [*warnings, *linter.find_own_tools(content, tools)]

    def find_faults(self, account_id: str, content: Document) -> list[Fault]:
        """What is wrong with a spell whose shape may be wrong besides."""
        return linter.find_faults(content, self._tools(account_id, content))

    def _tools(self, account_id: str, content: Document) -> dict[str, Tool]:
        return self.find_tools.known(account_id, linter.tool_identifiers(content))
