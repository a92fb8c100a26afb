"""An export of the original's records, read: tools, spells, casts and generations as original-system.md §1 has them.

`{"tools": [...], "spells": [...], "casts": [...], "generationOutputs": [...]}`, plain JSON or MongoDB's extended one.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Any

from spellcast.domain import times
from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault, InvalidInput
from spellcast.domain.migrations import renamed
from spellcast.domain.money import ZERO
from spellcast.domain.parameters import missing_inputs
from spellcast.domain.spells import SpellVersion
from spellcast.domain.tools import DEFAULT_VERSION, Tool, parse_tool

_VERSION = re.compile(r"[0-9]+(\.[0-9]+)*")
_MOST_MONEY = Decimal(10) ** 12
# What binary fractions leave behind reaches about as far.
_LEAST_MONEY = Decimal("1E-24")
_WIDE = Context(prec=40)
_COLLECTIONS = ("tools", "spells", "casts", "generationOutputs")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedStep:
    """One generation of a cast. `context` is what its record says the step found, None where it says nothing.

    `payload` is the record's responsePayload in whatever shape it has.
    """

    generation_id: str
    position: int
    status: str
    inputs: Document
    payload: Any
    context: Document | None
    cost_usd: Decimal
    duration_ms: int
    is_final: bool
    had_loras: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCast:
    """A cast, the spell as its generations pinned it, and all of its generations in the order of their steps."""

    cast_id: str
    status: str
    cost_usd: Decimal
    generation_ids: tuple[str, ...]
    inputs: Document
    version: SpellVersion
    steps: tuple[RecordedStep, ...]


@dataclass(frozen=True, slots=True)
class Recordings:
    """What an export holds."""

    tools: tuple[Tool, ...]
    casts: tuple[RecordedCast, ...]


def read_export(document: Any) -> Recordings:
    """Raises InvalidInput, naming everything that is wrong with the export by its path."""
    faults: list[Fault] = []
    if not isinstance(document, dict):
        raise InvalidInput([Fault("export", "is not an object")])
    found: dict[str, list[tuple[str, Document]]] = {}
    for name in _COLLECTIONS:
        items = document.get(name)
        if not isinstance(items, list):
            faults.append(Fault(name, "is missing" if items is None else "is not a list"))
            items = []
        found[name] = []
        for number, item in enumerate(items):
            path = f"{name}[{number}]"
            plain = _plain(item, path, faults)
            if isinstance(plain, dict):
                found[name].append((path, plain))
            else:
                faults.append(Fault(path, "is not an object"))
    tools = [tool for path, item in found["tools"] if (tool := _tool(path, item, faults)) is not None]
    spells = {str(item.get("_id")): (path, item) for path, item in found["spells"]}
    generations: dict[str, list[tuple[str, Document]]] = defaultdict(list)
    for path, item in found["generationOutputs"]:
        generations[str(_metadata(item).get("castId") or item.get("castId"))].append((path, item))
    casts = [
        cast
        for path, item in found["casts"]
        if (cast := _cast(path, item, spells, generations.get(str(item.get("_id")), []), faults)) is not None
    ]
    if faults:
        raise InvalidInput(faults)
    return Recordings(tuple(tools), tuple(casts))


def _tool(path: str, item: Document, faults: list[Fault]) -> Tool | None:
    missing = [key for key in ("toolId", "service", "displayName") if not isinstance(item.get(key), str)]
    faults += [Fault(f"{path}.{key}", "is missing, or no text") for key in missing]
    if missing:
        return None
    try:
        tool = parse_tool(item)
        # What is read of a definition only where a step uses it.
        missing_inputs(tool, {})
        tool.metadata.keys()
        for rules in ({}, *(item.get("migrations") or {}).values()):
            renamed(dict.fromkeys(rules.get("parameters") or ()), "0.0.0", tool)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        faults.append(Fault(path, f"is no tool definition ({type(error).__name__}: {error})"))
        return None
    return tool


def _cast(
    path: str,
    item: Document,
    spells: dict[str, tuple[str, Document]],
    own: list[tuple[str, Document]],
    faults: list[Fault],
) -> RecordedCast | None:
    cast_id = item.get("_id")
    if not isinstance(cast_id, str) or not cast_id:
        faults.append(Fault(f"{path}._id", "is missing"))
        return None
    spell_path, spell = spells.get(str(item.get("spellId")), (f"{path}.spellId", None))
    for where, record in own:
        # A cast ran what its records pinned; the spell itself may have been edited since.
        pinned = _metadata(record).get("spell")
        if isinstance(pinned, dict):
            spell_path, spell = f"{where}.metadata.spell", pinned
            break
    known = len(faults)
    version = _version(spell_path, spell, faults)
    steps = [_step(where, record, version, faults) for where, record in own]
    inputs = next((given for _, record in own if (given := _inputs(record)) is not None), None)
    if own and inputs is None:
        where = own[0][0]
        faults.append(Fault(f"{where}.metadata.originalContext.parameterOverrides", "is missing: the caster's inputs"))
    cost_usd = _money(item.get("costUsd"), f"{path}.costUsd", faults)
    generation_ids = item.get("stepGenerationIds") or []
    if not isinstance(generation_ids, list):
        faults.append(Fault(f"{path}.stepGenerationIds", "is not a list"))
    if version is None or len(faults) > known:
        return None
    return RecordedCast(
        cast_id=cast_id,
        status=str(item.get("status")),
        cost_usd=cost_usd,
        generation_ids=tuple(map(str, generation_ids)),
        inputs=inputs or {},
        version=version,
        steps=tuple(sorted((step for step in steps if step is not None), key=lambda step: step.position)),
    )


def _version(path: str, spell: Document | None, faults: list[Fault]) -> SpellVersion | None:
    if spell is None:
        faults.append(Fault(path, "names a spell that the export does not hold"))
        return None
    steps = spell.get("steps")
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        faults.append(Fault(f"{path}.steps", "is not a list of objects"))
        return None
    for number, step in enumerate(steps):
        if not isinstance(step.get("toolIdentifier"), str):
            faults.append(Fault(f"{path}.steps[{number}].toolIdentifier", "is missing"))
        for key in ("parameterMappings", "parameterOverrides", "outputMappings"):
            if not isinstance(step.get(key) or {}, dict):
                faults.append(Fault(f"{path}.steps[{number}].{key}", "is not an object"))
        tool_version = step.get("toolVersion") or DEFAULT_VERSION
        if not isinstance(tool_version, str) or not _VERSION.fullmatch(tool_version):
            faults.append(Fault(f"{path}.steps[{number}].toolVersion", "is not a version"))
    listed = spell.get("exposedInputs") or []
    if not isinstance(listed, list):
        faults.append(Fault(f"{path}.exposedInputs", "is not a list"))
        return None
    # Some were written as plain names, which the original never read.
    exposed = [
        each for each in listed if isinstance(each, dict) and "nodeId" in each and isinstance(each.get("paramKey"), str)
    ]
    return SpellVersion(
        spell_id=str(spell.get("_id")),
        version=1,
        name=str(spell.get("name")),
        content={"steps": steps, "exposedInputs": exposed},
        created_at=datetime.min.replace(tzinfo=UTC),
    )


def _step(path: str, record: Document, version: SpellVersion | None, faults: list[Fault]) -> RecordedStep | None:
    metadata = _metadata(record)
    position = metadata.get("stepIndex")
    if not isinstance(position, int) or isinstance(position, bool) or position < 0:
        faults.append(Fault(f"{path}.metadata.stepIndex", "is not the number of a step"))
        return None
    if version is not None and position >= len(version.content["steps"]):
        reason = f"is beyond the steps of its spell, which has {len(version.content['steps'])}"
        faults.append(Fault(f"{path}.metadata.stepIndex", reason))
        return None
    inputs = record.get("requestPayload")
    if not isinstance(inputs, dict):
        faults.append(Fault(f"{path}.requestPayload", "is not an object"))
        return None
    context = metadata.get("pipelineContext")
    return RecordedStep(
        generation_id=str(record.get("_id")),
        position=position,
        status=str(record.get("status")),
        inputs=inputs,
        payload=record.get("responsePayload"),
        context=context if isinstance(context, dict) else None,
        cost_usd=_money(record.get("costUsd"), f"{path}.costUsd", faults),
        duration_ms=_duration(record, path, faults),
        is_final=record.get("deliveryStrategy") == "spell_final",
        had_loras=bool(metadata.get("loraResolutionData")),
    )


def _metadata(record: Document) -> Document:
    metadata = record.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _inputs(record: Document) -> Document | None:
    """What the caster sent: kept in every record, and again as the first step's context."""
    metadata = _metadata(record)
    original = metadata.get("originalContext")
    given = original.get("parameterOverrides") if isinstance(original, dict) else None
    if given is None and metadata.get("stepIndex") == 0:
        given = metadata.get("pipelineContext")
    return given if isinstance(given, dict) else None


