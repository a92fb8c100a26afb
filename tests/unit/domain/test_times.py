from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain import times

MOMENTS = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC))


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 31, 12, tzinfo=UTC), "2026-01-31T12:00:00.000Z"),
        (datetime(2026, 1, 31, 12, 0, 0, 7_999, tzinfo=UTC), "2026-01-31T12:00:00.007Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000Z"),
        (datetime(2026, 1, 31, 0, 30, tzinfo=timezone(timedelta(hours=2))), "2026-01-30T22:30:00.000Z"),
    ],
)
def test_a_time_is_iso_8601_in_utc_with_milliseconds(moment: datetime, text: str) -> None:
    assert times.to_text(moment) == text


def test_the_machines_own_zone_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "XYZ-9")
        time.tzset()
        text = times.to_text(datetime(2026, 1, 31, 12, tzinfo=UTC))
    time.tzset()
    assert text == "2026-01-31T12:00:00.000Z"


@given(MOMENTS)
def test_a_time_is_read_as_it_was_written_to_the_millisecond(moment: datetime) -> None:
    read = times.from_text(times.to_text(moment))
    assert read.tzinfo is not None
    assert timedelta(0) <= moment - read < timedelta(milliseconds=1)
    assert times.from_text(times.to_text(read)) == read


@given(MOMENTS, MOMENTS)
def test_texts_sort_in_the_order_of_time(one: datetime, other: datetime) -> None:
    if times.to_text(one) < times.to_text(other):
        assert one < other


@pytest.mark.parametrize(("seconds", "expected"), [(0, 0), (1.2345, 1234), (30, 30_000), (-30, 0)])
def test_a_duration_is_in_whole_milliseconds_and_never_negative(seconds: float, expected: int) -> None:
    start = datetime(2026, 1, 31, tzinfo=UTC)
    assert times.milliseconds(start, start + timedelta(seconds=seconds)) == expected


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31", "2026-01-31T00:00:00.000Z"),
        ("2026-01-31T12:30:15Z", "2026-01-31T12:30:15.000Z"),
        ("2026-01-31T12:30:15.123Z", "2026-01-31T12:30:15.123Z"),
    ],
)
def test_callers_send_a_day_or_a_time(text: str, moment: str) -> None:
    assert re.fullmatch(times.PATTERN, text)
    assert times.to_text(times.from_day_or_time(text)) == moment


@pytest.mark.parametrize("text", ["2026-02-30", "2026-13-01", "2026-01-31T25:00:00Z"])
def test_what_no_calendar_has_is_no_day(text: str) -> None:
    assert re.fullmatch(times.PATTERN, text)
    with pytest.raises(ValueError, match=r"."):
        times.from_day_or_time(text)


@pytest.mark.parametrize(
    "text", ["", "2026-1-31", "2026-01-31T12:00:00", "2026-01-31T12:00:00+01:00", "now", "0001-01-01"]
)
def test_other_texts_are_not_allowed(text: str) -> None:
    assert not re.fullmatch(times.PATTERN, text)
