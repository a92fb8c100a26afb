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

    path: str = Field(description="Where, as in `steps[1].toolIdentifier`.")
    message: str = Field(description="What.")


class ErrorDetail(Answer):
    """`code` is for programs, `message` for people, `details` names every fault of a body."""

    code: str = Field(description="One of the closed list.")
    message: str = Field(description="What is wrong, and where there is something to do, what.")
    details: list[FaultAnswer] | None = Field(default=None, description="At most 200 faults.")


class ErrorAnswer(Answer):
    """What every refusal looks like."""

    error: ErrorDetail = Field(description="What was refused, and why.")


class SpellAnswer(Answer):
    """A spell, in lists without what its versions hold."""

    spell_id: str = Field(description="Its id.")
    slug: str = Field(description="Its unique name for addresses.")
    public_slug: str | None = Field(default=None, description="The slug, where others may use the spell.")
    name: str = Field(description="What people call it.")
    version: int = Field(description="The version that is shown, or the latest.")
    visibility: str = Field(description="`private`, `listed` or `public`.")
    owned_by: str = Field(description="The account that saved it.")
    usage_count: int = Field(description="How often it was cast.")
    created_at: str = Field(description="When its first version was saved.")
    updated_at: str = Field(description="When its latest version was saved.")
    description: str | None = Field(default=None, description="What it does.")
    steps: list[dict[str, Any]] | None = Field(default=None, description="As they were given.")
    exposed_inputs: list[dict[str, Any]] | None = Field(default=None, description="What a caster may set.")
    connections: list[dict[str, Any]] | None = Field(default=None, description="As they were given.")
    tags: list[str] | None = Field(default=None, description="As they were given.")
    warnings: list[FaultAnswer] | None = Field(
        default=None, description="What will probably not do what was meant, where it was just saved."
    )


class LintAnswer(Answer):
    """What will probably not do what the spell's author meant."""

    warnings: list[FaultAnswer] = Field(description="Nothing of it keeps the spell from being saved.")


class SpellsAnswer(Answer):
    """A part of the account's spells."""

    spells: list[SpellAnswer] = Field(description="Latest first.")
    cursor: str | None = Field(default=None, description="Where the next part begins; absent in the last one.")


class StepQuoteAnswer(Answer):
    """One step; `basis` says what its cost rests on: earlier runs, the tool's definition, or what is usual."""

    step_index: int = Field(description="The step's position, from 0.")
    tool_id: str = Field(description="Its tool.")
    cost_usd: str = Field(description="US dollars.")
    points: int = Field(description="What the platform charges.")
    runtime_ms: int = Field(description="Milliseconds.")
    basis: Literal["history", "model", "default"] = Field(description="What the cost rests on.")


class QuoteAnswer(Answer):
    """What a cast of the spell will probably cost and take."""

    total_cost_usd: str = Field(description="US dollars.")
    total_points: int = Field(description="What the platform charges.")
    total_runtime_ms: int = Field(description="Milliseconds.")
    breakdown: list[StepQuoteAnswer] = Field(description="By step.")


class PermissionAnswer(Answer):
    """An account that may use the spell while it is listed."""

    account_id: str = Field(description="The account.")
    granted_by: str = Field(description="Who granted it.")
    granted_at: str = Field(description="When.")


class PermissionsAnswer(Answer):
    """All accounts to which the spell is granted."""

    permissions: list[PermissionAnswer] = Field(description="All of them.")


class StepFailureAnswer(Answer):
    """Why a generation failed."""

    code: str = Field(description="One of the closed list.")
    message: str = Field(description="What went wrong.")
    retryable: bool = Field(description="Whether running the step again can help.")


class GenerationMetadata(BaseModel):
    """The original's keys, assembled on read."""

    model_config = ConfigDict(alias_generator=to_camel, extra="allow")

    is_spell: bool = Field(description="Always true: every record is a step's.")
    cast_id: str = Field(description="The cast.")
    step_index: int = Field(description="The step's position, from 0.")


