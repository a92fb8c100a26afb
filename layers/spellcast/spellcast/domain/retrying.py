"""Asking a provider again that has begun nothing, or another one: when, how long to wait before, when to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from spellcast.domain.errors import LimitReached, ProviderNotConfigured, ProviderUnavailable, StepFailed

# Inside one invocation, which is paid for while it waits.
MOST_TRIES = 4
MOST_SECONDS = 60.0
# Full jitter alone may draw a wait of nothing.
FLOOR_SECONDS = 0.5
FIRST_SPREAD_SECONDS = 1.0


def pause_before_next(tries: int, retry_after: float | None, draw: float, left: float) -> float | None:
    """Seconds until the next try, or None where there is none: too many tries, or a wait longer than `left` seconds.

    `draw` is from 0 to 1; what the provider asks for in `retry_after` is the least that is waited.
    """
    if tries >= MOST_TRIES:
        return None
    pause = max(FLOOR_SECONDS, retry_after or 0.0) + draw * FIRST_SPREAD_SECONDS * 2 ** (tries - 1)
    return pause if pause <= left else None


def proves_nothing_begun(error: StepFailed) -> bool:
    """Whether the step's tool could not be asked, or certainly began nothing: another tool may do its work."""
    if isinstance(error, ProviderUnavailable):
        return error.nothing_started
    return isinstance(error, LimitReached | ProviderNotConfigured)


def parse_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds, from `retry-after-ms` or `retry-after` (a number or a date); header names are lower case.

    A date is compared with the answer's own `date` where it has one: clocks differ.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    told = headers.get("retry-after")
    seconds = _number(told)
    if seconds is not None:
        return seconds
    until = _date(told)
    return None if until is None else max(0.0, (until - (_date(headers.get("date")) or now)).total_seconds())


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _date(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
