"""The budgets: of counts, which tests hold, and of times, which are reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from tests.bench.counts import Counted

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class CountBudget:
    """What a cast may use of something, by its shape."""

    what: str
    used: Callable[[Counted], float]
    limit: Callable[[Counted], float]


# S is the number of segments.
COUNT_BUDGETS = (
    CountBudget(
        "transitions of the cast's machine, ≤ 3 S + 2",
        lambda found: found.cast_transitions,
        lambda found: 3 * found.segments + 2,
    ),
    CountBudget(
        "transitions of a job's polling, ≤ 2 + 3 a poll",
        lambda found: found.poll_transitions,
        lambda found: 2 * found.jobs + 3 * found.polls,
    ),
    CountBudget(
        "invocations by the cast's machine, ≤ 2 S + 1",
        lambda found: found.machine_invocations,
        lambda found: 2 * found.segments + 1,
    ),
    CountBudget(
        "calls of `complete_job`, ≤ 2 a job, of its begin and its end",
        lambda found: found.completions,
        lambda found: 2 * found.jobs,
    ),
    CountBudget(
        "writes of steps, ≤ 1 an immediate one (2 if last in its segment), 4 a job",
        lambda found: found.generation_writes,
        # A segment ends with a job, or else with an immediate step.
        lambda found: (found.steps - found.jobs) + (found.segments - found.jobs) + 4 * found.jobs,
    ),
    CountBudget(
        "write units of job steps, ≤ 8 each",
        lambda found: found.generation_units if found.steps == found.jobs else 0,
        lambda found: 8 * found.jobs,
    ),
    CountBudget("writes of the cast beside its steps, ≤ 5", lambda found: found.cast_writes, lambda found: 5),
    CountBudget(
        "write units of the cast's own row, ≤ 6 up to ten steps, 8 up to fifty",
        lambda found: found.cast_units,
        # At the begin and at the end the row and its place in each of two indexes; a long spell's row passes 1 KB.
        lambda found: 6 if found.steps <= 10 else 8,
    ),
    CountBudget("bytes of a state's payload, ≤ 4,096", lambda found: found.largest_payload, lambda found: 4_096),
)
# US dollars for a thousand casts at list price.
USD = {"3 immediate": Decimal("0.17"), "3 webhook": Decimal("0.35")}
# Seconds of a job, and how often it may be polled in them.
POLLS = {30: 6, 300: 16}


@dataclass(frozen=True)
class Outcome:
    """One row: a budget, what was measured, and whether that is within it."""

    what: str
    measured: str
    is_met: bool


def _nearness(budget: CountBudget, found: Counted) -> tuple[float, float]:
    """To the limit; of those that are equally near, the larger one."""
    limit = budget.limit(found)
    return (budget.used(found) / limit if limit else 0, limit)


def outcomes(facts: Facts, counts: Mapping[str, Counted]) -> Iterator[Outcome]:
    """Every budget that this report has figures for."""
    for budget in COUNT_BUDGETS:
        worst = max(counts.values(), key=partial(_nearness, budget))
        used, limit = budget.used(worst), budget.limit(worst)
        is_met = all(budget.used(found) <= budget.limit(found) for found in counts.values())
        yield Outcome(budget.what, f"{used:,.0f} of {limit:,.0f} ({worst.name})", is_met)
    polls = {row["seconds"]: row["polls"] for row in facts["job_times"] if row["delivery"] == "polled"}
    for seconds, most in POLLS.items():
        yield Outcome(f"polls of a job of {seconds} s, ≤ {most}", str(polls[seconds]), polls[seconds] <= most)
    for name, most_usd in USD.items():
        usd = counts[name].usd_per_thousand
        yield Outcome(f"$ for 1,000 casts of {name} steps, ≤ {most_usd}", f"{usd:.3f}", usd <= most_usd)
    times = facts["times"]
    yield Outcome(
        "completion → next step's submit, ≤ 3 warm Lambda states that read and write",
        f"{times['submit_ratio']:.1f}",
        times["submit_ratio"] <= 3,
    )
    yield Outcome("an immediate step of ten, ≤ 5 ms", f"{times['step_ms']:.1f} ms", times["step_ms"] <= 5)
    yield Outcome(
        "casts a second, three immediate steps, ≥ 10",
        f"{times['casts_per_second']:.1f}",
        times["casts_per_second"] >= 10,
    )
    yield Outcome("memory with 20 casts in flight, ≤ 900 MB", f"{times['memory_mb']:.0f} MB", times["memory_mb"] <= 900)
    grown = facts["copying"]["grown"]
    yield Outcome("memory that an output of 100 MB takes, ≤ 64 MB", f"{grown:.0f} MB", grown <= 64)
    dearest = max(facts["adapters"], key=lambda row: row["adapter_ms"] - row["httpx_ms"])
    more = dearest["adapter_ms"] - dearest["httpx_ms"]
    yield Outcome("what an adapter adds to a call, ≤ 3 ms", f"{more:.2f} ms ({dearest['service']})", more <= 3)
