"""The table of docs/performance.md is what docs/cold_start.json says, of every function that there is."""

from __future__ import annotations

import json
from typing import Any

from tests.bench.cold import BUDGET, FIGURES, PAGE, Start, figures, table, written

DOCUMENT = PAGE.read_text("utf-8")
FOUND: dict[str, Any] = json.loads(FIGURES.read_text("utf-8"))


def test_the_table_is_that_of_the_figures() -> None:
    assert written(DOCUMENT, FOUND) == DOCUMENT, "make bench-cold writes both anew"


def test_a_table_that_says_something_else_is_noticed() -> None:
    assert written(DOCUMENT.replace("| floor | ", "| floor | 9", 1), FOUND) == DOCUMENT


def test_every_function_was_measured() -> None:
    functions = {path.parent.name for path in (PAGE.parents[1] / "functions").glob("*/app.py")}
    assert FOUND["functions"].keys() == {"floor", *functions} - {"check_deployment"}
    assert FOUND["budget"] == BUDGET


def test_what_is_over_the_budget_is_said_to_be() -> None:
    starts = {"floor": Start(90, 10, 80, 1, 2), "lean": Start(120, 10, 1, 1, 1), "slow": Start(120, 11, 1, 1, 1)}
    floor, lean, slow, *_ = table(figures(starts, {name: {"boto3": 3.14} for name in starts})).splitlines()[2:]
    assert floor == "| floor | 90 | 10 | 1.00 | met | 80 | 1.0 | 2 | boto3 3 |"
    assert "| 1.30 | met |" in lean
    assert "| 1.31 | **not met** |" in slow
