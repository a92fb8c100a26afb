"""What the API takes and answers.

Written by scripts/generate_client.py from the API's OpenAPI document: `make generated` writes it anew.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from spellcast_client.records import Answer, Body, Moment, Money, Name, OpenBody


class AmountBody(Body):
    """US dollars per unit; a decimal string, or a JSON number as in the original's definitions."""

    amount: Money
    unit: Literal["second", "seconds", "run", "request", "token", "fixed"] = "run"


class ApiKey(Answer):
    """What is known of an API key."""

    key_id: str
    created_at: Moment
    expires_at: Moment | None = None


class ApiKeys(Answer):
    """A part of the account's API keys."""

    keys: list[ApiKey]
    cursor: str | None = None


class Today(Answer):
    """The day's budget: what closed casts have spent of it, and what is reserved for those that run."""

    day: str
    budget_usd: Money
    spent_usd: Money
    reserved_usd: Money


class Balances(Answer):
    """What the entries of the whole period add up to; `today` where the account has a daily budget."""

    spent_usd: Money
    points_spent: int
    points_refunded: int
    points_earned: int
    today: Today | None = None


class CastFailure(Answer):
    """Which step failed and why."""

    step_index: int | None = None
    step_id: str | None = None
    generation_id: str | None = None
    code: str
    message: str


class Delivery(Answer):
    """Whether the caster's webhook took the cast's end. What stands beside `pending` is known when it is over."""

    delivery_status: Literal["pending", "sent", "failed"]
    delivery_attempts: int | None = None
    delivery_error: str | None = None
    delivery_timestamp: Moment | None = None


class StepFailure(Answer):
    """Why a generation failed."""

    code: str
    message: str
    retryable: bool


class GenerationMetadata(Answer):
    """The original's keys, assembled on read."""

    is_spell: bool
    cast_id: str
    step_index: int


class Generation(Answer):
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
    cost_usd: Money
    points_spent: int
    duration_ms: int | None = None
    request_timestamp: Moment
    response_timestamp: Moment | None = None
    delivery_strategy: str
    delivery_status: str
    error: StepFailure | None = None
    metadata: GenerationMetadata | None = None
    truncated: bool | None = None
    whole_url: str | None = None


class Fault(Answer):
    """One fault, and where it stands."""

    path: str
    message: str


class Cast(Answer):
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
    cost_usd: Money
    points_spent: int
    outputs: dict[str, Any] | list[dict[str, Any]] | None = None
    started_at: Moment
    resumed_at: Moment | None = None
    updated_at: Moment
    completed_at: Moment | None = None
    failed_at: Moment | None = None
    cancel_requested_at: Moment | None = None
    cancelled_at: Moment | None = None
    failure_reason: str | None = None
    failure: CastFailure | None = None
    delivery: Delivery | None = None
    budget_usd: Money | None = None
    metadata: dict[str, Any] | None = None
    truncated: bool | None = None
    whole_url: str | None = None
    generations: list[Generation] | None = None
    warnings: list[Fault] | None = None


class CastBody(Body):
    """A run of a spell; `spell` is its id, slug or name."""

    spell: Name
    inputs: dict[Name, Any] = Field(default_factory=dict)
    version: Annotated[int, Field(ge=1)] | None = None
    webhook_url: Annotated[str, Field(max_length=2048)] | None = None
    webhook_secret: Annotated[str, Field(max_length=256, min_length=1)] | None = None
    budget_usd: Money | None = None
    metadata: dict[Name, Any] = Field(default_factory=dict)


class Casts(Answer):
    """A part of the account's casts, latest first."""

    casts: list[Cast]
    cursor: str | None = None


class CostingBody(Body):
    """What a run costs: `machine` reads `rate` and `unit`, `fixed` `fixedCost`, `static` `staticCost`."""

    rate_source: Literal["machine", "fixed", "static"]
    rate: Money | None = None
    unit: Literal["second", "seconds", "run", "request", "token", "fixed"] | None = None
    static_cost: AmountBody | None = None
    fixed_cost: AmountBody | None = None


class ErrorDetail(Answer):
    """`code` is for programs, `message` for people, `details` names every fault of a body."""

    code: str
    message: str
    details: list[Fault] | None = None


class ErrorAnswer(Answer):
    """What every refusal looks like."""

    error: ErrorDetail


class ExposedInput(Body):
    """A parameter that the caster may set, as `<nodeId>_<paramKey>` or `<paramKey>`."""

    node_id: Name
    param_key: Name
    param_type: Name | None = None
    default_value: Any = None


class Health(Answer):
    """The API answers."""

    status: str
    version: str


class ImportBody(Body):
    """What a tool is made of: a `workflow`, a `model` or an `endpoint` with its `openapi` document; nothing is fetched.

    `comfyui` takes a workflow in API format, `replicate` a model (`owner/name`, or `owner/name:version`) with the
    `openapi_schema` of its version, `fal` an endpoint (`fal-ai/flux/dev`) with its OpenAPI document.
    """

    kind: Literal["comfyui", "replicate", "fal"]
    workflow: dict[str, Any] | None = None
    model: Name | None = None
    endpoint: Name | None = None
    openapi: dict[str, Any] | None = None
    tool_id: Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] | None = None
    display_name: Name | None = None
    costing_model: CostingBody | None = None


