"""AWS's list prices in us-east-1, in US dollars (Lambda: arm64), and what a cast comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

TRANSITION = Decimal("0.000025")
INVOCATION = Decimal("0.0000002")
GB_SECOND = Decimal("0.0000133334")
WRITE_UNIT = Decimal("0.000000625")
READ_UNIT = Decimal("0.000000125")
EVENT = Decimal("0.000001")
HTTP_REQUEST = Decimal("0.000001")
# A call is taken as 60 ms of its function's memory.
SECONDS_PER_INVOCATION = Decimal("0.06")
MEMORY_GB = {"execute_step": Decimal("0.5"), "cast_api": Decimal("0.5")}
OTHER_MEMORY_GB = Decimal("0.25")


@dataclass(frozen=True)
class Billed:
    """What one cast makes AWS bill; `calls` is how often each function is invoked."""

    transitions: int
    calls: Mapping[str, int]
    write_units: float
    read_units: float
    events: int
    http: int

    @property
    def invocations(self) -> int:
        """Of all functions."""
        return sum(self.calls.values())

    @property
    def usd_per_thousand(self) -> Decimal:
        """Of a thousand such casts, without logs and without WebSocket messages."""
        memory = sum(
            (number * MEMORY_GB.get(function, OTHER_MEMORY_GB) for function, number in self.calls.items()), Decimal(0)
        )
        price = (
            TRANSITION * self.transitions
            + INVOCATION * self.invocations
            + GB_SECOND * memory * SECONDS_PER_INVOCATION
            + WRITE_UNIT * Decimal(self.write_units)
            + READ_UNIT * Decimal(self.read_units)
            + EVENT * self.events
            + HTTP_REQUEST * self.http
        )
        return price * 1000
