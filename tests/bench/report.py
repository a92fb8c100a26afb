"""`python -m tests.bench.report` writes docs/performance.md and its plots anew from docs/performance.json."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench.budgets import Facts
from tests.bench.job_times import designs
from tests.bench.marked import ROOT, filled
from tests.bench.plots import Axis, Plot, Series, drawn, nice_ticks
from tests.bench.shapes import DELIVERIES, STEPS
from tests.bench.tables import contents, counted, job_times

PAGE = ROOT / "docs" / "performance.md"
FACTS = ROOT / "docs" / "performance.json"
IMAGES = ROOT / "docs" / "images"
_SECONDS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 300, 420, 600, 900)


def known() -> dict[str, Any]:
    """The figures of the last run."""
    facts: dict[str, Any] = json.loads(FACTS.read_text("utf-8"))
    return facts


def written(facts: Facts, page: str) -> str:
    """The page with these figures."""
    return filled(page, contents(facts))


def pictures(facts: Facts) -> Mapping[Path, str]:
    """By file, every plot of these figures."""
    return {IMAGES / f"performance-{name}.svg": drawn(plot) for name, plot in _plots(facts).items()}


def _plots(facts: Facts) -> dict[str, Plot]:
    counts, flights = counted(facts), facts["capacity"]
    prices = [
        Series(delivery, [(steps, float(counts[f"{steps} {delivery}"].usd_per_thousand)) for steps in STEPS])
        for delivery in DELIVERIES
    ]
    times = [
        Series(name, [(at, usd(at)) for at in _SECONDS], has_dots=False, is_dashed=not name.startswith("Spellcast"))
        for name, usd in designs(counts, job_times(facts)).items()
    ]
    in_flight = Axis("casts in flight", [row["in_flight"] for row in flights], is_log=True)
    return {
        "steps": Plot(
            "List price of 1,000 casts by their steps",
            Axis("steps of the spell", (0, 10, 20, 30, 40, 50)),
            _upright("US dollars", prices),
            prices,
        ),
        "job-time": Plot(
            "List price of 1,000 casts of three jobs by the jobs' time",
            Axis("seconds that each job takes", (1, 3, 10, 30, 100, 300, 900), is_log=True),
            Axis("US dollars", (0.1, 1, 10, 100), is_log=True),
            times,
        ),
        "capacity": _by_flight("Casts a second on the embedded cloud", in_flight, "casts_per_second", flights),
        "memory": _by_flight("Memory of the embedded cloud, MB", in_flight, "megabytes", flights),
    }


def _by_flight(title: str, x: Axis, key: str, rows: list[dict[str, float]]) -> Plot:
    series = [Series("three immediate steps", [(row["in_flight"], row[key]) for row in rows])]
    return Plot(title, x, _upright("MB" if key == "megabytes" else "casts a second", series), series)


def _upright(label: str, series: list[Series]) -> Axis:
    return Axis(label, nice_ticks(max(y for each in series for _, y in each.points)))


def write(facts: Facts) -> None:
    """Page, plots and figures."""
    FACTS.write_text(json.dumps(facts, indent=1, ensure_ascii=False, default=str) + "\n", "utf-8")
    PAGE.write_text(written(facts, PAGE.read_text("utf-8")), "utf-8")
    for file, picture in pictures(facts).items():
        file.write_text(picture, "utf-8")


def main() -> int:
    write(known())
    return 0


if __name__ == "__main__":
    sys.exit(main())
