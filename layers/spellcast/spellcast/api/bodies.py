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

    # A function is called with one kind of body first, and with some never.
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True, defer_build=True)

    def document(self) -> Document:
        """The body as JSON, without what was not sent."""
        return self.model_dump(by_alias=True, exclude_unset=True, mode="json")


def _example(body: dict[str, Any]) -> ConfigDict:
    """For the OpenAPI document; a test sends it."""
    return ConfigDict(json_schema_extra={"examples": [body]})


class StaticMapping(Body):
    """The author's own value."""

    type: Literal["static"] = Field(description="An own value.")
    value: Any = Field(default=None, description="The value; none where it is absent.")


class NodeOutputMapping(Body):
    """A wire from an earlier step; `outputKey` is an output's name, or a type (`image`, `text`, `output`)."""

    type: Literal["nodeOutput"] = Field(description="A wire.")
    node_id: Name = Field(description="The `id` of an earlier step.")
    output_key: Name = Field(description="An output's name, or a type: `image`, `video`, `text`, `output`.")
    param_key: Name | None = Field(
        default=None,
        description="What is taken of the pipeline context where there is no such output; else the input's own name.",
    )


class StepBody(Body):
    """One use of a tool: with `id` and `parameterMappings`, or with `stepId` and `parameterOverrides`.

    `fallbackTool` is asked where the step's own tool certainly began nothing.
    """

    id: Name | None = Field(
        default=None, description="How wires and exposed inputs name the step; unique in the spell."
    )
    step_id: Name | int | None = Field(
        default=None,
        description="The same in the original's other shape of a step; the position, from 1, where both are absent.",
    )
    tool_identifier: Name = Field(description="A tool's id or display name.")
    tool_version: Version | None = Field(
        default=None, description="The tool's version that the step was composed with; 1.0.0 where it is absent."
    )
    display_name: Name | None = Field(default=None, description="What people call the step.")
    parameter_mappings: dict[Name, Annotated[StaticMapping | NodeOutputMapping, Field(discriminator="type")]] = Field(
        default_factory=dict, description="By the names of the tool's inputs."
    )
    parameter_overrides: dict[Name, Any] = Field(
        default_factory=dict, description="Values by the names of the tool's inputs; they beat the mappings."
    )
    output_mappings: dict[Name, Name] = Field(
        default_factory=dict, description="Further names of outputs for later steps, by the outputs' own names."
    )
    fallback_tool: Name | None = Field(
        default=None, description="A tool that is asked instead where the step's own certainly began nothing."
    )


class ExposedInput(Body):
    """A parameter that the caster may set, as `<nodeId>_<paramKey>` or `<paramKey>`."""

    node_id: Name = Field(description="The step's `id`.")
    param_key: Name = Field(description="The parameter's name.")
    param_type: Name | None = Field(default=None, description="Its type, for forms.")
    default_value: Any = Field(default=None, description="What it has where the caster says nothing.")


class SpellBody(Body):
    """A spell, as its author composes it."""

    model_config = _example(
        {
            "name": "A cat in oil",
            "steps": [
                {
                    "id": "words",
                    "toolIdentifier": "string-primitive",
                    "parameterMappings": {
                        "operation": {"type": "static", "value": "concat"},
                        "appendText": {"type": "static", "value": ", oil on canvas"},
                    },
                },
                {
                    "id": "draw",
                    "toolIdentifier": "comfyui-text-to-image",
                    "parameterMappings": {
                        "input_prompt": {"type": "nodeOutput", "nodeId": "words", "outputKey": "text"}
                    },
                },
            ],
            "exposedInputs": [{"nodeId": "words", "paramKey": "inputText"}],
        }
    )

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)] = Field(
        description="What people call it; slugs are made of it."
    )
    description: Annotated[str, StringConstraints(max_length=5_000)] = Field(default="", description="What it does.")
    steps: Annotated[list[StepBody], Field(min_length=1, max_length=MAX_STEPS)] = Field(
        description="In the order in which they run."
    )
    exposed_inputs: list[ExposedInput] = Field(
        default_factory=list, description="What a caster may set; all other values are the author's."
    )
    connections: list[dict[str, Any]] = Field(
        default_factory=list, description="What a composer draws between steps; kept as it is."
    )
    visibility: Literal["private", "listed", "public"] = Field(
        default="private", description="Who may cast it: its owner; those to whom it is granted too; everybody."
    )
    tags: Annotated[list[Name], Field(max_length=50)] = Field(
        default_factory=list, description="Words to find it by; kept as they are."
    )

    def content(self) -> Document:
        """What a version of the spell keeps."""
        document = self.document()
        return {key: value for key, value in document.items() if key not in ("name", "visibility")}


