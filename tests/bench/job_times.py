"""What a job's time costs: counted for jobs of some lengths, and arithmetic beside other designs for any length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, count, repeat
from math import ceil

from spellcast.domain.polling import WAITS
from tests.bench import counts
from tests.bench.counts import Counted
from tests.bench.prices import Billed
from tests.bench.shapes import shape
from tests.cloud import Cloud

WAITS_SHORTENED_TO = 0.1
# Seconds of jobs. Polled ones are run in a tenth of them, and so are the waits between polls.
_CALLED, _POLLED = (1, 3, 30), (1, 30, 300)
_N = 3  # steps of the designs that are compared


@dataclass(frozen=True)
class JobTime:
    """One cast of one job that takes so long."""

    delivery: str
    seconds: float
    polls: int
    transitions: int
    invocations: int
    write_units: float
    usd_per_thousand: float


def measure(cloud: Cloud) -> Iterator[JobTime]:
    """On a cloud whose machines wait a tenth of what they are told to."""
    for seconds in _CALLED:
        yield _counted(cloud, "webhook", seconds, seconds)
    for seconds in _POLLED:
        yield _counted(cloud, "polled", seconds, seconds * WAITS_SHORTENED_TO)


def _counted(cloud: Cloud, delivery: str, seconds: float, runs: float) -> JobTime:
    found = counts.count(cloud, shape(delivery, 1, runs), warm=False)
    return JobTime(
        delivery,
        seconds,
        found.polls,
        found.transitions,
        found.invocations,
        found.write_units,
        float(found.usd_per_thousand),
    )


def polls(seconds: float) -> int:
    """How often a job of that time is asked after, by the domain's schedule."""
    times = accumulate(chain(WAITS, repeat(WAITS[-1])))
    return next(number for number, at in zip(count(1), times, strict=False) if at >= seconds)


def designs(counted: Mapping[str, Counted], job_times: Sequence[JobTime]) -> dict[str, Callable[[float], float]]:
    """By name: US dollars for 1,000 casts of three jobs of so many seconds. Ours are all that was counted.

    Of the others it is transitions and Lambdas alone (of Temporal Cloud its actions), without the writes and events
    that they need besides.
    """
    polled = [row for row in job_times if row.delivery == "polled"]
    first, last = polled[0], polled[-1]
    a_poll = (last.usd_per_thousand - first.usd_per_thousand) / (last.polls - first.polls)
    once, called = (float(counted[f"{_N} {name}"].usd_per_thousand) for name in ("polled", "webhook"))
    return {
        "Spellcast, webhook": lambda seconds: called,
        "Spellcast, polled": lambda seconds: once + _N * a_poll * (polls(seconds) - 1),
        "poll every 5 s": lambda seconds: _usd(2 + _N * (2 + 3 * ceil(seconds / 5)), _N * (2 + ceil(seconds / 5))),
        "callback, 2 states a step": lambda seconds: _usd(2 + 2 * _N, 2 * _N),
        "a state for each write": lambda seconds: _usd(2 + 3 * _N, _N),
        "Temporal Cloud": lambda seconds: (1 + 2 * _N) * 50 / 1000,
    }


def _usd(transitions: int, calls: int) -> float:
    return float(Billed(transitions, {"": calls}, 0, 0, 0, 0).usd_per_thousand)
