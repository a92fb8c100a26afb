"""Says what a spell will probably cost and take; nothing is written."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.application.find_spells import FindSpells
from spellcast.application.find_tools import FindTools
from spellcast.domain.documents import Document
from spellcast.domain.parameters import caster_inputs, resolve
from spellcast.domain.pricing import PricingPolicy
from spellcast.domain.quotes import Quote, quote_step
from spellcast.ports.store import HistoryStore, SettingsStore


@dataclass(frozen=True, slots=True)
class QuoteSpell:
    """Of the latest version, with its author's static values, the caster's settings and what the caster would send."""

    find_spells: FindSpells
    find_tools: FindTools
    history: HistoryStore
    pricing: PricingPolicy
    settings: SettingsStore

    def __call__(self, account_id: str, reference: str, inputs: Document) -> Quote:
        """Raises SpellNotFound, and InvalidInput where a step's tool is gone."""
        version = self.find_spells.version(self.find_spells.get(account_id, reference))
        tools = self.find_tools.of_version(account_id, version)
        runs = self.history.list_runs(account_id, {tool.tool_id for tool in tools})
        own_defaults = self.settings.get_settings(account_id).tools
        # What earlier steps will put out is not known: the wires that lead to them have no value yet.
        context = caster_inputs(inputs)
        return Quote(
            [
                quote_step(
                    position,
                    tool,
                    resolve(step, tool, context, context, version.exposed, own_defaults.get(tool.tool_id)),
                    runs.get(tool.tool_id, []),
                    self.pricing,
                )
                for position, (step, tool) in enumerate(zip(version.steps, tools, strict=True))
            ]
        )
