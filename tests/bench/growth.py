"""How what is counted grows with the steps of a spell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import linear_regression

from tests.bench.counts import Counted
from tests.bench.shapes import DELIVERIES

QUANTITIES: dict[str, Callable[[Counted], float]] = {
    "transitions": lambda found: found.transitions,
    "Lambdas": lambda found: found.invocations,
    "write units": lambda found: found.write_units,
    "read units": lambda found: found.read_units,
    "events": lambda found: found.events,
    "largest payload, bytes": lambda found: found.largest_payload,
    "$ per 1,000": lambda found: float(found.usd_per_thousand),
}


@dataclass(frozen=True)
class Line:
    """A straight line through the counts; `off` is how far the farthest of them lies from it."""

    quantity: str
    delivery: str
    per_step: float
    fixed: float
    off: float


def lines(counted: Mapping[str, Counted]) -> Iterator[Line]:
    """Of each quantity for each delivery, by least squares."""
    for delivery in DELIVERIES:
        found = sorted((each for each in counted.values() if each.delivery == delivery), key=lambda each: each.steps)
        steps = [each.steps for each in found]
        for quantity, of in QUANTITIES.items():
            values = [of(each) for each in found]
            slope, fixed = linear_regression(steps, values)
            off = max(abs(fixed + slope * step - value) for step, value in zip(steps, values, strict=True))
            yield Line(quantity, delivery, slope, fixed, off)