class VisibleIfBody(Body):
    """When an input is shown: while another one has one of these values."""

    field: Name
    values: Annotated[list[Any], Field(max_length=100, min_length=1)]


class InputFieldBody(Body):
    """One key of a tool's input schema; required unless it says otherwise."""

    name: Name | None = None
    type: Literal[
        "string",
        "text",
        "textany",
        "number",
        "integer",
        "boolean",
        "enum",
        "image",
        "video",
        "audio",
        "file",
        "url",
        "object",
        "array",
        "list",
        "any",
    ] = "string"
    required: bool = True
    default: Any = None
    description: str | None = None
    advanced: bool | None = None
    enum: list[Any] | None = None
    order: int | None = None
    visible_if: VisibleIfBody | None = None
    configurable: bool | None = None


class IssuedKey(Answer):
    """A new API key, shown this once, and the one that it replaces."""

    key_id: str
    created_at: Moment
    expires_at: Moment | None = None
    key: str
    replaced: ApiKey


class LedgerEntry(Answer):
    """One movement: `day` is the one for whose budget it counts, where the account had one."""

    entry_id: str
    kind: Literal["reserve", "settle", "release", "refund", "creatorShare"]
    cast_id: str
    generation_id: str | None = None
    amount_usd: Money
    points: int
    at: Moment
    day: str | None = None


class Ledger(Answer):
    """A part of the account's ledger, latest first; the balances come with the first part."""

    entries: list[LedgerEntry]
    cursor: str | None = None
    balances: Balances | None = None


class Lint(Answer):
    """What will probably not do what the spell's author meant."""

    warnings: list[Fault]


class TokenPriceBody(Body):
    """US dollars per 1,000 tokens that a model reads and writes."""

    input: Money
    output: Money


class MetadataBody(OpenBody):
    """What the tool's adapter and the estimates of its cost go by."""

    provider: str | None = None
    model: str | None = None
    base_model: str | None = None
    input_type: str | None = None
    output_type: str | None = None
    deployment_id: str | None = None
    seed_input_key: str | None = None
    telegram_prompt_input_key: str | None = None
    has_lora_loader: bool | None = None
    keep_outputs: bool | None = None
    default_adapter_params: dict[Name, Any] | None = None
    token_prices: dict[Name, TokenPriceBody] | None = None
    cost_table: dict[Name, dict[Name, dict[Name, Money]]] | None = None
    estimated_tokens: Annotated[int, Field(le=1000000000, ge=1)] | None = None
    estimated_duration_seconds: Annotated[float, Field(le=43200, gt=0)] | None = None
    min_duration_seconds: Annotated[float, Field(le=43200, gt=0)] | None = None


class RenamedWhenBody(Body):
    """The new name where the step has this value in this field."""

    field: Name
    value: Any
    use: Name


class RenamedBody(Body):
    """A parameter whose new name depends on the step, or that is gone: its `default` is null then."""

    default: Name | None
    when: RenamedWhenBody | None = None


class MigrationBody(Body):
    """What a version of the tool renamed: the old name of a parameter, and its new one."""

    parameters: Annotated[dict[Name, Name | RenamedBody], Field(max_length=200)]


class NodeOutputMapping(Body):
    """A wire from an earlier step; `outputKey` is an output's name, or a type (`image`, `text`, `output`)."""

    type: Literal["nodeOutput"]
    node_id: Name
    output_key: Name
    param_key: Name | None = None


class OutputFieldBody(Body):
    """One key of what a tool makes."""

    name: Name | None = None
    type: Name
    description: str | None = None


class Permission(Answer):
    """An account that may use the spell while it is listed."""

    account_id: str
    granted_by: str
    granted_at: Moment


class Permissions(Answer):
    """All accounts to which the spell is granted."""

    permissions: list[Permission]


class PlatformHintsBody(OpenBody):
    """What a platform's forms go by; `primaryInput` is the input that a prompt or a file fills."""

    primary_input: Name | None = None
    supports_file_caption: bool | None = None
    supports_reply_with_command: bool | None = None


class StepQuote(Answer):
    """One step; `basis` says what its cost rests on: earlier runs, the tool's definition, or what is usual."""

    step_index: int
    tool_id: str
    cost_usd: Money
    points: int
    runtime_ms: int
    basis: Literal["history", "model", "default"]


class Quote(Answer):
    """What a cast of the spell will probably cost and take."""

    total_cost_usd: Money
    total_points: int
    total_runtime_ms: int
    breakdown: list[StepQuote]


class QuoteBody(Body):
    """What the caster would send."""

    inputs: dict[Name, Any] = Field(default_factory=dict)


