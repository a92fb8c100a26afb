"""Saves an account's settings; casts that run go on with those that they were started with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spellcast.domain.account_settings import find_setting_faults, parse_settings
from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault, InvalidInput
from spellcast.ports.store import SettingsStore, ToolStore


@dataclass(frozen=True, slots=True)
class SaveSettings:
    """The whole takes the place of what was set before."""

    settings: SettingsStore
    tools: ToolStore

    def __call__(self, account_id: str, settings: Document) -> Document:
        """The settings as they are kept. Raises InvalidInput with every fault."""
        if faults := self.find_faults(account_id, settings):
            raise InvalidInput(faults)
        saved = parse_settings(settings)
        self.settings.put_settings(account_id, saved)
        return saved.document()

    def find_faults(self, account_id: str, settings: Document) -> Sequence[Fault]:
        """What is wrong with settings whose shape may be wrong besides."""
        return find_setting_faults(settings, {tool.tool_id: tool for tool in self.tools.list_tools(account_id)})
