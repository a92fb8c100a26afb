"""The bodies that callers send. Keys are camelCase, unknown keys are faults."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import SkipJsonSchema

from spellcast.api.errors import faults_of
from spellcast.application.adopt_spell import Draft
from spellcast.domain import money, originals
from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault, InvalidInput
from spellcast.domain.linter import MAX_STEPS
from spellcast.domain.results import MOST_TOKENS
from spellcast.domain.tool_definitions import MAX_INPUTS, VERSION_PATTERN, InputType
from spellcast.domain.tools import DeliveryMode

# A job that is polled every 30 s for 12 hours stays well under the 25,000 events of an execution's history.
MAX_DEADLINE_SECONDS = 12 * 60 * 60

MAX_MIGRATIONS = 50
MAX_VALUES = 100

# Ids, keys of inputs and outputs, node ids: what may stand in a key of the pipeline context.
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Version = Annotated[str, StringConstraints(pattern=f"^{VERSION_PATTERN}$")]
Money = Annotated[str, StringConstraints(pattern=f"^{money.TEXT_PATTERN}$")]
# A tool's rate may also be a JSON number, as in the original's definitions; costs stay exact in 38 digits.
Rate = Annotated[Decimal, Field(ge=0, max_digits=24, decimal_places=12, lt=10**12, strict=False)]
Seconds = Annotated[float, Field(gt=0, le=MAX_DEADLINE_SECONDS)]


class Body(BaseModel):
    """The common rules of all bodies."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True)

    def document(self) -> Document:
        """The body as JSON, without what was not sent."""
        return self.model_dump(by_alias=True, exclude_unset=True, mode="json")


class StaticMapping(Body):
    """The author's own value."""

    type: Literal["static"]
    value: Any = None


class NodeOutputMapping(Body):
    """A wire from an earlier step; `outputKey` is an output's name, or a type (`image`, `text`, `output`)."""

    type: Literal["nodeOutput"]
    node_id: Name
    output_key: Name
    param_key: Name | None = None


class StepBody(Body):
    """One use of a tool: with `id` and `parameterMappings`, or with `stepId` and `parameterOverrides`.

    `fallbackTool` is asked where the step's own tool certainly began nothing.
    """

    id: Name | None = None
    step_id: Name | int | None = None
    tool_identifier: Name
    tool_version: Version | None = None
    display_name: Name | None = None
    parameter_mappings: dict[Name, Annotated[StaticMapping | NodeOutputMapping, Field(discriminator="type")]] = Field(
        default_factory=dict
    )
    parameter_overrides: dict[Name, Any] = Field(default_factory=dict)
    output_mappings: dict[Name, Name] = Field(default_factory=dict)
    fallback_tool: Name | None = None


class ExposedInput(Body):
    """A parameter that the caster may set, as `<nodeId>_<paramKey>` or `<paramKey>`."""

    node_id: Name
    param_key: Name
    param_type: Name | None = None
    default_value: Any = None


class SpellBody(Body):
    """A spell, as its author composes it."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    description: Annotated[str, StringConstraints(max_length=5_000)] = ""
    steps: Annotated[list[StepBody], Field(min_length=1, max_length=MAX_STEPS)]
    exposed_inputs: list[ExposedInput] = Field(default_factory=list)
    connections: list[dict[str, Any]] = Field(default_factory=list)
    visibility: Literal["private", "listed", "public"] = "private"
    tags: Annotated[list[Name], Field(max_length=50)] = Field(default_factory=list)

    def content(self) -> Document:
        """What a version of the spell keeps."""
        document = self.document()
        return {key: value for key, value in document.items() if key not in ("name", "visibility")}


class QuoteBody(Body):
    """What the caster would send."""

    inputs: dict[Name, Any] = Field(default_factory=dict)


def read_draft(body: Document) -> Draft:
    """A spell's body that did not come over HTTP. Raises InvalidInput with every fault."""
    if not originals.is_json(body):
        raise InvalidInput([Fault("spell", "holds a value that JSON cannot hold")])
    try:
        spell = SpellBody.model_validate(body)
    except ValidationError as error:
        found = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]
        raise InvalidInput(faults_of(found)) from error
    return Draft(spell.name, spell.visibility, spell.content())


class CastBody(Body):
    """A run of a spell; `spell` is its id, slug or name."""

    spell: Name
    inputs: dict[Name, Any] = Field(default_factory=dict)
    version: Annotated[int, Field(ge=1)] | None = None
    webhook_url: Annotated[str, StringConstraints(max_length=2_048)] | None = None
    webhook_secret: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    budget_usd: Money | None = None
    metadata: dict[Name, Any] = Field(default_factory=dict)


class ResumeBody(Body):
    """A cast goes on with a newer version of its spell, or a larger budget, where these are given."""

    version: Annotated[int, Field(ge=1)] | None = None
    budget_usd: Money | None = None


class RetryBody(Body):
    """Inputs of the step, by the names that its tool has for them; null takes back what an earlier retry set."""

    inputs: dict[Name, Any] = Field(default_factory=dict)


class VisibleIfBody(Body):
    """When an input is shown: while another one has one of these values."""

    field: Name
    values: Annotated[list[Any], Field(min_length=1, max_length=MAX_VALUES)]


class InputFieldBody(Body):
    """One key of a tool's input schema; required unless it says otherwise."""

    name: Name | None = None
    type: InputType = "string"
    required: bool = True
    default: Any = None
    description: str | None = None
    advanced: bool | None = None
    enum: list[Any] | None = None
    order: int | None = None
    visible_if: VisibleIfBody | None = None
    configurable: bool | None = None


