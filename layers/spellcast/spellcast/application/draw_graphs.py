"""Gathers what a picture of a spell or a cast shows; those of other accounts do not exist."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.application.find_casts import FindCasts
from spellcast.application.find_spells import FindSpells
from spellcast.application.find_tools import FindTools
from spellcast.domain.graphs import Graph, Timeline, cast_graph, cast_timeline, spell_graph
from spellcast.domain.spells import SpellVersion
from spellcast.ports.clock import Clock
from spellcast.ports.store import SpellStore


@dataclass(frozen=True, slots=True)
class DrawGraphs:
    """Nothing is written."""

    find_spells: FindSpells
    find_casts: FindCasts
    find_tools: FindTools
    spells: SpellStore
    clock: Clock

    def of_spell(self, account_id: str, reference: str, number: int | None) -> Graph:
        """A version of the spell, the latest where none is named. Raises SpellNotFound, SpellAmbiguous."""
        version = self.find_spells.version(self.find_spells.get(account_id, reference), number)
        return spell_graph(version, self._names(account_id, version))

    def of_cast(self, account_id: str, cast_id: str) -> Graph:
        """The steps of the version that was cast, and what became of them. Raises CastNotFound."""
        cast, generations = self.find_casts.load(account_id, cast_id, whole=False)
        version = self.spells.get_version(cast.spell_id, cast.version)
        return cast_graph(cast, version, generations, self._names(account_id, version) if version else {})

    def timeline(self, account_id: str, cast_id: str) -> Timeline:
        """When every attempt waited, ran and was processed. Raises CastNotFound."""
        cast, generations = self.find_casts.load(account_id, cast_id, whole=False)
        return cast_timeline(cast, generations, self.clock.now())

    def _names(self, account_id: str, version: SpellVersion) -> dict[str, str]:
        tools = self.find_tools.known(account_id, (step.tool_identifier for step in version.steps))
        return {identifier: tool.display_name for identifier, tool in tools.items()}
