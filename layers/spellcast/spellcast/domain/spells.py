"""Spells: an ordered list of steps, in versions that never change."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from spellcast.domain.documents import Document
from spellcast.domain.tools import DEFAULT_VERSION

Visibility = Literal["private", "listed", "public"]


@dataclass(frozen=True, slots=True)
class Step:
    """One use of a tool. `node_id` is the canvas node that namespaces its outputs; command-shaped steps have none.

    `fallback_tool` names the tool that is asked where the step's own certainly began nothing.
    """

    step_id: str
    node_id: str | None
    tool_identifier: str
    tool_version: str
    parameter_mappings: Document
    parameter_overrides: Document
    output_mappings: Document
    fallback_tool: str | None = None

    @classmethod
    def parse(cls, document: Document, position: int) -> Step:
        """Reads both step shapes of original-system.md §1.1."""
        node_id = document.get("id")
        return cls(
            step_id=str(node_id or document.get("stepId") or position + 1),
            node_id=str(node_id) if node_id else None,
            tool_identifier=document["toolIdentifier"],
            tool_version=document.get("toolVersion") or DEFAULT_VERSION,
            parameter_mappings=document.get("parameterMappings") or {},
            parameter_overrides=document.get("parameterOverrides") or {},
            output_mappings=document.get("outputMappings") or {},
            fallback_tool=document.get("fallbackTool") or None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SpellVersion:
    """What a cast runs; `content` holds description, steps, exposedInputs, connections and tags as they were given."""

    spell_id: str
    version: int
    name: str
    content: Document
    created_at: datetime

    @property
    def steps(self) -> list[Step]:
        """The steps in the order of their execution."""
        return [Step.parse(document, position) for position, document in enumerate(self.content["steps"])]

    @property
    def exposed(self) -> dict[tuple[str, str], Any]:
        """The (node id, parameter) pairs that the caster may set (contract §3 row 1), with the author's defaults."""
        exposed = self.content.get("exposedInputs") or []
        return {(str(item["nodeId"]), item["paramKey"]): item.get("defaultValue") for item in exposed}


@dataclass(frozen=True, slots=True)
class Permission:
    """What lets an account use a listed spell of another."""

    spell_id: str
    account_id: str
    granted_by: str
    granted_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Spell:
    """The head of a spell's versions: who owns it, how it is called, which version is the latest."""

    spell_id: str
    account_id: str
    slug: str
    name: str
    visibility: Visibility
    version: int
    created_at: datetime
    updated_at: datetime
    usage_count: int = field(default=0)

    def may_be_cast_by(self, account_id: str, *, granted: bool = False) -> bool:
        """The owner always, anyone where the spell is public, and while it is listed those to whom it was granted."""
        if account_id == self.account_id or self.visibility == "public":
            return True
        return self.visibility == "listed" and granted

    def changed(self, *, name: str, visibility: Visibility, now: datetime) -> Spell:
        """The head of the next version."""
        return replace(self, name=name, visibility=visibility, version=self.version + 1, updated_at=now)

    def with_slug(self, slug: str) -> Spell:
        """The same spell under another slug, for when the first choice is taken."""
        return replace(self, slug=slug)
