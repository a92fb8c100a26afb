"""Finds and mends, every minute, what everybody else has lost sight of."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from spellcast import bootstrap
from spellcast.application.sweep import SETTLING
from spellcast.observability import begin, logger, measure, observed
from spellcast.starting import before_calls

# In which no mend is begun: one that asks a provider three times takes less.
RESERVE_MS = 65_000


@observed
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """A scheduled event; `detail.olderThanSeconds` is what the embedded cloud asks for when it starts."""
    begin()
    seconds = event["detail"].get("olderThanSeconds")
    report = bootstrap.sweep()(
        is_time_left=lambda: context.get_remaining_time_in_millis() > RESERVE_MS,
        older_than=SETTLING if seconds is None else timedelta(seconds=seconds),
    )
    counts = report.counts()
    logger().info("Swept the open casts", swept=counts, failures=[list(failure) for failure in report.failures])
    measure({f"Sweep{name.capitalize()}": count for name, count in counts.items()})
    return counts


before_calls(bootstrap.sweep)
