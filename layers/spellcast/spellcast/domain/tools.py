"""Tools: definitions of what a step can use (original-system.md §6.3)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from spellcast.domain.costing import Costing, parse_costing
from spellcast.domain.documents import Document, is_among

DeliveryMode = Literal["immediate", "async", "webhook"]

# What a step was composed with, and a tool is, where neither says so (original-system.md §2.8).
DEFAULT_VERSION = "1.0.0"
IMMEDIATE_DEADLINE_SECONDS = 60
JOB_DEADLINE_SECONDS = 15 * 60


@dataclass(frozen=True, slots=True)
class VisibleIf:
    """A field is part of the form only while another field has one of these values."""

    field: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class InputField:
    """One key of a tool's input schema; required unless the definition says otherwise."""

    key: str
    type: str
    required: bool
    has_default: bool
    default: Any = None
    enum: tuple[Any, ...] = ()
    visible_if: VisibleIf | None = None

    @property
    def is_media(self) -> bool:
        """Whether the field takes the address of a picture or a file."""
        return self.type in ("image", "video", "audio", "file")

    def refusal_of(self, value: Any) -> str | None:
        """Why the field cannot take this value, or None. A text that reads as a number is one, as chats send them."""
        if self.enum and not is_among(value, self.enum):
            return f"is none of {', '.join(map(str, self.enum))}"
        match self.type:
            case "number" if not _is_number(value):
                return "is not a number"
            case "integer" if not _is_number(value) or float(value) % 1:
                return "is not a whole number"
            case "boolean" if not isinstance(value, bool):
                return "is neither true nor false"
            case "object" if not isinstance(value, dict):
                return "is not an object"
        return None


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool, read from its definition; `document` is the definition as it was given."""

    tool_id: str
    service: str
    display_name: str
    delivery_mode: DeliveryMode
    deadline_seconds: int
    inputs: Mapping[str, InputField]
    costing: Costing | None
    primary_input: str | None
    version: str
    metadata: Document
    document: Document
    is_own: bool = False

    @property
    def is_immediate(self) -> bool:
        """Whether the tool answers at once, so that no job has to be awaited."""
        return self.delivery_mode == "immediate"

    @property
    def is_free(self) -> bool:
        """Whether a run is known to cost nothing."""
        return self.costing is None or self.costing.is_nothing


def parse_tool(document: Document, *, is_own: bool = False) -> Tool:
    """Reads a definition whose shape has been checked (by the API's body model, or by the catalog's test)."""
    delivery_mode: DeliveryMode = document.get("deliveryMode", "immediate")
    default_deadline = IMMEDIATE_DEADLINE_SECONDS if delivery_mode == "immediate" else JOB_DEADLINE_SECONDS
    return Tool(
        tool_id=document["toolId"],
        service=document["service"],
        display_name=document["displayName"],
        delivery_mode=delivery_mode,
        deadline_seconds=document.get("deadlineSeconds") or default_deadline,
        inputs={key: _parse_input(key, field) for key, field in document.get("inputSchema", {}).items()},
        costing=parse_costing(document.get("costingModel"), document.get("metadata") or {}),
        primary_input=(document.get("platformHints") or {}).get("primaryInput"),
        version=document.get("version") or DEFAULT_VERSION,
        metadata=document.get("metadata") or {},
        document=document,
        is_own=is_own,
    )


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    try:
        return math.isfinite(float(value))
    except (ValueError, OverflowError):
        return False


def unknown_tool(identifier: str) -> Tool:
    """What stands in the record of a step whose tool is gone."""
    return parse_tool({"toolId": identifier, "service": "unknown", "displayName": identifier})


def _parse_input(key: str, field: Document) -> InputField:
    return InputField(
        key=key,
        type=str(field.get("type", "string")),
        required=field.get("required", True),
        has_default=field.get("default") is not None,
        default=field.get("default"),
        enum=tuple(field.get("enum") or ()),
        visible_if=VisibleIf(rule["field"], tuple(rule["values"])) if (rule := field.get("visibleIf")) else None,
    )