class QuoteBody(Body):
    """What the caster would send."""

    inputs: dict[Name, Any] = Field(default_factory=dict, description="By the names that the spell exposes.")


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

    model_config = _example({"spell": "A cat in oil", "inputs": {"inputText": "a cat"}, "budgetUsd": "0.10"})

    spell: Name = Field(description="Id, slug or name of the spell.")
    inputs: dict[Name, Any] = Field(
        default_factory=dict,
        description="By the names that the spell exposes (`<nodeId>_<paramKey>`, `<paramKey>`), or by tools' inputs.",
    )
    version: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="The spell's version; the latest where it is absent."
    )
    webhook_url: Annotated[str, StringConstraints(max_length=2_048)] | None = Field(
        default=None, description="Who is told how it ended: https, and no private address."
    )
    webhook_secret: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = Field(
        default=None, description="What the webhook is signed with."
    )
    budget_usd: Money | None = Field(default=None, description="US dollars that all its steps may cost together.")
    metadata: dict[Name, Any] = Field(
        default_factory=dict, description="The caster's own; it comes back with the cast."
    )


class ResumeBody(Body):
    """A cast goes on with a newer version of its spell, or a larger budget, where these are given."""

    version: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="The spell's version to go on with; not older than the cast's."
    )
    budget_usd: Money | None = Field(
        default=None, description="US dollars that all steps, those already run included, may cost together."
    )


class RetryBody(Body):
    """Inputs of the step, by the names that its tool has for them; null takes back what an earlier retry set."""

    model_config = _example({"inputs": {"input_prompt": "a cat who reads, oil on canvas", "input_seed": 7}})

    inputs: dict[Name, Any] = Field(default_factory=dict, description="Values by input.")


class VisibleIfBody(Body):
    """When an input is shown: while another one has one of these values."""

    field: Name = Field(description="The other input.")
    values: Annotated[list[Any], Field(min_length=1, max_length=MAX_VALUES)] = Field(
        description="The values at which this one is shown."
    )


class InputFieldBody(Body):
    """One key of a tool's input schema; required unless it says otherwise."""

    name: Name | None = Field(default=None, description="Its key once more.")
    type: InputType = Field(default="string", description="What it takes; media are given by their addresses.")
    required: bool = Field(default=True, description="Whether a step fails without it.")
    default: Any = Field(default=None, description="What it has where nobody says anything.")
    description: str | None = Field(default=None, description="What it is, for forms.")
    advanced: bool | None = Field(default=None, description="Whether forms hide it at first.")
    enum: list[Any] | None = Field(default=None, description="The values that it may have.")
    order: int | None = Field(default=None, description="Its place in forms.")
    visible_if: VisibleIfBody | None = Field(default=None, description="When it is shown; a hidden input has no value.")
    configurable: bool | None = Field(default=None, description="Of the original; kept as it is.")


class OutputFieldBody(Body):
    """One key of what a tool makes."""

    name: Name | None = Field(default=None, description="Its key once more.")
    type: Name = Field(description="What it is: `image`, `video`, `audio`, `file`, `text` or another word.")
    description: str | None = Field(default=None, description="What it is, for people.")


class AmountBody(Body):
    """US dollars per unit; a decimal string, or a JSON number as in the original's definitions."""

    amount: Rate = Field(description="US dollars.")
    unit: Literal["second", "seconds", "run", "request", "token", "fixed"] = Field(
        default="run", description="What is counted."
    )


class CostingBody(Body):
    """What a run costs: `machine` reads `rate` and `unit`, `fixed` `fixedCost`, `static` `staticCost`."""

    rate_source: Literal["machine", "fixed", "static"] = Field(description="Which of the other keys says it.")
    rate: Rate | None = Field(default=None, description="US dollars per `unit`.")
    unit: Literal["second", "seconds", "run", "request", "token", "fixed"] | None = Field(
        default=None, description="What is counted; a run where it is absent."
    )
    static_cost: AmountBody | None = Field(
        default=None, description="What every run costs. 0 lets `metadata.costTable` say it."
    )
    fixed_cost: AmountBody | None = Field(default=None, description="What every run costs.")

    @model_validator(mode="after")
    def _says_what_it_costs(self) -> CostingBody:
        needed = {"machine": "rate", "fixed": "fixed_cost", "static": "static_cost"}[self.rate_source]
        if getattr(self, needed) is None:
            raise ValueError(f"rateSource {self.rate_source} needs {to_camel(needed)}")
        return self


class TokenPriceBody(Body):
    """US dollars per 1,000 tokens that a model reads and writes."""

    input: Rate = Field(description="Of what it reads.")
    output: Rate = Field(description="Of what it writes.")


