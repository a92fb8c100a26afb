"""Every way in which asking can fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# Of the API, and said without asking it where it would certainly say so.
INVALID_INPUT = "INVALID_INPUT"
UNAUTHORIZED = "UNAUTHORIZED"
UNREACHABLE = "UNREACHABLE"
UNEXPECTED_ANSWER = "UNEXPECTED_ANSWER"
# What stands before the API says so where the API itself cannot.
UNAVAILABLE = "UNAVAILABLE"
PASSING = (429, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with what was sent, with the path at which it stands (`steps[1].toolIdentifier`)."""

    path: str
    message: str


class SpellcastError(Exception):
    """A refusal of the API (`code` is one of its codes), or `UNREACHABLE`, `UNAVAILABLE` or `UNEXPECTED_ANSWER`.

    `status` is the HTTP status, where something answered; `request_id` is what the operator of the API asks for.
    Nothing that was sent is repeated in it: no key, no token, no input.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        faults: Sequence[Fault] = (),
        status: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.faults = tuple(faults)
        self.status = status
        self.request_id = request_id

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self.code == UNREACHABLE or self.status in PASSING

    def document(self) -> dict[str, Any]:
        """As the API writes its errors."""
        detail: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.faults:
            detail["details"] = [{"path": fault.path, "message": fault.message} for fault in self.faults]
        if self.request_id:
            detail["requestId"] = self.request_id
        return {"error": detail}
