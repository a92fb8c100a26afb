"""The original's documents as this system reads them: spells, contexts, records (original-system.md §1, §2.2).

They come from JSON, or from a Python caller's database driver, whose ids and decimals are objects with a text.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any

from spellcast.domain import results
from spellcast.domain.documents import Document, canonical, is_deeper_than, to_text
from spellcast.domain.errors import Fault, InvalidGenerationRecord, InvalidInput, JobFailed, SpellNotExecutable
from spellcast.domain.payloads import normalise
from spellcast.domain.results import ToolResult

# Keys of the table have at most 1 KB and 2 KB.
MAX_ID_CHARACTERS = 200
_SPELL_KEYS = ("name", "description", "connections", "tags")
_STEP_KEYS = ("stepId", "toolVersion", "displayName", "parameterOverrides", "fallbackTool")
_EXPOSED_KEYS = ("nodeId", "paramKey", "paramType", "defaultValue")
_MAPPING_KEYS = {"static": ("type", "value"), "nodeOutput": ("type", "nodeId", "outputKey", "paramKey")}
# What a context says to the engine rather than about the cast; charging and migrating are not done here.
_CONTROL_KEYS = frozenset(
    {"masterAccountId", "parameterOverrides", "castId", "webhookUrl", "webhookSecret"}
    | {"quote", "chargeUpfront", "persistMigration"}
)
# Deeper than anything that people write; further on, readers of JSON give up.
MAX_DEPTH = 100
_MOST_COST = Decimal(10) ** 12
# Thirty years, in milliseconds.
_MOST_DURATION = 10**12
_COST_PLACES = Decimal("1E-12")


def id_text(value: object) -> str | None:
    """An id as text: `{"$oid": …}` and a driver's object as the text that they stand for; None for nothing."""
    if isinstance(value, dict):
        value = value.get("$oid")
    return None if value is None or value == "" or isinstance(value, bool | float | dict | list) else str(value)


def account_of(context: Document) -> str:
    """Whose cast it is. Raises InvalidInput."""
    account_id = id_text(context.get("masterAccountId"))
    if account_id is None or len(account_id) > MAX_ID_CHARACTERS:
        raise InvalidInput([Fault("context.masterAccountId", "says whose cast it is, and is missing or no id")])
    return account_id


def is_json(value: object) -> bool:
    """Whether the value can be kept as a document."""
    try:
        to_text(value).encode()
        canonical(value)  # Keys of several kinds have no order.
    except (ValueError, TypeError, RecursionError):
        return False
    return not is_deeper_than(value, MAX_DEPTH)


def spell_id_of(document: Document) -> str | None:
    """The id under which the spell's own store knows it."""
    return id_text(document.get("_id")) or id_text(document.get("spellId"))


def owner_of(document: Document) -> str | None:
    """Whose spell it is, as far as the document says."""
    return id_text(document.get("ownedBy")) or id_text(document.get("creatorId"))


def steps_of(document: Document) -> list[Any]:
    """The steps as they stand in the document; what is no list has none."""
    steps = document.get("steps")
    return steps if isinstance(steps, list) else []


def tool_identifier(step: Document) -> Any:
    """The tool that a step names, `toolId` in old spells."""
    return step.get("toolIdentifier") or step.get("toolId")


def check_steps(name: str, steps: list[Any]) -> None:
    """Raises SpellNotExecutable, with the original's text, for what it would not have executed."""
    if not steps:
        raise SpellNotExecutable(f'Invalid stepIndex 0 for spell "{name}" with 0 steps')
    for index, step in enumerate(steps):
        if not isinstance(step, dict):
            raise SpellNotExecutable(f'Step at index {index} is undefined in spell "{name}"')
        if not tool_identifier(step):
            raise SpellNotExecutable(f'Step {step_name(step, index)} in spell "{name}" is missing toolIdentifier')


def step_name(step: Document, index: int) -> str:
    """How the original's error texts call a step."""
    return str(step.get("stepId") or index)


def spell_body(document: Document) -> Document:
    """The spell as `POST /v1/spells` takes it: without keys that nothing here reads, and without empty ones."""
    body = {key: document[key] for key in _SPELL_KEYS if document.get(key) is not None}
    exposed = document.get("exposedInputs")
    if isinstance(exposed, list):
        body["exposedInputs"] = [_only(item, _EXPOSED_KEYS) for item in exposed if isinstance(item, dict)]
    return {**body, "steps": [_step(step) for step in steps_of(document)], "visibility": _visibility(document)}


def _visibility(document: Document) -> str:
    visibility = document.get("visibility")
    if visibility is None:
        return "public" if document.get("isPublic") is True else "private"
    # `unlisted`, and whatever else was written, is treated as private by the original too.
    return visibility if visibility in ("listed", "public") else "private"


