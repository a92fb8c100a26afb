"""The shapes of answers, for the OpenAPI document; a test holds them against what the routes answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Truncated = Annotated[
    bool | None,
    Field(
        description="It came without some or all of its documents (inputs, payloads, outputs, metadata), which are too "
        "large for where it stands. Asked for by its own id it has them."
    ),
]
WholeUrl = Annotated[
    str | None,
    Field(
        description="Where even that is over 6 MB: a link to all of the answer as JSON, good for 12 hours. Beside "
        "`truncated`, and only where the one record was asked for."
    ),
]


class Answer(BaseModel):
    """The common rules of all answers."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")


class FaultAnswer(Answer):
    """One fault, and where it stands."""

    path: str
    message: str


class ErrorDetail(Answer):
    """`code` is for programs, `message` for people, `details` names every fault of a body."""

    code: str
    message: str
    details: list[FaultAnswer] | None = None


class ErrorAnswer(Answer):
    """What every refusal looks like."""

    error: ErrorDetail


class SpellAnswer(Answer):
    """A spell, in lists without what its versions hold."""

    spell_id: str
    slug: str
    public_slug: str | None = None
    name: str
    version: int
    visibility: str
    owned_by: str
    usage_count: int
    created_at: str
    updated_at: str
    description: str | None = None
    steps: list[dict[str, Any]] | None = None
    exposed_inputs: list[dict[str, Any]] | None = None
    connections: list[dict[str, Any]] | None = None
    tags: list[str] | None = None
    warnings: list[FaultAnswer] | None = None


class LintAnswer(Answer):
    """What will probably not do what the spell's author meant."""

    warnings: list[FaultAnswer]


class SpellsAnswer(Answer):
    """A part of the account's spells."""

    spells: list[SpellAnswer]
    cursor: str | None = None


class StepQuoteAnswer(Answer):
    """One step; `basis` says what its cost rests on: earlier runs, the tool's definition, or what is usual."""

    step_index: int
    tool_id: str
    cost_usd: str
    points: int
    runtime_ms: int
    basis: Literal["history", "model", "default"]


class QuoteAnswer(Answer):
    """What a cast of the spell will probably cost and take."""

    total_cost_usd: str
    total_points: int
    total_runtime_ms: int
    breakdown: list[StepQuoteAnswer]


class PermissionAnswer(Answer):
    """An account that may use the spell while it is listed."""

    account_id: str
    granted_by: str
    granted_at: str


class PermissionsAnswer(Answer):
    """All accounts to which the spell is granted."""

    permissions: list[PermissionAnswer]


class StepFailureAnswer(Answer):
    """Why a generation failed."""

    code: str
    message: str
    retryable: bool


class GenerationMetadata(BaseModel):
    """The original's keys, assembled on read."""

    model_config = ConfigDict(alias_generator=to_camel, extra="allow")

    is_spell: bool
    cast_id: str
    step_index: int


class GenerationAnswer(Answer):
    """The record of one attempt at one step."""

    generation_id: str
    cast_id: str
    spell_id: str
    step_index: int
    step_id: str
    attempt: int
    tool_id: str
    tool_display_name: str
    service_name: str
    status: Literal["pending", "processing", "completed", "failed", "cancelled", "skipped"]
    revision: int
    request_payload: dict[str, Any] | None = None
    response_payload: list[dict[str, Any]] | None = None
    outputs: dict[str, Any] | list[dict[str, Any]] | None = None
    cost_usd: str
    points_spent: int
    duration_ms: int | None = None
    request_timestamp: str
    response_timestamp: str | None = None
    delivery_strategy: str
    delivery_status: str
    error: StepFailureAnswer | None = None
    metadata: GenerationMetadata | None = None
    truncated: Truncated = None
    whole_url: WholeUrl = None


class CastFailureAnswer(Answer):
    """Which step failed and why."""

    step_index: int | None = None
    step_id: str | None = None
    generation_id: str | None = None
    code: str
    message: str