class GenerationAnswer(Answer):
    """The record of one attempt at one step."""

    generation_id: str = Field(description="`<castId>.<stepIndex>.<attempt>`.")
    cast_id: str = Field(description="The cast.")
    spell_id: str = Field(description="The spell.")
    step_index: int = Field(description="The step's position, from 0.")
    step_id: str = Field(description="The step's id in the spell.")
    attempt: int = Field(description="From 1; every resume and retry is a further one.")
    tool_id: str = Field(description="The tool that ran.")
    tool_display_name: str = Field(description="What people call it.")
    service_name: str = Field(description="The service that ran it.")
    status: Literal["pending", "processing", "completed", "failed", "cancelled", "skipped"] = Field(
        description="`completed`, `failed` and `cancelled` are ends; `skipped` is the original's and is not given here."
    )
    revision: int = Field(description="Grows with every change; a message with a lower one is old news.")
    request_payload: dict[str, Any] | None = Field(default=None, description="The inputs that the tool was given.")
    response_payload: list[dict[str, Any]] | None = Field(
        default=None, description="What came out, as `[{type, data}]`."
    )
    outputs: dict[str, Any] | list[dict[str, Any]] | None = Field(
        default=None, description="The same as clients show it: `{text}`, `{images}`, `{files}`, or the elements."
    )
    cost_usd: str = Field(description="US dollars.")
    points_spent: int = Field(description="What the platform charged.")
    duration_ms: int | None = Field(
        default=None, description="Milliseconds that it ran, as its provider says, or from request to response."
    )
    request_timestamp: str = Field(description="When it was reserved, before the provider was asked.")
    response_timestamp: str | None = Field(default=None, description="When its result was there.")
    delivery_strategy: str = Field(description="Always `spell_step`.")
    delivery_status: str = Field(description="`sent` once it has ended, `pending` before.")
    error: StepFailureAnswer | None = Field(default=None, description="Why it failed.")
    metadata: GenerationMetadata | None = Field(
        default=None,
        description="Also `run_id` (the provider's), `submission`, `fallbackFrom`; by its own id `spell` and contexts.",
    )
    truncated: Truncated = None
    whole_url: WholeUrl = None


class CastFailureAnswer(Answer):
    """Which step failed and why."""

    step_index: int | None = Field(default=None, description="The step's position, from 0.")
    step_id: str | None = Field(default=None, description="The step's id in the spell.")
    generation_id: str | None = Field(default=None, description="The record that failed.")
    code: str = Field(description="One of the closed list.")
    message: str = Field(description="What went wrong.")


class DeliveryAnswer(Answer):
    """Whether the caster's webhook took the cast's end. What stands beside `pending` is known when it is over."""

    delivery_status: Literal["pending", "sent", "failed"] = Field(
        description="`pending` until it was taken, or given up."
    )
    delivery_attempts: int | None = Field(default=None, description="How many there were.")
    delivery_error: str | None = Field(default=None, description="Why the last one failed.")
    delivery_timestamp: str | None = Field(default=None, description="When that was known.")


class CastAnswer(Answer):
    """One run of a spell; `generations` only where one cast is asked for, `warnings` only where one is started."""

    cast_id: str = Field(description="Its id.")
    spell_id: str = Field(description="The spell.")
    spell_slug: str = Field(description="The spell's slug.")
    spell_name: str = Field(description="The spell's name in this version.")
    version: int = Field(description="The spell's version that runs.")
    status: Literal["running", "completed", "failed", "cancelled"] = Field(
        description="All but `running` are ends, from which it can be resumed or retried."
    )
    revision: int = Field(description="Grows with every change; a message with a lower one is old news.")
    inputs: dict[str, Any] | None = Field(
        default=None, description="What the caster sent; a `prompt` under `input_prompt`, too."
    )
    step_overrides: dict[str, dict[str, Any]] | None = Field(
        default=None, description="What retries have set, by step id."
    )
    step_count: int = Field(description="How many steps it has.")
    step_generation_ids: list[str] = Field(description="The records that count, in the order of the steps.")
    cost_usd: str = Field(
        description="US dollars of all its records, failed ones and earlier attempts included; summed when it ends."
    )
    points_spent: int = Field(description="What the platform charged.")
    outputs: dict[str, Any] | list[dict[str, Any]] | None = Field(default=None, description="The last step's.")
    started_at: str = Field(description="When it was started.")
    resumed_at: str | None = Field(default=None, description="When it was last resumed or retried.")
    updated_at: str = Field(description="When it last changed.")
    completed_at: str | None = Field(default=None, description="When it was completed.")
    failed_at: str | None = Field(default=None, description="When it failed.")
    cancel_requested_at: str | None = Field(
        default=None, description="When its caster cancelled it; while it runs it is being stopped."
    )
    cancelled_at: str | None = Field(default=None, description="When it was stopped.")
    failure_reason: str | None = Field(default=None, description="The failure's message.")
    failure: CastFailureAnswer | None = Field(default=None, description="Which step failed, and why.")
    delivery: DeliveryAnswer | None = Field(default=None, description="What became of its webhook, once it has ended.")
    budget_usd: str | None = Field(default=None, description="US dollars that it may cost.")
    metadata: dict[str, Any] | None = Field(default=None, description="The caster's own.")
    truncated: Truncated = None
    whole_url: WholeUrl = None
    generations: list[GenerationAnswer] | None = Field(default=None, description="All records of all attempts.")
    warnings: list[FaultAnswer] | None = Field(default=None, description="What will probably not do what was meant.")