def _step(document: Any) -> Any:
    if not isinstance(document, dict):
        return document
    step = {**_only(document, _STEP_KEYS), "toolIdentifier": tool_identifier(document)}
    if document.get("id") not in (None, ""):
        step["id"] = str(document["id"])
    mappings = document.get("parameterMappings")
    if isinstance(mappings, dict):
        # One of another kind, which the original ignored, is kept as it is: whoever checks the shape refuses it.
        step["parameterMappings"] = {key: _mapping(mapping) for key, mapping in mappings.items() if mapping is not None}
    outputs = document.get("outputMappings")
    if isinstance(outputs, dict):
        step["outputMappings"] = {key: name for key, name in outputs.items() if name}
    return step


def _mapping(document: Any) -> Any:
    if not isinstance(document, dict) or document.get("type") not in (*_MAPPING_KEYS,):
        return document
    mapping = _only(document, _MAPPING_KEYS[document["type"]])
    if isinstance(mapping.get("nodeId"), int):
        mapping["nodeId"] = str(mapping["nodeId"])
    return mapping


def _only(document: Document, keys: tuple[str, ...]) -> Document:
    return {key: document[key] for key in keys if document.get(key) is not None}


def context_metadata(context: Document) -> Document:
    """What of a cast's context is kept with the cast: all that is JSON, but never the webhook's secret."""
    return {
        key: _without_secret(value)
        for key, value in context.items()
        if key not in _CONTROL_KEYS and isinstance(key, str) and is_json({key: value})
    }


def _without_secret(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_secret(item) for key, item in value.items() if key != "webhookSecret"}
    if isinstance(value, list):
        return [_without_secret(item) for item in value]
    return value


def check_record(record: Document) -> str:
    """The id of a step's completed record. Raises InvalidGenerationRecord with the original's texts."""
    metadata = record.get("metadata")
    if not isinstance(metadata, dict) or not metadata:
        raise InvalidGenerationRecord("Generation record missing metadata")
    if not metadata.get("spell"):
        raise InvalidGenerationRecord("Generation metadata missing spell definition")
    index = metadata.get("stepIndex", "undefined")
    if isinstance(index, bool) or not isinstance(index, int | float) or index < 0:
        raise InvalidGenerationRecord(f"Generation metadata missing or invalid stepIndex: {_as_read(index)}")
    for key in ("pipelineContext", "originalContext"):
        if not isinstance(metadata.get(key), dict | list):
            raise InvalidGenerationRecord(f"Generation metadata missing {key}")
    generation_id = id_text(record.get("_id")) or id_text(record.get("generationId"))
    if generation_id is None:
        raise InvalidGenerationRecord("Generation record missing _id")
    return generation_id


def _as_read(value: object) -> str:
    """As the original's language writes a value in a text."""
    return to_text(value) if value is None or isinstance(value, bool) else str(value)


def record_result(record: Document) -> ToolResult:
    """The result that a completed or failed record tells. Raises InvalidInput with every fault."""
    faults: list[Fault] = []
    status = record.get("status")
    if status not in ("completed", "failed"):
        faults.append(Fault("status", "is neither completed nor failed"))
    cost_usd = None
    try:
        cost_usd = amount("costUsd", record.get("costUsd"))
    except InvalidInput as error:
        faults.extend(error.faults)
    if not is_json(record.get("responsePayload")):
        faults.append(Fault("responsePayload", "holds a value that JSON cannot hold"))
    duration_ms = record.get("durationMs")
    if (
        isinstance(duration_ms, bool)
        or not isinstance(duration_ms, int | None)
        or not 0 <= (duration_ms or 0) <= _MOST_DURATION
    ):
        faults.append(Fault("durationMs", "is not a whole number of milliseconds"))
    if faults:
        raise InvalidInput(faults)
    if status == "failed":
        return results.failed(JobFailed(_reason(record)), cost_usd=cost_usd, duration_ms=duration_ms)
    payload = normalise(record.get("responsePayload"))
    return ToolResult("succeeded", payload, cost_usd=cost_usd, duration_ms=duration_ms)


def amount(path: str, value: Any) -> Decimal | None:
    """US dollars from a number, a decimal text or `{"$numberDecimal": …}`. Raises InvalidInput that names the path."""
    if isinstance(value, dict):
        value = value.get("$numberDecimal", value or None)
    if value is None:
        return None
    fault = Fault(path, "is not an amount in US dollars")
    try:
        found = Decimal(str(value))
    except (InvalidOperation, ValueError) as error:
        raise InvalidInput([fault]) from error
    if not found.is_finite() or found.is_signed() or found >= _MOST_COST:
        raise InvalidInput([fault])
    # The original's sums were binary fractions: what stands beyond the twelfth place is their noise.
    return found.quantize(_COST_PLACES, ROUND_HALF_EVEN).normalize()


def _reason(record: Document) -> str:
    metadata = record.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    for place in (metadata.get("error"), metadata.get("errorDetails")):
        if isinstance(place, dict) and place.get("message"):
            return str(place["message"])[:1_000]
    for key in ("statusReason", "deliveryError"):
        if record.get(key):
            return str(record[key])[:1_000]
    return "Step execution failed"
