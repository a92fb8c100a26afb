"""Records of every shape that the store must give back as it got them: examples, and Hypothesis's strategies."""

from __future__ import annotations

import uuid
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from spellcast.domain.budgets import DailyBudget, Reservation
from spellcast.domain.casts import Cast, CastFailure, Closing, Delivery
from spellcast.domain.generations import Generation
from spellcast.domain.history import SLOTS, Run
from spellcast.domain.results import Failure, ToolResult, Usage
from spellcast.domain.spells import Spell, SpellVersion
from spellcast.domain.tools import Tool, parse_tool

NOW = datetime(2026, 1, 31, 12, 0, 0, 123_000, tzinfo=UTC)

# Records are drawn under ids of their own, so one store serves all examples.
drawn = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def new_id() -> str:
    """An id that no other test has."""
    return uuid.uuid4().hex


def make_cast(**changes: Any) -> Cast:
    """A running cast of alice's."""
    cast = Cast(
        cast_id=new_id(),
        account_id="alice",
        spell_id="spell",
        spell_slug="a-cat",
        spell_name="A cat",
        version=1,
        inputs={},
        step_count=1,
        started_at=NOW,
        deadline_at=NOW + timedelta(minutes=20),
        updated_at=NOW,
        request_fingerprint="f",
    )
    return replace(cast, **changes)


def make_generation(cast_id: str, step_index: int = 0, attempt: int = 1, **changes: Any) -> Generation:
    """A pending generation of alice's."""
    generation = Generation(
        cast_id=cast_id,
        account_id="alice",
        spell_id="spell",
        step_index=step_index,
        step_id=f"n{step_index}",
        attempt=attempt,
        tool_id="tool",
        tool_display_name="Tool",
        service_name="service",
        delivery_mode="async",
        status="pending",
        revision=1,
        request_payload={"prompt": "a cat"},
        request_timestamp=NOW,
        deadline_at=NOW + timedelta(minutes=15),
    )
    return replace(generation, **changes)


def make_spell(slug: str = "a-cat", **changes: Any) -> tuple[Spell, SpellVersion]:
    """A spell of alice's and its first version."""
    spell = Spell(
        spell_id=new_id(),
        account_id="alice",
        slug=slug,
        name="A cat",
        visibility="private",
        version=1,
        created_at=NOW,
        updated_at=NOW,
    )
    spell = replace(spell, **changes)
    content = {"steps": [{"id": "n0", "toolIdentifier": "tool"}], "description": ""}
    return spell, SpellVersion(spell_id=spell.spell_id, version=1, name=spell.name, content=content, created_at=NOW)


def make_own_tool(tool_id: str, display_name: str | None = None, **more: Any) -> Tool:
    """A tool as an account defines it."""
    return parse_tool(
        {"toolId": tool_id, "service": "http", "displayName": display_name or tool_id.title(), **more}, is_own=True
    )


def a_run(tool_id: str, slot: int = 0, **changes: Any) -> Run:
    """A completed run of a tool."""
    return replace(Run(tool_id, slot, Decimal("0.0000004"), 1_234, NOW), **changes)


# --- strategies ---

texts = st.text(max_size=12)
ids = st.uuids(version=4).map(lambda drawn: drawn.hex)
# The clock gives milliseconds, and records keep them.
moments = st.datetimes(min_value=datetime(2001, 1, 1), max_value=datetime(2199, 12, 31), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)
amounts = st.one_of(
    st.decimals(min_value=0, max_value=10**12, places=12),
    st.decimals(min_value=0, max_value=100, places=6),
    st.sampled_from([Decimal(0), Decimal("1E-12"), Decimal("1.50"), Decimal("1E+3"), Decimal(10) ** 37 - 1]),
)
counts = st.integers(0, 10**9)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
documents = st.dictionaries(texts, json_values, max_size=4)
failures = st.builds(Failure, texts, texts, st.booleans())
cast_failures = st.builds(
    CastFailure, texts, texts, st.none() | st.integers(0, 49), st.none() | texts, st.none() | texts
)
deliveries = st.builds(Delivery, st.sampled_from(["sent", "failed"]), st.integers(1, 10**6), moments, st.none() | texts)
# Progress is told and never stored: a stored result is final.
results = st.builds(
    ToolResult,
    status=st.sampled_from(["succeeded", "failed"]),
    payload=st.lists(documents, max_size=3).map(tuple),
    cost_usd=st.none() | amounts,
    duration_ms=st.none() | counts,
    failure=st.none() | failures,
    usage=st.none() | st.builds(Usage, counts, counts),
)

days = st.dates().map(lambda day: day.isoformat())

