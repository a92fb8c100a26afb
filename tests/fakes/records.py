"""Records for tests that look at one rule: complete, and different only in what the test names."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from spellcast.domain import results
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.generations import Generation
from spellcast.domain.results import ToolResult
from spellcast.domain.spells import Step
from tests.fakes.clock import START

GENERATION_ID = "c1.0.1"


def a_step(**document: Any) -> Step:
    """The canvas step `n1`; `id=None` makes it a command-shaped one."""
    content = {"id": "n1", "toolIdentifier": "tool", **document}
    return Step.parse({key: value for key, value in content.items() if value is not None}, 0)


def a_generation(**changes: Any) -> Generation:
    """The first attempt at the first step of the cast `c1`: a polled job that is reserved."""
    values: dict[str, Any] = {
        "cast_id": "c1",
        "account_id": "alice",
        "spell_id": "s1",
        "step_index": 0,
        "step_id": "n1",
        "attempt": 1,
        "tool_id": "tool",
        "tool_display_name": "Tool",
        "service_name": "fake",
        "delivery_mode": "async",
        "status": "pending",
        "revision": 1,
        "request_payload": {"prompt": "a cat"},
        "request_timestamp": START,
        "deadline_at": START + timedelta(minutes=15),
        **changes,
    }
    return Generation(**values)


def a_cast(**changes: Any) -> Cast:
    """A running cast of one step, whose caster wants to be called."""
    values: dict[str, Any] = {
        "cast_id": "c1",
        "account_id": "alice",
        "spell_id": "s1",
        "spell_slug": "a-spell",
        "spell_name": "A spell",
        "version": 1,
        "inputs": {"prompt": "a cat"},
        "step_count": 1,
        "started_at": START,
        "updated_at": START,
        "deadline_at": START + timedelta(minutes=20),
        "request_fingerprint": "f",
        "webhook_url": "https://me.example/hook",
        "webhook_secret": "s3cr3t",
        **changes,
    }
    return Cast(**values)


def text_result(text: str = "done", **more: Any) -> ToolResult:
    """A succeeded run with one text."""
    return results.succeeded("text", {"text": text}, **more)


def in_seconds(seconds: float, start: datetime = START) -> datetime:
    """So many seconds after the clock's start."""
    return start + timedelta(seconds=seconds)


def tool_document(schema: Document | None = None, **more: Any) -> Document:
    """A tool's definition with this input schema."""
    return {"toolId": "tool", "service": "fake", "displayName": "Tool", "inputSchema": schema or {}, **more}