class RenamedWhenBody(Body):
    """The new name where the step has this value in this field."""

    field: Name = Field(description="A parameter of the step.")
    value: Any = Field(description="The value that it has.")
    use: Name = Field(description="The new name.")


class RenamedBody(Body):
    """A parameter whose new name depends on the step, or that is gone: its `default` is null then."""

    default: Name | None = Field(description="The new name otherwise.")
    when: RenamedWhenBody | None = Field(default=None, description="When it has another.")


_NewName = Annotated[
    Annotated[Name, Tag("<name>")] | Annotated[RenamedBody, Tag("<choice>")],
    Discriminator(lambda new: "<choice>" if isinstance(new, dict | RenamedBody) else "<name>"),
]


class MigrationBody(Body):
    """What a version of the tool renamed: the old name of a parameter, and its new one."""

    parameters: Annotated[dict[Name, _NewName], Field(max_length=MAX_INPUTS)] = Field(
        description="New names by old ones."
    )


class WebhookStrategyBody(Body):
    """How the original read a provider's callback; kept as a description."""

    expected_status_field: Name | None = Field(default=None, description="The field that said how the job ended.")
    success_value: Name | None = Field(default=None, description="Its value where the job succeeded.")
    duration_tracking: bool | None = Field(default=None, description="Whether the run's time was taken.")
    result_path: list[Name] | None = Field(default=None, description="Where the result stood.")


class OpenBody(Body):
    """Other keys are kept as they are; the attributes are named as the keys, so that none can clash with another."""

    model_config = ConfigDict(alias_generator=None, extra="allow")


class PlatformHintsBody(OpenBody):
    """What a platform's forms go by; `primaryInput` is the input that a prompt or a file fills."""

    primaryInput: Name | None = Field(default=None, description="The input that a prompt or a file fills.")
    supportsFileCaption: bool | None = Field(default=None, description="For chats; kept as it is.")
    supportsReplyWithCommand: bool | None = Field(default=None, description="For chats; kept as it is.")


class MetadataBody(OpenBody):
    """What the tool's adapter and the estimates of its cost go by."""

    provider: str | None = Field(default=None, description="Who runs the model, for people.")
    model: str | None = Field(default=None, description="The provider's name of the model.")
    baseModel: str | None = Field(default=None, description="For people; kept as it is.")
    inputType: str | None = Field(default=None, description="What goes in, for people.")
    outputType: str | None = Field(
        default=None,
        description="What comes out: `image`, `video`, `audio`, `file` or `text`; adapters name results by it.",
    )
    deploymentId: str | None = Field(default=None, description="ComfyDeploy's deployment.")
    seedInputKey: str | None = Field(
        default=None,
        description="The input that gets the generation's own number where a step gives none; or else `input_seed`.",
    )
    telegramPromptInputKey: str | None = Field(default=None, description="Of the original; kept as it is.")
    hasLoraLoader: bool | None = Field(default=None, description="Of the original; kept as it is.")
    keepOutputs: bool | None = Field(default=None, description="`false` leaves outputs at the provider's addresses.")
    defaultAdapterParams: dict[Name, Any] | None = Field(
        default=None, description="What the adapter sends where the step says nothing."
    )
    tokenPrices: dict[Name, TokenPriceBody] | None = Field(
        default=None, description="By model; `default` for every other."
    )
    costTable: dict[Name, dict[Name, dict[Name, Rate]]] | None = Field(
        default=None, description="US dollars a run, by model, size and quality."
    )
    estimatedTokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)] | None = Field(
        default=None, description="How many a run takes, for budgets and quotes."
    )
    estimatedDurationSeconds: Seconds | None = Field(
        default=None, description="Seconds that a run takes, for budgets and quotes."
    )
    minDurationSeconds: Seconds | None = Field(
        default=None, description="Of the original: the same, where that is absent."
    )


def _refuse_code(value: Any) -> Any:
    raise ValueError("was code in the original and cannot be taken; service and deliveryMode say how a tool is run")