class OutputFieldBody(Body):
    """One key of what a tool makes."""

    name: Name | None = None
    type: Name
    description: str | None = None


class AmountBody(Body):
    """US dollars per unit; a decimal string, or a JSON number as in the original's definitions."""

    amount: Rate
    unit: Literal["second", "seconds", "run", "request", "token", "fixed"] = "run"


class CostingBody(Body):
    """What a run costs: `machine` reads `rate` and `unit`, `fixed` `fixedCost`, `static` `staticCost`."""

    rate_source: Literal["machine", "fixed", "static"]
    rate: Rate | None = None
    unit: Literal["second", "seconds", "run", "request", "token", "fixed"] | None = None
    static_cost: AmountBody | None = None
    fixed_cost: AmountBody | None = None

    @model_validator(mode="after")
    def _says_what_it_costs(self) -> CostingBody:
        needed = {"machine": "rate", "fixed": "fixed_cost", "static": "static_cost"}[self.rate_source]
        if getattr(self, needed) is None:
            raise ValueError(f"rateSource {self.rate_source} needs {to_camel(needed)}")
        return self


class TokenPriceBody(Body):
    """US dollars per 1,000 tokens that a model reads and writes."""

    input: Rate
    output: Rate


class RenamedWhenBody(Body):
    """The new name where the step has this value in this field."""

    field: Name
    value: Any
    use: Name


class RenamedBody(Body):
    """A parameter whose new name depends on the step, or that is gone: its `default` is null then."""

    default: Name | None
    when: RenamedWhenBody | None = None


_NewName = Annotated[
    Annotated[Name, Tag("<name>")] | Annotated[RenamedBody, Tag("<choice>")],
    Discriminator(lambda new: "<choice>" if isinstance(new, dict | RenamedBody) else "<name>"),
]


class MigrationBody(Body):
    """What a version of the tool renamed: the old name of a parameter, and its new one."""

    parameters: Annotated[dict[Name, _NewName], Field(max_length=MAX_INPUTS)]


class WebhookStrategyBody(Body):
    """How the original read a provider's callback; kept as a description."""

    expected_status_field: Name | None = None
    success_value: Name | None = None
    duration_tracking: bool | None = None
    result_path: list[Name] | None = None


class OpenBody(Body):
    """Other keys are kept as they are; the attributes are named as the keys, so that none can clash with another."""

    model_config = ConfigDict(alias_generator=None, extra="allow")


class PlatformHintsBody(OpenBody):
    """What a platform's forms go by; `primaryInput` is the input that a prompt or a file fills."""

    primaryInput: Name | None = None
    supportsFileCaption: bool | None = None
    supportsReplyWithCommand: bool | None = None


class MetadataBody(OpenBody):
    """What the tool's adapter and the estimates of its cost go by."""

    provider: str | None = None
    model: str | None = None
    baseModel: str | None = None
    inputType: str | None = None
    outputType: str | None = None
    deploymentId: str | None = None
    seedInputKey: str | None = None
    telegramPromptInputKey: str | None = None
    hasLoraLoader: bool | None = None
    keepOutputs: bool | None = None
    defaultAdapterParams: dict[Name, Any] | None = None
    tokenPrices: dict[Name, TokenPriceBody] | None = None
    costTable: dict[Name, dict[Name, dict[Name, Rate]]] | None = None
    estimatedTokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)] | None = None
    estimatedDurationSeconds: Seconds | None = None
    minDurationSeconds: Seconds | None = None


def _refuse_code(value: Any) -> Any:
    raise ValueError("was code in the original and cannot be taken; service and deliveryMode say how a tool is run")


ToolId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class ToolBody(Body):
    """A tool's definition (the original's keys, and `deadlineSeconds`)."""

    tool_id: ToolId
    service: Name
    display_name: Name
    command_name: Annotated[str, StringConstraints(pattern=r"^/[^\s/]{1,100}$")] | None = None
    api_path: str | None = None
    description: str | None = None
    version: Version | None = None
    migrations: Annotated[dict[Name, MigrationBody], Field(max_length=MAX_MIGRATIONS)] | None = None
    input_schema: dict[Name, InputFieldBody] = Field(default_factory=dict, max_length=MAX_INPUTS)
    output_schema: dict[Name, OutputFieldBody] | None = None
    costing_model: CostingBody | None = None
    delivery_mode: DeliveryMode = "immediate"
    execution_strategy: SkipJsonSchema[Annotated[Any, AfterValidator(_refuse_code)]] = None
    deadline_seconds: Annotated[int, Field(ge=1, le=MAX_DEADLINE_SECONDS)] | None = None
    webhook_strategy: WebhookStrategyBody | None = None
    platform_hints: PlatformHintsBody | None = None
    delivery_hints: dict[Name, dict[Name, Any]] | None = None
    category: str | None = None
    visibility: Literal["public", "internal", "hidden"] | None = None
    human_defaults: dict[Name, Any] | None = None
    metadata: MetadataBody | None = None


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
    tool_id: ToolId | None = None
    display_name: Name | None = None
    costing_model: CostingBody | None = None


class RotationBody(Body):
    """For how long the old key stays good beside the new one."""

    valid_for_seconds: Annotated[int, Field(strict=True, ge=0, le=604_800)] = 86_400


class SettingsBody(Body):
    """The account's own defaults, by tool id and input: used where a cast and its spell say nothing.

    `dailyBudgetUsd` is what its casts may spend that are started on one day (UTC), in the place of the platform's.
    """

    tools: dict[Name, dict[Name, Any]]
    daily_budget_usd: Money | None = None
