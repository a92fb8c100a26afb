"""`python -m tests.bench.load` writes the tables of docs/load.md: what casts need and cost."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from local.deploy import load_template
from tests.bench.marked import ROOT, filled, table
from tests.bench.prices import (
    GB_SECOND,
    INVOCATION,
    OTHER_MEMORY_GB,
    READ_UNIT,
    SECONDS_PER_INVOCATION,
    Billed,
)

PAGE = ROOT / "docs" / "load.md"
RATES = (10, 1_000, 100_000)  # casts an hour
PEAK = 5  # times the mean of the hour, for as long as buckets do not help
HOURS_A_MONTH = 730
# US dollars, list, us-east-1.
LOG_GB = Decimal("0.50")
METRIC, ALARM_METRIC, SECRET, DASHBOARD = Decimal("0.30"), Decimal("0.10"), Decimal("0.40"), Decimal(3)
SWEEPS_A_MONTH = 60 * HOURS_A_MONTH
OWN_METRICS = 9  # seven of the sweep, CastCostUsd, ConnectionsGone


@dataclass(frozen=True)
class Modelled(Billed):
    """One cast's counts, as tests/bench/counts.py finds them.

    `log_bytes` is an estimate: a line and Lambda's own three for each call, five for each state, one for each request.
    """

    log_bytes: int

    @property
    def busy_seconds(self) -> float:
        """Of Lambdas at work, with a provider that takes the submit in 0.5 s and pictures that are copied in 2 s."""
        slow = {"execute_step": 0.5, "process_output": 2.0} if "complete_job" in self.calls else {}
        return sum(
            number * slow.get(function, float(SECONDS_PER_INVOCATION)) for function, number in self.calls.items()
        )

    @property
    def log_usd_per_thousand(self) -> Decimal:
        return LOG_GB * self.log_bytes * 1000 / 10**9


SHAPES = {
    "3 immediate": Modelled(
        transitions=5,
        calls={"cast_api": 1, "execute_step": 1, "process_output": 1, "finalize_cost": 1, "notify": 5},
        write_units=11,
        read_units=15,
        events=6,
        http=1,
        log_bytes=20_000,
    ),
    "3 webhook": Modelled(
        transitions=11,
        calls={
            "cast_api": 1,
            "execute_step": 3,
            "complete_job": 6,
            "process_output": 3,
            "finalize_cost": 1,
            "notify": 14,
        },
        write_units=35,
        read_units=39,
        events=14,
        http=7,
        log_bytes=50_000,
    ),
}
HEAVY = SHAPES["3 webhook"]


@dataclass(frozen=True)
class Quota:
    """What there is of it in us-east-1 by default, and what a cast a second needs; `ours` is set in template.yaml."""

    name: str
    limit: float
    need: Callable[[Modelled], float]
    ours: bool = False


def quotas() -> Sequence[Quota]:
    """In the order in which they would bind at the heavier shape."""
    stage = load_template(ROOT / "template.yaml")["Mappings"]["Stages"]["prod"]
    found = [
        Quota("casts a second (`Casts`)", stage["Casts"], lambda shape: 1, ours=True),
        Quota("callbacks a second (`Requests`)", stage["Requests"], lambda shape: shape.http - 1, ours=True),
        Quota("Lambda: concurrent executions", 1_000, lambda shape: shape.busy_seconds),
        Quota("DynamoDB: units a second of a table that was not warmed", 4_000, lambda shape: shape.write_units),
        Quota("Step Functions: StartExecution a second", 300, lambda shape: 1),
        # Of a job's two callbacks the one at its end.
        Quota("Step Functions: SendTaskSuccess a second", 500, lambda shape: shape.calls.get("complete_job", 0) / 2),
        Quota("Step Functions: transitions a second", 5_000, lambda shape: shape.transitions),
        Quota("EventBridge: PutEvents entries a second", 10_000, lambda shape: shape.events),
        Quota(
            "API Gateway: requests a second, with posts to WebSockets", 10_000, lambda shape: shape.http + shape.events
        ),
        Quota("WebSocket: new connections a second, one a cast", 500, lambda shape: 1),
        Quota("DynamoDB: 1,000 units a second of one account's list (`byAccount`)", 1_000, lambda shape: 2),
        Quota("DynamoDB: 1,000 units a second of one spell's count", 1_000, lambda shape: 1),
        Quota("DynamoDB: 1,000 units a second of each of 8 shards of `byOpen`", 8_000, lambda shape: 2),
        Quota("KMS: requests a second, were no key ever cached", 50_000, lambda shape: shape.write_units),
    ]
    return sorted(found, key=lambda quota: quota.limit / quota.need(HEAVY))


def used(quota: Quota, rate: int) -> float:
    """How much of it the peak takes; more than 1 is more than there is."""
    return quota.need(HEAVY) * PEAK * rate / 3600 / quota.limit


def fixed_usd_a_month() -> Decimal:
    """What an idle stage costs: alarms by their metrics, metrics of ours, secrets, the dashboard, a sweep a minute."""
    resources = load_template(ROOT / "template.yaml")["Resources"].values()
    alarms = [each["Properties"] for each in resources if each["Type"] == "AWS::CloudWatch::Alarm"]
    watched = sum(
        len([part for part in alarm["Metrics"] if "MetricStat" in part]) if "Metrics" in alarm else 1
        for alarm in alarms
    )
    secrets = sum(each["Type"] == "AWS::SecretsManager::Secret" for each in resources)
    # Each sweep is an event, an invocation, and a read of each shard.
    sweep = INVOCATION + GB_SECOND * OTHER_MEMORY_GB * SECONDS_PER_INVOCATION + 8 * READ_UNIT / 2
    total: Decimal = (
        watched * ALARM_METRIC + OWN_METRICS * METRIC + secrets * SECRET + DASHBOARD + SWEEPS_A_MONTH * sweep
    )
    return total


def tables() -> Iterator[tuple[str, list[list[str]]]]:
    """By name, the header first."""
    yield (
        "counts",
        [
            [
                "one cast",
                "transitions",
                "Lambdas",
                "write units",
                "read units",
                "events",
                "requests",
                "$ per 1,000",
                "with logs",
            ],
            *(
                [
                    name,
                    *(
                        str(number)
                        for number in (
                            shape.transitions,
                            shape.invocations,
                            shape.write_units,
                            shape.read_units,
                            shape.events,
                            shape.http,
                        )
                    ),
                    f"{shape.usd_per_thousand:.3f}",
                    f"{shape.usd_per_thousand + shape.log_usd_per_thousand:.3f}",
                ]
                for name, shape in SHAPES.items()
            ),
        ],
    )
    yield (
        "quotas",
        [
            ["what may bind", "there is", *(f"{rate:,} an hour" for rate in RATES), "binds at, an hour"],
            *(
                [
                    f"**{quota.name}**" if quota.ours else quota.name,
                    f"{quota.limit:,}",
                    *(percent(used(quota, rate)) for rate in RATES),
                    f"{quota.limit / quota.need(HEAVY) / PEAK * 3600:,.0f}",
                ]
                for quota in quotas()
            ),
        ],
    )
    yield (
        "costs",
        [
            ["US dollars a month", *(f"{rate:,} an hour" for rate in RATES)],
            ["alarms, metrics, secrets, dashboard, sweeps", *([f"{fixed_usd_a_month():,.2f}"] * len(RATES))],
            *(
                [
                    f"casts of {name} steps, with logs",
                    *(
                        f"{(shape.usd_per_thousand + shape.log_usd_per_thousand) * rate * HOURS_A_MONTH / 1000:,.2f}"
                        for rate in RATES
                    ),
                ]
                for name, shape in SHAPES.items()
            ),
        ],
    )


def percent(share: float) -> str:
    text = "< 0.1 %" if share < 0.001 else f"{share:.1%}".replace("%", " %")
    return f"**{text}**" if share > 1 else text


def written(page: str) -> str:
    """The page with its tables as they are to be."""
    return filled(page, {name: table(rows) for name, rows in tables()})


def main() -> int:
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
