"""The service `string`: joining and replacing text, without a provider (original-system.md §6.1)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from spellcast.adapters.capabilities import ImmediateOnly
from spellcast.domain.documents import Document, is_blank, to_text
from spellcast.domain.errors import InvalidStepInput
from spellcast.domain.results import ToolResult, succeeded
from spellcast.ports.adapter import ProviderConfig, Request

if TYPE_CHECKING:
    import httpx

MAX_TEXT_BYTES = 200_000


def build(config: ProviderConfig, client: Callable[[], httpx.Client], allow_loopback: bool) -> StringAdapter:
    """The registry's way in."""
    return StringAdapter()


class StringAdapter(ImmediateOnly):
    """Pure text operations."""

    def is_repeatable(self, request: Request) -> bool:
        """Always: it spends nothing and changes nothing."""
        return True

    def execute(self, request: Request) -> ToolResult:
        """Runs `operation`, concat by default."""
        inputs = request.inputs
        operation = inputs.get("operation")
        match "concat" if is_blank(operation) else operation:
            case "concat":
                text = _concat(inputs)
            case "replace":
                text = _replace(inputs)
            case unknown:
                raise InvalidStepInput(f"Unsupported operation: {str(unknown)[:80]}")
        if len(text.encode()) > MAX_TEXT_BYTES:
            raise InvalidStepInput(f"The text would be longer than {MAX_TEXT_BYTES} bytes")
        return succeeded("text", {"text": text})


def _concat(inputs: Document) -> str:
    return _required(inputs, "inputText") + _plain_text(inputs.get("appendText"))


def _replace(inputs: Document) -> str:
    """Literal, everywhere, whatever the case."""
    text = _required(inputs, "inputText")
    search = _required(inputs, "searchText").strip()
    replacement = _plain_text(inputs.get("replacementText"))
    pattern = re.compile(re.escape(search), re.IGNORECASE)
    # The result's length is known before it is built: a short search in a long text could multiply it.
    growth = len(pattern.findall(text)) * (len(replacement) - len(search))
    if len(text) + growth > MAX_TEXT_BYTES:
        raise InvalidStepInput(f"The text would be longer than {MAX_TEXT_BYTES} bytes")
    return pattern.sub(lambda _: replacement, text)


def _required(inputs: Document, key: str) -> str:
    text = _plain_text(inputs.get(key))
    if is_blank(text):
        raise InvalidStepInput(f"{key} is required and must not be empty")
    return text


def _plain_text(value: object) -> str:
    """A step's whole output stands for its text; other values for their JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        data = value.get("data")
        for candidate in (
            data.get("text") if isinstance(data, dict) else None,
            value.get("text"),
            value.get("result"),
        ):
            if isinstance(candidate, str):
                return candidate
    return to_text(value)
