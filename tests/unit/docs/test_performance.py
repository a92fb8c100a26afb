"""docs/performance.md and its plots are what docs/performance.json says, and its counts are within their budgets."""

from __future__ import annotations

import re
from decimal import Decimal
from xml.etree import ElementTree

import pytest

from tests.bench import growth, job_times
from tests.bench.budgets import COUNT_BUDGETS, POLLS, USD, CountBudget, outcomes
from tests.bench.marked import ROOT, filled, table
from tests.bench.plots import nice_ticks
from tests.bench.prices import Billed
from tests.bench.report import PAGE, known, pictures, written
from tests.bench.shapes import shapes
from tests.bench.tables import contents, counted
from tests.bench.tables import job_times as of_the_run

FACTS = known()
COUNTS = counted(FACTS)
DOCUMENT = PAGE.read_text("utf-8")
AGAIN = "python -m tests.bench.report writes it anew"


class TestPage:
    def test_its_tables_are_those_of_the_figures(self) -> None:
        assert written(FACTS, DOCUMENT) == DOCUMENT, AGAIN

    def test_a_figure_that_is_another_is_noticed(self) -> None:
        (found, *_) = re.findall(r"^\| 3 webhook \|.*$", DOCUMENT, re.MULTILINE)
        assert written(FACTS, DOCUMENT.replace(found, found.replace("11", "12", 1))) == DOCUMENT

    @pytest.mark.parametrize("path", pictures(FACTS), ids=lambda path: path.name)
    def test_its_plots_are_those_of_the_figures(self, path: object) -> None:
        (file,) = [file for file in pictures(FACTS) if file == path]
        assert file.read_text("utf-8") == pictures(FACTS)[file], AGAIN
        assert file.stat().st_size < 60_000
        ElementTree.parse(file)
        assert f"](images/{file.name})" in DOCUMENT

    def test_every_file_that_it_names_exists(self) -> None:
        named = re.findall(r"`((?:tests|docs|local)/[\w/.]+)`", DOCUMENT) + re.findall(r"\]\(([\w/.-]+)\)", DOCUMENT)
        assert len(named) > 5
        assert [path for path in named if not ((ROOT / path).exists() or (PAGE.parent / path).exists())] == []

    def test_what_another_command_writes_is_left_alone(self) -> None:
        assert "cold" not in contents(FACTS)
        assert "<!-- cold -->\n" in DOCUMENT


class TestBudgets:
    def test_every_shape_was_counted(self) -> None:
        assert COUNTS.keys() == shapes().keys()

    @pytest.mark.parametrize("name", COUNTS)
    @pytest.mark.parametrize("budget", COUNT_BUDGETS, ids=lambda budget: budget.what)
    def test_counts_are_within_them(self, budget: CountBudget, name: str) -> None:
        assert budget.used(COUNTS[name]) <= budget.limit(COUNTS[name])

    @pytest.mark.parametrize("name", USD)
    def test_prices_are_within_them(self, name: str) -> None:
        assert COUNTS[name].usd_per_thousand <= USD[name]

    @pytest.mark.parametrize("seconds", POLLS)
    def test_polls_are_within_them_and_as_the_schedule_has_them(self, seconds: int) -> None:
        (row,) = [row for row in FACTS["job_times"] if (row["delivery"], row["seconds"]) == ("polled", seconds)]
        assert row["polls"] <= job_times.polls(seconds) <= POLLS[seconds]

    def test_a_job_that_calls_back_costs_the_same_however_long_it_takes(self) -> None:
        rows = [row for row in FACTS["job_times"] if row["delivery"] == "webhook"]
        assert len({(row["transitions"], row["write_units"]) for row in rows}) == 1

    def test_one_that_is_not_met_is_said_to_be_so(self) -> None:
        facts = {**FACTS, "times": {**FACTS["times"], "step_ms": 5.01}}
        (step,) = [row for row in outcomes(facts, COUNTS) if row.what.startswith("an immediate step")]
        assert not step.is_met
        assert f"| {step.what} | 5.0 ms | **no** |" in contents(facts)["budgets"]


class TestArithmetic:
    def test_a_price_is_the_sum_of_its_parts(self) -> None:
        calls = {"cast_api": 1, "notify": 2}  # of 512 MB and 256 MB
        bill = Billed(transitions=4, calls=calls, write_units=10, read_units=8, events=3, http=2)
        compute = Decimal("0.06") * (Decimal("0.5") + 2 * Decimal("0.25")) * Decimal("0.0000133334")
        rest = (
            Decimal("0.0001") + Decimal("0.0000006") + Decimal("0.00000625") + Decimal("0.000001") + Decimal("0.000005")
        )
        assert bill.usd_per_thousand == (compute + rest) * 1000

    def test_polls_follow_the_schedule(self) -> None:
        assert [job_times.polls(seconds) for seconds in (1, 2, 3, 30, 65, 66)] == [1, 1, 2, 6, 7, 8]

    def test_designs_that_wait_cost_the_same_and_those_that_ask_cost_more(self) -> None:
        found = {name: (usd(1), usd(900)) for name, usd in job_times.designs(COUNTS, of_the_run(FACTS)).items()}
        growing = {name for name, (short, long) in found.items() if long > short}
        assert growing == {"Spellcast, polled", "poll every 5 s"}

    def test_a_line_through_points_of_a_line_is_that_line(self) -> None:
        for line in growth.lines(COUNTS):
            if (line.quantity, line.delivery) == ("transitions", "webhook"):
                assert (round(line.per_step, 9), round(line.fixed, 9), round(line.off, 9)) == (3, 2, 0)

    @pytest.mark.parametrize(
        ("most", "ticks"), [(4.6, [0, 1, 2, 3, 4, 5]), (10, [0, 2, 4, 6, 8, 10]), (626, [0, 200, 400, 600, 800])]
    )
    def test_ticks_are_round_and_few(self, most: float, ticks: list[float]) -> None:
        assert nice_ticks(most) == ticks


class TestPlaces:
    def test_a_place_that_there_is_not_is_an_error(self) -> None:
        with pytest.raises(KeyError, match="there"):
            filled("<!-- here -->\n<!-- end -->", {"there": "a table"})

    def test_what_stood_there_is_gone_and_what_stands_around_stays(self) -> None:
        page = "a\n<!-- one -->\nold\n<!-- end -->\nb\n<!-- two -->\nkept\n<!-- end -->"
        assert filled(page, {"one": table([["x", "y"], [r"\1", "2"]], numbers=True)}) == (
            "a\n<!-- one -->\n| x | y |\n|---|---:|\n| \\1 | 2 |\n<!-- end -->\nb\n<!-- two -->\nkept\n<!-- end -->"
        )
