"""An account's settings: its own defaults of tools' inputs, below every input and above the tool's (contract §4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from spellcast.domain import money
from spellcast.domain.documents import Document, is_blank, to_text
from spellcast.domain.errors import Fault
from spellcast.domain.tools import Tool

MAX_SETTINGS_BYTES = 100_000


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """`tools` are the account's own defaults by tool id and input; the budget, in US dollars, is of a day (UTC)."""

    tools: Document = field(default_factory=dict)
    daily_budget_usd: Decimal | None = None

    def document(self) -> Document:
        """As the API shows it."""
        daily = self.daily_budget_usd
        return {"tools": self.tools, **({} if daily is None else {"dailyBudgetUsd": money.to_text(daily)})}


def parse_settings(document: Document) -> AccountSettings:
    """The inverse, of a document that has the right shape."""
    daily = document.get("dailyBudgetUsd")
    return AccountSettings(document["tools"], None if daily is None else Decimal(daily))


def find_setting_faults(settings: Document, tools: Mapping[str, Tool]) -> list[Fault]:
    """Everything that no cast could use in `{tools: {toolId: {param: value}}}`; `tools` are the known ones by id.

    Parts whose shape is wrong are passed over: whoever checks shapes names them.
    """
    size = len(to_text(settings).encode())
    if size > MAX_SETTINGS_BYTES:
        return [Fault("tools", f"settings have at most {MAX_SETTINGS_BYTES} bytes, these have {size}")]
    by_tool = settings.get("tools")
    faults: list[Fault] = []
    for tool_id, values in by_tool.items() if isinstance(by_tool, dict) else ():
        tool = tools.get(tool_id)
        if tool is None:
            faults.append(Fault(f"tools.{tool_id}", "there is no tool of this id"))
        elif isinstance(values, dict):
            found = {key: _reason(tool, key, value) for key, value in values.items()}
            faults.extend(Fault(f"tools.{tool_id}.{key}", reason) for key, reason in found.items() if reason)
    return faults


def _reason(tool: Tool, key: str, value: object) -> str | None:
    if key not in tool.inputs:
        return f"{tool.display_name} has no such input"
    if is_blank(value):
        return "a blank value sets nothing: leave it out"
    return tool.inputs[key].refusal_of(value)