_CAST: dict[str, st.SearchStrategy[Any]] = {
    "cast_id": ids,
    "account_id": texts,
    "spell_id": ids,
    "spell_slug": texts,
    "spell_name": texts,
    "version": st.integers(1, 10**6),
    "inputs": documents,
    "step_count": st.integers(1, 50),
    "execution": st.integers(1, 50),
    "attempt": st.integers(1, 50),
    "first_step": st.integers(0, 50),
    "resumed_at": st.none() | moments,
    "resumed_by": st.none() | texts,
    "overrides": st.dictionaries(texts, documents, max_size=2),
    "started_at": moments,
    "deadline_at": moments,
    "updated_at": moments,
    "request_fingerprint": texts,
    "status": st.sampled_from(["running", "completed", "failed", "cancelled"]),
    "revision": st.integers(1, 10**6),
    "metadata": documents,
    "settings": st.dictionaries(texts, documents, max_size=2),
    "budget_usd": st.none() | amounts,
    "webhook_url": st.none() | texts,
    "webhook_secret": st.none() | texts,
    "cost_usd": amounts,
    "points_spent": counts,
    "outputs": st.none() | documents | st.lists(documents, max_size=3),
    "step_generation_ids": st.lists(texts, max_size=4).map(tuple),
    "completed_at": st.none() | moments,
    "failed_at": st.none() | moments,
    "cancel_requested_at": st.none() | moments,
    "cancelled_at": st.none() | moments,
    "failure": st.none() | cast_failures,
    "delivery": st.none() | deliveries,
    # Says what was not read, and is not written.
    "unread": st.just({}),
    "daily_budget": st.none() | st.builds(DailyBudget, days, amounts),
    "creator_id": st.none() | texts,
    "closings": st.lists(
        st.builds(Closing, st.integers(1, 50), st.lists(texts, max_size=2).map(tuple)), max_size=2
    ).map(tuple),
}
_GENERATION: dict[str, st.SearchStrategy[Any]] = {
    "cast_id": ids,
    "account_id": texts,
    "spell_id": ids,
    "step_index": st.integers(0, 9999),
    "step_id": texts,
    "attempt": st.integers(1, 9999),
    "tool_id": texts,
    "tool_display_name": texts,
    "service_name": texts,
    "delivery_mode": st.sampled_from(["immediate", "async", "webhook"]),
    "status": st.sampled_from(["pending", "processing", "completed", "failed", "cancelled", "skipped"]),
    "revision": st.integers(1, 10**6),
    "request_payload": documents,
    "request_timestamp": moments,
    "deadline_at": moments,
    "task_token": st.none() | st.text(max_size=2048),
    "run_id": st.none() | texts,
    "result": st.none() | results,
    "received_at": st.none() | moments,
    "cost_usd": amounts,
    "points_spent": counts,
    "failure": st.none() | failures,
    "response_timestamp": st.none() | moments,
    "duration_ms": st.none() | counts,
    "billed_late": st.booleans(),
    "collection": documents,
    "slots": st.lists(texts, max_size=2).map(tuple),
    "fallback_from": documents,
    "unread": st.just({}),
    "execution": st.integers(1, 50),
    "reservation": st.none() | st.builds(Reservation, days, amounts),
    "billed_at": st.none() | moments,
}
_SPELL: dict[str, st.SearchStrategy[Any]] = {
    "spell_id": ids,
    "account_id": texts,
    "slug": ids,
    "name": texts,
    "visibility": st.sampled_from(["private", "listed", "public"]),
    "version": st.integers(1, 10**6),
    "created_at": moments,
    "updated_at": moments,
    "usage_count": counts,
}
_VERSION: dict[str, st.SearchStrategy[Any]] = {
    "spell_id": st.just(""),
    "version": st.integers(1, 10**8 - 1),
    "name": texts,
    "content": st.builds(
        lambda more, steps: {**more, "steps": steps}, documents, st.lists(documents, min_size=1, max_size=3)
    ),
    "created_at": moments,
}


def unlisted_fields() -> dict[str, set[str]]:
    """Fields of a record for which no strategy draws a value: a new field must be added to the tables above."""
    tables = {Cast: _CAST, Generation: _GENERATION, Spell: _SPELL, SpellVersion: _VERSION}
    missing = {kind.__name__: {item.name for item in fields(kind)} ^ table.keys() for kind, table in tables.items()}
    return {name: names for name, names in missing.items() if names}


casts = st.builds(Cast, **_CAST)
runs = st.builds(Run, st.just("built-in"), st.integers(0, SLOTS - 1), amounts, counts, moments)
generations = st.builds(Generation, **_GENERATION)
spells = st.builds(Spell, **_SPELL)
versions = st.builds(SpellVersion, **_VERSION)
tools = st.builds(
    lambda tool_id, display_name, rate, fields, metadata, mode, deadline: parse_tool(
        {
            "toolId": tool_id,
            "service": "http",
            "displayName": display_name,
            "deliveryMode": mode,
            "deadlineSeconds": deadline,
            "inputSchema": fields,
            "costingModel": {"rateSource": "machine", "rate": str(rate), "unit": "second"},
            "metadata": metadata,
        },
        is_own=True,
    ),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,30}", fullmatch=True),
    texts,
    amounts,
    st.dictionaries(
        texts,
        st.fixed_dictionaries(
            {"type": texts, "required": st.booleans()},
            optional={"default": json_values, "enum": st.none() | st.lists(json_values, max_size=2)},
        ),
        max_size=3,
    ),
    documents,
    st.sampled_from(["immediate", "async", "webhook"]),
    st.none() | st.integers(1, 86_400),
)