def _duration(record: Document, path: str, faults: list[Fault]) -> int:
    """Milliseconds that a rate per second is taken of."""
    given = record.get("durationMs")
    if isinstance(given, int | float) and not isinstance(given, bool):
        return max(0, round(given))
    start = _metadata(record).get("jobStartTime") or record.get("requestTimestamp")
    end = record.get("responseTimestamp")
    if not start or not end:
        return 0
    try:
        return times.milliseconds(_moment(start), _moment(end))
    except (TypeError, ValueError):
        faults.append(Fault(f"{path}.responseTimestamp", "and the start of the job are not times"))
        return 0


def _moment(text: Any) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _money(value: Any, path: str, faults: list[Fault]) -> Decimal:
    """A figure's shortest text is what its author meant, a binary fraction's too."""
    if value is None:
        return ZERO
    try:
        amount = Decimal(str(value))
        if isinstance(value, bool) or not amount.is_finite() or abs(amount) >= _MOST_MONEY:
            raise ValueError
    except (ArithmeticError, ValueError):
        faults.append(Fault(path, "is not an amount of money"))
        return ZERO
    return _WIDE.quantize(amount, _LEAST_MONEY).normalize(_WIDE)


def _plain(value: Any, path: str, faults: list[Fault]) -> Any:
    """Extended JSON as plain JSON: ids and times as texts, decimals as their text."""
    if isinstance(value, list):
        return [_plain(item, f"{path}[{number}]", faults) for number, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        [(kind, content)] = value.items()
        if kind in _KINDS:
            try:
                return _KINDS[kind](content)
            except (ArithmeticError, AttributeError, KeyError, OSError, TypeError, ValueError):
                faults.append(Fault(path, f"is no {kind}"))
                return None
    return {key: _plain(item, f"{path}.{key}", faults) for key, item in value.items()}


def _object_id(content: Any) -> str:
    if not isinstance(content, str):
        raise TypeError
    return content


def _date(content: Any) -> str:
    if isinstance(content, str):
        return times.to_text(_moment(content))
    milliseconds = int(content["$numberLong"]) if isinstance(content, dict) else int(content)
    return times.to_text(datetime.fromtimestamp(milliseconds / 1000, UTC))


def _double(content: Any) -> float:
    number = float(content)
    if not math.isfinite(number):
        raise ValueError
    return number


_KINDS: dict[str, Any] = {
    "$oid": _object_id,
    "$date": _date,
    "$numberDecimal": lambda content: str(Decimal(content)),
    "$numberDouble": _double,
    "$numberInt": int,
    "$numberLong": int,
}