class CastsAnswer(Answer):
    """A part of the account's casts, latest first."""

    casts: list[CastAnswer] = Field(description="Without their records.")
    cursor: str | None = Field(
        default=None,
        description="Where the next part begins; absent in the last one. A part of a filtered list may be short, or "
        "empty, and not the last.",
    )


class ToolAnswer(BaseModel):
    """A tool's definition."""

    model_config = ConfigDict(alias_generator=to_camel, extra="allow")

    tool_id: str = Field(description="Its id.")
    service: str = Field(description="The service that runs it.")
    display_name: str = Field(description="What people call it.")
    truncated: Truncated = None


class ToolsAnswer(Answer):
    """All tools that the account can use."""

    tools: list[ToolAnswer] = Field(description="The built-in ones and the account's own.")


class SettingsAnswer(Answer):
    """The account's own defaults, by tool id and input, and its budget of a day (UTC)."""

    tools: dict[str, dict[str, Any]] = Field(description="Values by tool id and input.")
    daily_budget_usd: str | None = Field(default=None, description="US dollars, where the account has set them.")


class LedgerEntryAnswer(Answer):
    """One movement: `day` is the one for whose budget it counts, where the account had one."""

    entry_id: str = Field(description="Its id.")
    kind: Literal["reserve", "settle", "release", "refund", "creatorShare"] = Field(description="What moved.")
    cast_id: str = Field(description="The cast.")
    generation_id: str | None = Field(default=None, description="The record, where it is of one.")
    amount_usd: str = Field(description="US dollars.")
    points: int = Field(description="What the platform charges, gives back or pays.")
    at: str = Field(description="When.")
    day: str | None = Field(default=None, description="The day of the budget.")


class TodayAnswer(Answer):
    """The day's budget: what closed casts have spent of it, and what is reserved for those that run."""

    day: str = Field(description="The day (UTC).")
    budget_usd: str = Field(description="US dollars.")
    spent_usd: str = Field(description="US dollars that casts which have ended cost.")
    reserved_usd: str = Field(description="US dollars held for casts that run.")


class BalancesAnswer(Answer):
    """What the entries of the whole period add up to; `today` where the account has a daily budget."""

    spent_usd: str = Field(description="US dollars.")
    points_spent: int = Field(description="What the platform charged.")
    points_refunded: int = Field(description="What it gave back.")
    points_earned: int = Field(description="What it paid for others' casts of the account's spells.")
    today: TodayAnswer | None = Field(default=None, description="The day's budget.")


class LedgerAnswer(Answer):
    """A part of the account's ledger, latest first; the balances come with the first part."""

    entries: list[LedgerEntryAnswer] = Field(description="Latest first.")
    cursor: str | None = Field(default=None, description="Where the next part begins; absent in the last one.")
    balances: BalancesAnswer | None = Field(default=None, description="With the first part.")


class ApiKeyAnswer(Answer):
    """What is known of an API key."""

    key_id: str = Field(description="Its id: the SHA-256 of the key.")
    created_at: str = Field(description="When it was issued.")
    expires_at: str | None = Field(default=None, description="When it ends, where it does.")


class ApiKeysAnswer(Answer):
    """A part of the account's API keys."""

    keys: list[ApiKeyAnswer] = Field(description="Latest first.")
    cursor: str | None = Field(default=None, description="Where the next part begins; absent in the last one.")


class IssuedKeyAnswer(ApiKeyAnswer):
    """A new API key, shown this once, and the one that it replaces."""

    key: str = Field(description="The key itself.")
    replaced: ApiKeyAnswer = Field(description="The old one, with its end.")


class TicketAnswer(Answer):
    """A ticket, and the address that takes it."""

    ticket: str = Field(description="Good for one connection.")
    url: str = Field(description="Where to connect, the ticket included.")
    expires_at: str = Field(description="Until when it must be used.")


class HealthAnswer(Answer):
    """The API answers."""

    status: str = Field(description="`ok`.")
    version: str = Field(description="The version of the code that answers.")
