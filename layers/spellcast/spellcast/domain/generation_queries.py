"""The query of `GET /internal/v1/data/generations`: which records, in which order, and what of them.

What cannot be answered is refused with its reason, since a filter that is passed over answers too much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from spellcast.domain import times
from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault, InvalidInput
from spellcast.domain.originals import MAX_ID_CHARACTERS

DEFAULT_LIMIT = 100
MAX_LIMIT = 200
_FILTERS = frozenset(
    {"status", "toolId", "toolDisplayName", "serviceName", "spellId", "stepId", "deliveryStatus", "deliveryStrategy"}
)
_TIMES = frozenset({"requestTimestamp", "responseTimestamp"})
_SORTS = _FILTERS | _TIMES | {"stepIndex", "attempt", "durationMs"}
_CAST = ("castId", "metadata.castId")

Condition = Callable[[Document], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationQuery:
    """At least one of `ids`, `cast_id` and `account_id` says where to look: there is no scan of the table."""

    ids: tuple[str, ...] | None = None
    cast_id: str | None = None
    account_id: str | None = None
    conditions: tuple[Condition, ...] = ()
    order: tuple[tuple[str, bool], ...] = (("requestTimestamp", False),)
    fields: tuple[str, ...] = ()
    limit: int = DEFAULT_LIMIT
    skip: int = 0

    def select(self, records: Iterable[Document]) -> list[Document]:
        """Those that are asked for, in their order, with the fields that are asked for."""
        found = [record for record in records if all(condition(record) for condition in self.conditions)]
        for name, descending in reversed(self.order):
            found.sort(key=lambda record: _rank(record.get(name)), reverse=descending)
        part = found[self.skip : self.skip + self.limit]
        return [_projected(record, self.fields) for record in part] if self.fields else part


@dataclass(slots=True)
class _Reading:
    faults: list[Fault] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    ids: tuple[str, ...] | None = None


def parse_query(parameters: Mapping[str, str]) -> GenerationQuery:
    """Reads the query; repeated parameters come joined by commas. Raises InvalidInput with every fault."""
    reading = _Reading()
    rest = dict(parameters)
    limit = _number(rest.pop("limit", ""), "limit", DEFAULT_LIMIT, 1, reading.faults)
    page = _number(rest.pop("page", ""), "page", 0, 1, reading.faults)
    skip = _number(rest.pop("skip", ""), "skip", 0, 0, reading.faults)
    order = _order(rest.pop("sort", ""), reading.faults)
    fields = _values(rest.pop("fields", "")) or _values(rest.pop("projection", ""))
    account_id = rest.pop("masterAccountId", "") or None
    if account_id and len(account_id) > MAX_ID_CHARACTERS:
        reading.faults.append(Fault("masterAccountId", f"has more than {MAX_ID_CHARACTERS} characters"))
    named = [rest.pop(key) for key in _CAST if key in rest]
    if len(set(named)) > 1:
        reading.faults.append(Fault("metadata.castId", "is another cast than castId"))
    for key, text in rest.items():
        _read_filter(key, text, reading)
    cast_id = named[0] if named else None
    if not reading.faults and reading.ids is None and not cast_id and account_id is None:
        reading.faults.append(
            Fault("query", "names none of _id_in, castId and masterAccountId: records are found by one of these")
        )
    if reading.faults:
        raise InvalidInput(reading.faults)
    limit = min(limit, MAX_LIMIT)
    return GenerationQuery(
        ids=reading.ids,
        cast_id=cast_id,
        account_id=account_id,
        conditions=tuple(reading.conditions),
        order=order,
        fields=fields,
        limit=limit,
        skip=(page - 1) * limit if page else skip,
    )


def _read_filter(key: str, text: str, reading: _Reading) -> None:
    name, _, kind = key.rpartition("_")
    if key in ("_id", "_id_in"):
        reading.ids = _values(text)
        if len(reading.ids) > MAX_LIMIT:
            reading.faults.append(Fault(key, f"names more than {MAX_LIMIT} records"))
    elif key in _FILTERS:
        reading.conditions.append(lambda record: record.get(key) == text)
    elif kind == "in" and name in _FILTERS:
        wanted = set(_values(text))
        reading.conditions.append(lambda record: record.get(name) in wanted)
    elif kind == "ne" and name in _FILTERS:
        reading.conditions.append(lambda record: record.get(name) != text)
    elif kind in ("gte", "lte") and name in _TIMES:
        bound = parse_moment(text)
        if bound is None:
            reading.faults.append(Fault(key, "is not a time"))
            return
        limit, is_lower = times.to_text(bound), kind == "gte"
        reading.conditions.append(lambda record: _is_within(record.get(name), limit, is_lower))
    else:
        reading.faults.append(Fault(key, "is no filter here; it would have been passed over"))


def parse_moment(text: str) -> datetime | None:
    """An ISO 8601 time, in UTC where it names no zone; None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _is_within(moment: object, bound: str, is_lower: bool) -> bool:
    return isinstance(moment, str) and (moment >= bound if is_lower else moment <= bound)


def _number(text: str, path: str, default: int, least: int, faults: list[Fault]) -> int:
    if not text:
        return default
    # More digits than any list has records.
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < least:
        faults.append(Fault(path, f"is not a whole number from {least}"))
        return default
    return int(text)


def _order(text: str, faults: list[Fault]) -> tuple[tuple[str, bool], ...]:
    found = []
    for part in _values(text):
        name, _, direction = part.partition(":")
        if name not in _SORTS:
            faults.append(Fault("sort", f"knows no {name!r}"))
        found.append((name, direction.strip().lower() in ("desc", "-1")))
    return tuple(found) or (("requestTimestamp", False),)


def _values(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _rank(value: Any) -> tuple[bool, Any]:
    return value is not None, value


def _projected(record: Document, fields: tuple[str, ...]) -> Document:
    projected: Document = {"_id": record["_id"]}
    for name in fields:
        source, target = record, projected
        *parents, last = name.split(".")
        for parent in parents:
            inner = source.get(parent)
            source = inner if isinstance(inner, dict) else {}
            target = target.setdefault(parent, {}) if source else {}
        if last in source:
            target[last] = source[last]
    return projected
