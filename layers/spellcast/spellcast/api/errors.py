"""Errors as answers: `{"error": {"code", "message", "details"?}}` and the status of each class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from spellcast.domain import money, times
from spellcast.domain.documents import Document, to_text
from spellcast.domain.errors import (
    CastEnded,
    CastRunning,
    Fault,
    FlagsUnreadable,
    GenerationSuperseded,
    IdempotencyKeyReused,
    IllegalTransition,
    InvalidCallbackToken,
    InvalidGenerationRecord,
    InvalidInput,
    InvalidInternalKey,
    InvalidSignature,
    MadeByCasts,
    MissingInternalKey,
    NotFound,
    OriginalUnavailable,
    PayloadTooLarge,
    SpellAmbiguous,
    SpellcastError,
    SpellNotExecutable,
    StorageUnavailable,
    ToolExists,
    TooManyConnections,
    Unauthorized,
)

# More would not fit into an answer; the message says how many there are.
MAX_FAULTS = 200
MAX_FAULT_CHARACTERS = 500

# Keys that a step of the original's documents may have.
_ELSEWHERE = {
    "toolId": "the tool is named by toolIdentifier",
    "parameters": "values stand in parameterOverrides",
}

# What Pydantic adds to the path of a value of several kinds, by the key above it.
_KINDS: dict[str | int, tuple[str, ...]] = {
    "parameterMappings": ("static", "nodeOutput"),
    "parameters": ("<name>", "<choice>"),
}

# What a text is that fits no pattern, in words.
_RULES = {f"^{money.TEXT_PATTERN}$": money.TEXT_RULE, times.PATTERN: times.RULE}

_STATUSES: tuple[tuple[type[SpellcastError], int], ...] = (
    (InvalidInput, 400),
    (SpellNotExecutable, 400),
    (InvalidGenerationRecord, 400),
    (Unauthorized, 401),
    (InvalidCallbackToken, 401),
    (InvalidSignature, 401),
    (MissingInternalKey, 401),
    (InvalidInternalKey, 403),
    (NotFound, 404),
    (CastEnded, 409),
    (CastRunning, 409),
    (GenerationSuperseded, 409),
    (IdempotencyKeyReused, 409),
    (IllegalTransition, 409),
    (MadeByCasts, 409),
    (SpellAmbiguous, 409),
    (ToolExists, 409),
    (PayloadTooLarge, 413),
    (TooManyConnections, 429),
    (FlagsUnreadable, 503),
    (OriginalUnavailable, 503),
    (StorageUnavailable, 503),
)


def status_of(error: type[SpellcastError]) -> int:
    """The HTTP status of a class of the closed list; what is not the caller's fault is 500."""
    return next((status for kind, status in _STATUSES if issubclass(error, kind)), 500)


def meanings(*kinds: type[SpellcastError]) -> dict[int, str]:
    """The codes and what they mean, by their status: what the OpenAPI document says of a route's refusals."""
    by_status: dict[int, list[str]] = {}
    for kind in kinds:
        means = (kind.__doc__ or "").partition("\n")[0]
        by_status.setdefault(status_of(kind), []).append(f"`{kind.code}`: {means}")
    return {status: " ".join(said) for status, said in sorted(by_status.items())}


def error_document(error: SpellcastError) -> Document:
    """The body that says what is wrong."""
    detail: Document = {"code": error.code, "message": error.message}
    if isinstance(error, InvalidInput):
        number = len(error.faults)
        detail["message"] = "The request has a fault." if number == 1 else f"The request has {number} faults."
        detail["details"] = [
            {"path": fault.path, "message": fault.message[:MAX_FAULT_CHARACTERS]} for fault in error.faults[:MAX_FAULTS]
        ]
    return {"error": detail}


def refusal(error: SpellcastError, status: int | None = None) -> dict[str, Any]:
    """The same as an answer in API Gateway's payload format 2.0."""
    return {
        "statusCode": status or status_of(type(error)),
        "headers": {"content-type": "application/json"},
        "body": to_text(error_document(error)),
    }


def faults_of(errors: Iterable[dict[str, Any]]) -> Sequence[Fault]:
    """Pydantic's errors, with paths as callers write them: `steps[1].toolIdentifier`."""
    return [Fault(_path(error["loc"]), _message(error)) for error in errors]


def _message(error: dict[str, Any]) -> str:
    if error["type"] == "string_pattern_mismatch":
        pattern = error["ctx"]["pattern"]
        return _RULES.get(pattern, f"does not match the pattern {pattern}")
    if error["type"] != "extra_forbidden":
        return str(error["msg"]).removeprefix("Value error, ")
    match error["loc"]:
        case (_, "steps", int(), str(key)) if key in _ELSEWHERE:
            return f"is not known here; {_ELSEWHERE[key]}"
    return "is not known here"


def _path(location: Sequence[str | int]) -> str:
    path = ""
    # The first part says body or query.
    parts = location[1:]
    for number, part in enumerate(parts):
        if number > 1 and part in _KINDS.get(parts[number - 2], ()):
            continue  # The kind of a mapping, or of a new name, is no part of what was sent.
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path or str(location[0])