class DeliveryAnswer(Answer):
    """Whether the caster's webhook took the cast's end. What stands beside `pending` is known when it is over."""

    delivery_status: Literal["pending", "sent", "failed"]
    delivery_attempts: int | None = None
    delivery_error: str | None = None
    delivery_timestamp: str | None = None


class CastAnswer(Answer):
    """One run of a spell; `generations` only where one cast is asked for, `warnings` only where one is started."""

    cast_id: str
    spell_id: str
    spell_slug: str
    spell_name: str
    version: int
    status: Literal["running", "completed", "failed", "cancelled"]
    revision: int
    inputs: dict[str, Any] | None = None
    step_overrides: dict[str, dict[str, Any]] | None = None
    step_count: int
    step_generation_ids: list[str]
    cost_usd: str
    points_spent: int
    outputs: dict[str, Any] | list[dict[str, Any]] | None = None
    started_at: str
    resumed_at: str | None = None
    updated_at: str
    completed_at: str | None = None
    failed_at: str | None = None
    cancel_requested_at: str | None = None
    cancelled_at: str | None = None
    failure_reason: str | None = None
    failure: CastFailureAnswer | None = None
    delivery: DeliveryAnswer | None = None
    budget_usd: str | None = None
    metadata: dict[str, Any] | None = None
    truncated: Truncated = None
    whole_url: WholeUrl = None
    generations: list[GenerationAnswer] | None = None
    warnings: list[FaultAnswer] | None = None


class CastsAnswer(Answer):
    """A part of the account's casts, latest first."""

    casts: list[CastAnswer]
    cursor: str | None = None


class ToolAnswer(BaseModel):
    """A tool's definition."""

    model_config = ConfigDict(alias_generator=to_camel, extra="allow")

    tool_id: str
    service: str
    display_name: str
    truncated: Truncated = None


class ToolsAnswer(Answer):
    """All tools that the account can use."""

    tools: list[ToolAnswer]


class SettingsAnswer(Answer):
    """The account's own defaults, by tool id and input, and its budget of a day (UTC)."""

    tools: dict[str, dict[str, Any]]
    daily_budget_usd: str | None = None


class LedgerEntryAnswer(Answer):
    """One movement: `day` is the one for whose budget it counts, where the account had one."""

    entry_id: str
    kind: Literal["reserve", "settle", "release", "refund", "creatorShare"]
    cast_id: str
    generation_id: str | None = None
    amount_usd: str
    points: int
    at: str
    day: str | None = None


class TodayAnswer(Answer):
    """The day's budget: what closed casts have spent of it, and what is reserved for those that run."""

    day: str
    budget_usd: str
    spent_usd: str
    reserved_usd: str


class BalancesAnswer(Answer):
    """What the entries of the whole period add up to; `today` where the account has a daily budget."""

    spent_usd: str
    points_spent: int
    points_refunded: int
    points_earned: int
    today: TodayAnswer | None = None


class LedgerAnswer(Answer):
    """A part of the account's ledger, latest first; the balances come with the first part."""

    entries: list[LedgerEntryAnswer]
    cursor: str | None = None
    balances: BalancesAnswer | None = None


class ApiKeyAnswer(Answer):
    """What is known of an API key."""

    key_id: str
    created_at: str
    expires_at: str | None = None


class ApiKeysAnswer(Answer):
    """A part of the account's API keys."""

    keys: list[ApiKeyAnswer]
    cursor: str | None = None


class IssuedKeyAnswer(ApiKeyAnswer):
    """A new API key, shown this once, and the one that it replaces."""

    key: str
    replaced: ApiKeyAnswer


class TicketAnswer(Answer):
    """A ticket, and the address that takes it."""

    ticket: str
    url: str
    expires_at: str


class HealthAnswer(Answer):
    """The API answers."""

    status: str
    version: str
