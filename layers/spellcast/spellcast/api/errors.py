"""Errors as answers: `{"error": {"code", "message", "details"?}}` and the status of each class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from spellcast.domain.documents import Document
from spellcast.domain.errors import (
    Fault,
    IdempotencyKeyReused,
    InvalidCallbackToken,
    InvalidInput,
    InvalidSignature,
    NotFound,
    PayloadTooLarge,
    SpellcastError,
    ToolExists,
    Unauthorized,
)

_STATUSES: tuple[tuple[type[SpellcastError], int], ...] = (
    (InvalidInput, 400),
    (Unauthorized, 401),
    (InvalidCallbackToken, 401),
    (InvalidSignature, 401),
    (NotFound, 404),
    (IdempotencyKeyReused, 409),
    (ToolExists, 409),
    (PayloadTooLarge, 413),
)


def status_of(error: SpellcastError) -> int:
    """The HTTP status of a class of the closed list; what is not the caller's fault is 500."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def error_document(error: SpellcastError) -> Document:
    """The body that says what is wrong."""
    detail: Document = {"code": error.code, "message": error.message}
    if isinstance(error, InvalidInput):
        detail["message"] = f"{len(error.faults)} fault(s) in the request."
        detail["details"] = [{"path": fault.path, "message": fault.message} for fault in error.faults]
    return {"error": detail}


def faults_of(errors: Iterable[dict[str, Any]]) -> Sequence[Fault]:
    """Pydantic's errors, with paths as callers write them: `steps[1].toolIdentifier`."""
    return [Fault(_path(error["loc"]), str(error["msg"])) for error in errors]


def _path(location: Sequence[str | int]) -> str:
    path = ""
    # The first part says body or query; the tags of mappings are not part of what was sent.
    for part in location[1:]:
        if part in ("static", "nodeOutput"):
            continue
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path or str(location[0])
