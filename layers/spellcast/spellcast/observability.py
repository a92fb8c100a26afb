"""The log: one JSON line an entry, with the cast's id; never a secret, a prompt, or a URL with a token in it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger


def begin(**keys: Any) -> Logger:
    """The logger of one invocation, with these keys in every line and none of the invocation before."""
    logger().structure_logs(append=False, **keys)
    return logger()


@cache
def logger() -> Logger:
    """The process's logger, made when it is first used."""
    return Logger(service="spellcast")


def measure(counts: Mapping[str, int]) -> None:
    """One line of metrics in the log, from which CloudWatch makes them (namespace Spellcast)."""
    from aws_lambda_powertools.metrics import Metrics, MetricUnit

    metrics = Metrics(namespace="Spellcast", service="spellcast")
    for name, count in counts.items():
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=count)
    metrics.flush_metrics()
