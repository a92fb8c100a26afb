"""Says what is wrong with a spell before it is saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spellcast.application.find_tools import FindTools
from spellcast.domain import linter
from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault, InvalidInput


@dataclass(frozen=True, slots=True)
class LintSpell:
    """Faults refuse a spell, warnings come with it."""

    find_tools: FindTools

    def __call__(self, account_id: str, content: Document) -> Sequence[Fault]:
        """The warnings. Raises InvalidInput with every fault."""
        if faults := self.find_faults(account_id, content):
            raise InvalidInput(faults)
        return linter.find_warnings(content, self.find_tools.known(account_id, linter.tool_identifiers(content)))

    def find_faults(self, account_id: str, content: Document) -> list[Fault]:
        """What is wrong with a spell whose shape may be wrong besides."""
        return linter.find_faults(content, self.find_tools.known(account_id, linter.tool_identifiers(content)))
