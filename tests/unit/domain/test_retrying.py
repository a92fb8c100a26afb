from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain import errors
from spellcast.domain.errors import LimitReached, ProviderNotConfigured, ProviderUnavailable, StepFailed
from spellcast.domain.retrying import (
    FLOOR_SECONDS,
    MOST_TRIES,
    parse_retry_after,
    pause_before_next,
    proves_nothing_begun,
)
from tests.fakes.clock import START

EVER = float("inf")


@pytest.mark.parametrize(
    ("tries", "retry_after", "draw", "left", "pause"),
    [
        pytest.param(1, None, 0.0, EVER, 0.5, id="never at once"),
        pytest.param(1, None, 1.0, EVER, 1.5, id="the first spread"),
        pytest.param(2, None, 1.0, EVER, 2.5, id="the spread doubles"),
        pytest.param(3, None, 0.5, EVER, 2.5, id="the draw says how much of it"),
        pytest.param(4, None, 0.0, EVER, None, id="too many tries"),
        pytest.param(1, 30.0, 0.0, EVER, 30.0, id="as long as the provider asks for"),
        pytest.param(1, 30.0, 1.0, EVER, 31.0, id="and a little more, so that not all come at once"),
        pytest.param(1, 0.0, 0.0, EVER, 0.5, id="a provider that asks for no wait"),
        pytest.param(1, 30.0, 0.0, 30.0, 30.0, id="just in time"),
        pytest.param(1, 30.0, 0.0, 29.9, None, id="later than there is time for"),
        pytest.param(1, None, 0.0, -1.0, None, id="the time is over"),
    ],
)
def test_the_wait_before_the_next_try(
    tries: int, retry_after: float | None, draw: float, left: float, pause: float | None
) -> None:
    assert pause_before_next(tries, retry_after, draw, left) == pause


@given(
    tries=st.integers(1, 10),
    retry_after=st.none() | st.floats(0, 10**6),
    draw=st.floats(0, 1),
    left=st.floats(-10, 10**6),
)
def test_a_wait_has_a_floor_and_an_end(tries: int, retry_after: float | None, draw: float, left: float) -> None:
    pause = pause_before_next(tries, retry_after, draw, left)
    if pause is not None:
        assert tries < MOST_TRIES
        assert max(FLOOR_SECONDS, retry_after or 0) <= pause <= left


def http_date(seconds: float) -> str:
    return format_datetime(START + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 0.25 "}, 0.25),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after-ms": "x", "retry-after": "2"}, 2),
        ({"retry-after": http_date(90)}, 90),
        ({"retry-after": http_date(-90)}, 0),
        ({"retry-after": http_date(3690), "date": http_date(3600)}, 90),
        ({"retry-after": http_date(90), "date": "now"}, 90),
        ({"retry-after": http_date(90).replace("GMT", "-0000")}, 90),
    ],
    ids=str,
)
def test_what_a_provider_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    assert parse_retry_after(headers, START) == seconds


@pytest.mark.parametrize(
    ("error", "proves"),
    [
        (ProviderUnavailable("Busy.", nothing_started=True), True),
        (ProviderUnavailable("Somewhere."), False),
        (LimitReached("Full."), True),
        (ProviderNotConfigured("No key."), True),
    ],
)
def test_what_proves_that_nothing_was_begun(error: StepFailed, proves: bool) -> None:
    assert proves_nothing_begun(error) is proves


def test_no_other_error_proves_it() -> None:
    others = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, StepFailed)}
    others -= {ProviderUnavailable, LimitReached, ProviderNotConfigured}
    assert len(others) > 10
    assert not any(proves_nothing_begun(kind("x")) for kind in others)