class ResumeBody(Body):
    """A cast goes on with a newer version of its spell, or a larger budget, where these are given."""

    version: Annotated[int, Field(ge=1)] | None = None
    budget_usd: Money | None = None


class RetryBody(Body):
    """Inputs of the step, by the names that its tool has for them; null takes back what an earlier retry set."""

    inputs: dict[Name, Any] = Field(default_factory=dict)


class RotationBody(Body):
    """For how long the old key stays good beside the new one."""

    valid_for_seconds: Annotated[int, Field(le=604800, ge=0)] = 86400


class Settings(Answer):
    """The account's own defaults, by tool id and input, and its budget of a day (UTC)."""

    tools: dict[str, dict[str, Any]]
    daily_budget_usd: Money | None = None


class SettingsBody(Body):
    """The account's own defaults, by tool id and input: used where a cast and its spell say nothing.

    `dailyBudgetUsd` is what its casts may spend that are started on one day (UTC), in the place of the platform's.
    """

    tools: dict[Name, dict[Name, Any]]
    daily_budget_usd: Money | None = None


class Spell(Answer):
    """A spell, in lists without what its versions hold."""

    spell_id: str
    slug: str
    public_slug: str | None = None
    name: str
    version: int
    visibility: str
    owned_by: str
    usage_count: int
    created_at: Moment
    updated_at: Moment
    description: str | None = None
    steps: list[dict[str, Any]] | None = None
    exposed_inputs: list[dict[str, Any]] | None = None
    connections: list[dict[str, Any]] | None = None
    tags: list[str] | None = None
    warnings: list[Fault] | None = None


class StaticMapping(Body):
    """The author's own value."""

    type: Literal["static"]
    value: Any = None


class StepBody(Body):
    """One use of a tool: with `id` and `parameterMappings`, or with `stepId` and `parameterOverrides`.

    `fallbackTool` is asked where the step's own tool certainly began nothing.
    """

    id: Name | None = None
    step_id: Name | int | None = None
    tool_identifier: Name
    tool_version: Annotated[str, Field(pattern=r"^[0-9]{1,6}\.[0-9]{1,6}\.[0-9]{1,6}$")] | None = None
    display_name: Name | None = None
    parameter_mappings: dict[Name, Annotated[StaticMapping | NodeOutputMapping, Field(discriminator="type")]] = Field(
        default_factory=dict
    )
    parameter_overrides: dict[Name, Any] = Field(default_factory=dict)
    output_mappings: dict[Name, Name] = Field(default_factory=dict)
    fallback_tool: Name | None = None


class SpellBody(Body):
    """A spell, as its author composes it."""

    name: Name
    description: Annotated[str, Field(max_length=5000)] = ""
    steps: Annotated[list[StepBody], Field(max_length=50, min_length=1)]
    exposed_inputs: list[ExposedInput] = Field(default_factory=list)
    connections: list[dict[str, Any]] = Field(default_factory=list)
    visibility: Literal["private", "listed", "public"] = "private"
    tags: Annotated[list[Name], Field(max_length=50)] = Field(default_factory=list)


class Spells(Answer):
    """A part of the account's spells."""

    spells: list[Spell]
    cursor: str | None = None


class Ticket(Answer):
    """A ticket, and the address that takes it."""

    ticket: str
    url: str
    expires_at: Moment


class Tool(Answer):
    """A tool's definition."""

    tool_id: str
    service: str
    display_name: str
    truncated: bool | None = None


class WebhookStrategyBody(Body):
    """How the original read a provider's callback; kept as a description."""

    expected_status_field: Name | None = None
    success_value: Name | None = None
    duration_tracking: bool | None = None
    result_path: list[Name] | None = None


class ToolBody(Body):
    """A tool's definition (the original's keys, and `deadlineSeconds`)."""

    tool_id: Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    service: Name
    display_name: Name
    command_name: Annotated[str, Field(pattern=r"^/[^\s/]{1,100}$")] | None = None
    api_path: str | None = None
    description: str | None = None
    version: Annotated[str, Field(pattern=r"^[0-9]{1,6}\.[0-9]{1,6}\.[0-9]{1,6}$")] | None = None
    migrations: Annotated[dict[Name, MigrationBody], Field(max_length=50)] | None = None
    input_schema: Annotated[dict[Name, InputFieldBody], Field(max_length=200)] = Field(default_factory=dict)
    output_schema: dict[Name, OutputFieldBody] | None = None
    costing_model: CostingBody | None = None
    delivery_mode: Literal["immediate", "async", "webhook"] = "immediate"
    deadline_seconds: Annotated[int, Field(le=43200, ge=1)] | None = None
    webhook_strategy: WebhookStrategyBody | None = None
    platform_hints: PlatformHintsBody | None = None
    delivery_hints: dict[Name, dict[Name, Any]] | None = None
    category: str | None = None
    visibility: Literal["public", "internal", "hidden"] | None = None
    human_defaults: dict[Name, Any] | None = None
    metadata: MetadataBody | None = None


class Tools(Answer):
    """All tools that the account can use."""

    tools: list[Tool]
