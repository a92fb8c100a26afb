"""Times are aware datetimes in UTC, and ISO 8601 with milliseconds and `Z` wherever they leave the system."""

from __future__ import annotations

from datetime import UTC, datetime


def to_text(moment: datetime) -> str:
    """`2026-01-31T12:00:00.000Z`; sorts as text in the order of time."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_text(text: str) -> datetime:
    """The inverse of `to_text`, to the millisecond."""
    return datetime.fromisoformat(text)


def milliseconds(start: datetime, end: datetime) -> int:
    """Whole milliseconds from start to end; never negative, since two machines' clocks may differ."""
    return max(0, round((end - start).total_seconds() * 1000))
