"""Times are aware datetimes in UTC, and ISO 8601 with milliseconds and `Z` wherever they leave the system."""

from __future__ import annotations

from datetime import UTC, datetime

# What callers may send: `2026-01-31`, or `2026-01-31T12:00:00Z`.
PATTERN = r"^2[0-9]{3}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{3})?Z)?$"

RULE = "is a day or a time in UTC: 2026-01-31, 2026-01-31T12:00:00Z or 2026-01-31T12:00:00.250Z"


def to_text(moment: datetime) -> str:
    """`2026-01-31T12:00:00.000Z`; sorts as text in the order of time."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_text(text: str) -> datetime:
    """The inverse of `to_text`, to the millisecond."""
    return datetime.fromisoformat(text)


def from_day_or_time(text: str) -> datetime:
    """Of what the pattern allows; a day begins at midnight. Raises ValueError for one that no calendar has."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def milliseconds(start: datetime, end: datetime) -> int:
    """Whole milliseconds from start to end; never negative, since two machines' clocks may differ."""
    return max(0, round((end - start).total_seconds() * 1000))