ToolId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class ToolBody(Body):
    """A tool's definition (the original's keys, and `deadlineSeconds`)."""

    model_config = _example(
        {
            "toolId": "weather",
            "service": "http",
            "displayName": "Weather",
            "description": "Asks for the weather of a place.",
            "inputSchema": {
                "url": {"type": "url", "required": False, "default": "https://weather.example/now"},
                "query": {"type": "object", "description": "The place, as `{q: …}`."},
            },
            "outputSchema": {"text": {"type": "string"}, "result": {"type": "any"}},
            "costingModel": {"rateSource": "static", "staticCost": {"amount": "0.001", "unit": "run"}},
            "deliveryMode": "immediate",
            "deadlineSeconds": 20,
        }
    )

    tool_id: ToolId = Field(description="Its id; no built-in tool's.")
    service: Name = Field(description="The service that runs it, by an adapter of this name.")
    display_name: Name = Field(description="What people call it; steps may name it by this.")
    command_name: Annotated[str, StringConstraints(pattern=r"^/[^\s/]{1,100}$")] | None = Field(
        default=None, description="How chats call it: `/draw`."
    )
    api_path: str | None = Field(
        default=None, description="Of the original; kept as it is. The `http` service reads no address here."
    )
    description: str | None = Field(default=None, description="What it does.")
    version: Version | None = Field(default=None, description="Its own version; 1.0.0 where it is absent.")
    migrations: Annotated[dict[Name, MigrationBody], Field(max_length=MAX_MIGRATIONS)] | None = Field(
        default=None,
        description="What was renamed, by the version that did it; steps composed with an older one still work.",
    )
    input_schema: dict[Name, InputFieldBody] = Field(
        default_factory=dict,
        max_length=MAX_INPUTS,
        description="Its inputs, by name. Without any, a step gives it the whole pipeline context.",
    )
    output_schema: dict[Name, OutputFieldBody] | None = Field(
        default=None, description="Its outputs, by name, for composers and the linter."
    )
    costing_model: CostingBody | None = Field(
        default=None, description="What a run costs; nothing where it is absent and no `metadata` says it."
    )
    delivery_mode: DeliveryMode = Field(
        default="immediate",
        description="`immediate` answers at once, an `async` job is polled, a `webhook` job calls back.",
    )
    execution_strategy: SkipJsonSchema[Annotated[Any, AfterValidator(_refuse_code)]] = None
    deadline_seconds: Annotated[int, Field(ge=1, le=MAX_DEADLINE_SECONDS)] | None = Field(
        default=None, description="Seconds that a step may take: 60 (immediate, 720 at most) or 900 where it is absent."
    )
    webhook_strategy: WebhookStrategyBody | None = Field(default=None, description="Of the original; kept as it is.")
    platform_hints: PlatformHintsBody | None = Field(default=None, description="For chats and forms.")
    delivery_hints: dict[Name, dict[Name, Any]] | None = Field(
        default=None, description="Of the original; kept as it is."
    )
    category: str | None = Field(default=None, description="Where lists put it.")
    visibility: Literal["public", "internal", "hidden"] | None = Field(
        default=None, description="Of the original; kept as it is. An own tool is its account's only."
    )
    human_defaults: dict[Name, Any] | None = Field(default=None, description="Of the original; kept as it is.")
    metadata: MetadataBody | None = Field(
        default=None, description="What its adapter and its costs go by; other keys are kept."
    )


class ImportBody(Body):
    """What a tool is made of: a `workflow`, a `model` or an `endpoint` with its `openapi` document; nothing is fetched.

    `comfyui` takes a workflow in API format, `replicate` a model (`owner/name`, or `owner/name:version`) with the
    `openapi_schema` of its version, `fal` an endpoint (`fal-ai/flux/dev`) with its OpenAPI document.
    """

    kind: Literal["comfyui", "replicate", "fal"] = Field(description="What it is made of.")
    workflow: dict[str, Any] | None = Field(default=None, description="A ComfyUI workflow in API format.")
    model: Name | None = Field(default=None, description="A model of Replicate.")
    endpoint: Name | None = Field(default=None, description="An endpoint of fal.")
    openapi: dict[str, Any] | None = Field(default=None, description="The document that describes it.")
    tool_id: ToolId | None = Field(default=None, description="The tool's id; made of the name where it is absent.")
    display_name: Name | None = Field(
        default=None, description="What people call it; made of what is imported where it is absent."
    )
    costing_model: CostingBody | None = Field(
        default=None, description="What a run costs; nothing of it is in what is imported."
    )


class RotationBody(Body):
    """For how long the old key stays good beside the new one."""

    valid_for_seconds: Annotated[int, Field(strict=True, ge=0, le=604_800)] = Field(
        default=86_400, description="Seconds; 0 ends it at once."
    )


class SettingsBody(Body):
    """The account's own defaults, by tool id and input: used where a cast and its spell say nothing.

    `dailyBudgetUsd` is what its casts may spend that are started on one day (UTC), in the place of the platform's.
    """

    model_config = _example({"tools": {"comfyui-text-to-image": {"input_steps": 30}}, "dailyBudgetUsd": "5"})

    tools: dict[Name, dict[Name, Any]] = Field(description="Values by tool id and input.")
    daily_budget_usd: Money | None = Field(default=None, description="US dollars; no own budget where it is absent.")
