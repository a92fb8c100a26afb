"""`make bench`: measures, and writes docs/performance.json, docs/performance.md and its plots."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.bench import adapters, job_times, machine, profiles, report, times
from tests.bench.budgets import outcomes
from tests.bench.capacity import IN_FLIGHT, capacity, memory_of_waiting
from tests.bench.copying import copied
from tests.bench.counts import count, undisturbed
from tests.bench.marked import ROOT
from tests.bench.peers import running
from tests.bench.shapes import shapes
from tests.bench.tables import counted
from tests.cloud import Cloud, started

# As in the budgets: two workers a function.
SETTINGS = {"SPELLCAST_WORKERS": "2", "SPELLCAST_DEMO_JOB_SECONDS": "0.3"}


def main(arguments: list[str]) -> int:
    facts: dict[str, Any] = {"machine": machine.facts()}
    with tempfile.TemporaryDirectory() as folder:
        with started(Path(folder), SETTINGS) as cloud:
            facts |= _counts(cloud)
        # Another one: what the first was told would be in its memory and in its lists.
        with started(Path(folder) / "times", SETTINGS) as cloud:
            facts |= _times(cloud)
    _say("what copying takes, and what adapters add")
    facts["copying"] = asdict(copied(100))
    facts["adapters"] = [asdict(row) for row in adapters.added()]
    facts["peers"] = running.measure(_say, SETTINGS) if "--peers" in arguments else _peers_of_the_last_run()
    report.write(facts)
    _show(facts)
    return 0


def _counts(cloud: Cloud) -> dict[str, Any]:
    found = []
    with undisturbed(cloud, job_times.WAITS_SHORTENED_TO):
        for name, shape in shapes().items():
            _say(f"counts of a cast: {name}")
            found.append(asdict(count(cloud, shape, warm=len(shape.steps) < 10)))
        _say("counts of jobs that take longer")
        return {"counts": found, "job_times": [asdict(row) for row in job_times.measure(cloud)]}


def _times(cloud: Cloud) -> dict[str, Any]:
    _say("memory with 20 casts that wait")
    waiting = memory_of_waiting(cloud, 20)
    _say("times of steps, and casts a second")
    found: dict[str, Any] = {"times": times.measure(cloud) | {"memory_mb": waiting}}
    _say("where the time goes")
    found["profile"] = profiles.profile(cloud)
    found["capacity"] = []
    for in_flight in IN_FLIGHT:
        _say(f"{in_flight} casts in flight")
        found["capacity"].append(asdict(capacity(cloud, in_flight)))
    return found


def _peers_of_the_last_run() -> Any:
    return report.known().get("peers") if report.FACTS.exists() else None


def _show(facts: Mapping[str, Any]) -> None:
    for row in outcomes(facts, counted(facts)):
        _say(f"{'    ' if row.is_met else 'NOT '}met: {row.what}: {row.measured}")
    _say(f"written: {report.PAGE.relative_to(ROOT)}, {report.FACTS.relative_to(ROOT)}, plots")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
