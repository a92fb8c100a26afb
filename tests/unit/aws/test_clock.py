"""The clock of the deployment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from spellcast.aws.clock import SystemClock
from spellcast.domain import times


def test_now_is_now_in_utc_and_survives_being_written_down() -> None:
    moment = SystemClock().now()
    assert abs(datetime.now(UTC) - moment) < timedelta(seconds=5)
    assert moment.utcoffset() == timedelta(0)
    assert times.from_text(times.to_text(moment)) == moment
