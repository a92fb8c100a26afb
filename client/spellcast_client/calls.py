"""One request of the API: how it is sent, whether it may be sent again, and what its answer means."""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import NoneType
from typing import Any, Generic, TypeVar, cast
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from spellcast_client.errors import (
    INVALID_INPUT,
    PASSING,
    UNAVAILABLE,
    UNEXPECTED_ANSWER,
    UNREACHABLE,
    Fault,
    SpellcastError,
)
from spellcast_client.records import Record

A = TypeVar("A")

ATTEMPTS = 4
# Seconds: before the second attempt about the first, and never more than the second, whatever the server asks for.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 30.0
_REQUEST_IDS = ("apigw-requestid", "x-amzn-requestid", "x-request-id")


@dataclass(frozen=True, slots=True)
class Call(Generic[A]):
    """A request, and the type of its answer. With a `key` (Idempotency-Key) it may be sent again, as a GET may be."""

    method: str
    path: str
    answer: type[A]
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Record | Mapping[str, Any] | None = None
    key: str | None = None

    def request(self) -> dict[str, Any]:
        """What httpx is given. Raises SpellcastError for an Idempotency-Key that cannot be sent."""
        if self.key and not fits_a_header(self.key):
            raise SpellcastError(INVALID_INPUT, "An Idempotency-Key is of printable characters of ASCII.")
        body = self.body.document() if isinstance(self.body, Record) else self.body
        return {
            "method": self.method,
            "url": self.path,
            "params": {name: value for name, value in self.query.items() if value is not None},
            "json": body,
            "headers": {"Idempotency-Key": self.key} if self.key else {},
        }

    def read(self, reply: httpx.Response) -> A:
        """The answer. Raises SpellcastError where it is none."""
        if not reply.is_success:
            raise refusal(reply)
        if self.answer is NoneType:
            return cast(A, None)
        if self.answer is str:
            return cast(A, reply.text)
        try:
            return TypeAdapter(self.answer).validate_json(reply.content)
        except ValidationError:
            raise _unexpected(reply) from None  # its text repeats what was answered

    def pause_before(self, attempt: int, error: SpellcastError, reply: httpx.Response | None) -> float | None:
        """For how many seconds to wait before this attempt; None where there is to be none."""
        is_repeatable = self.method == "GET" or self.key is not None
        if not (is_repeatable and error.may_pass) or attempt > ATTEMPTS:
            return None
        asked = _retry_after(reply.headers.get("retry-after", "")) if reply is not None else None
        # It guards nothing.
        drawn = _FIRST_PAUSE * 2 ** (attempt - 2) * random.uniform(0.5, 1.5)  # nosec B311
        return min(drawn if asked is None else max(asked, 0.0), _LONGEST_PAUSE)


def new_key() -> str:
    """An Idempotency-Key, so that a request whose answer was lost can be sent again."""
    return str(uuid.uuid4())


def fits_a_header(text: str) -> bool:
    """Whether it can be sent as a key, of either kind."""
    return text.isascii() and text.isprintable()


def quoted(part: str) -> str:
    """A name as a part of a path."""
    return quote(part, safe="")


def unreachable(error: Exception, address: str) -> SpellcastError:
    """Nothing, or only a part of an answer, came from there; the text says no more than the kind of the error."""
    kind = "did not answer in time" if isinstance(error, httpx.TimeoutException) else "cannot be reached"
    return SpellcastError(
        UNREACHABLE, f"{address} {kind} ({type(error).__name__}). Is the address right, and is it up?"
    )


def refusal(reply: httpx.Response) -> SpellcastError:
    """What the API said instead of an answer."""
    try:
        error = reply.json()["error"]
        return SpellcastError(
            str(error["code"]),
            str(error["message"]),
            faults=[Fault(str(fault["path"]), str(fault["message"])) for fault in error.get("details") or ()],
            status=reply.status_code,
            request_id=_request_id(reply),
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        return _unexpected(reply)


def _unexpected(reply: httpx.Response) -> SpellcastError:
    said = f"{reply.request.url.host} answered {reply.status_code}"
    if reply.status_code in PASSING:
        code, message = UNAVAILABLE, f"{said}: it has too much to do, or is being deployed. Try again a little later."
    else:
        advice = "Is it the address of Spellcast's API, and is the client as new as the API?"
        code, message = UNEXPECTED_ANSWER, f"{said} with something that this client does not know. {advice}"
    return SpellcastError(code, message, status=reply.status_code, request_id=_request_id(reply))


def _request_id(reply: httpx.Response) -> str | None:
    return next((reply.headers[name] for name in _REQUEST_IDS if name in reply.headers), None)


def _retry_after(text: str) -> float | None:
    """Seconds, from seconds or from a date."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
