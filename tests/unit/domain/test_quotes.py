"""What a step is quoted at, and on which ground."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain.documents import Document
from spellcast.domain.history import SLOTS, Run, mean_cost, mean_duration, runs_of
from spellcast.domain.pricing import PricingPolicy
from spellcast.domain.quotes import Quote, StepQuote, quote_step
from spellcast.domain.tools import Tool, parse_tool
from tests.fakes.clock import START
from tests.fakes.records import a_generation, in_seconds, tool_document


def a_run(cost: str, duration_ms: int = 1_000, slot: int = 0) -> Run:
    return Run("tool", slot, Decimal(cost), duration_ms, START)


def a_tool(costing: Document | None, **more: Any) -> Tool:
    return parse_tool(tool_document(costingModel=costing, **more))


SECOND = {"rateSource": "machine", "rate": "0.001", "unit": "second"}
RUN = {"rateSource": "static", "staticCost": {"amount": "0.05", "unit": "run"}}
LISTED = {"rateSource": "static", "staticCost": {"amount": "0", "unit": "run"}}
TABLE = {"costTable": {"dall-e-3": {"1024x1024": {"standard": "0.04", "hd": "0.08"}}}}
HISTORY = [a_run("0.02", 1_000), a_run("0.03", 2_001)]


@pytest.mark.parametrize(
    ("tool", "runs", "quote"),
    [
        pytest.param(a_tool(SECOND), HISTORY, ("0.025", 1501, "history"), id="earlier runs come first"),
        pytest.param(a_tool(RUN), HISTORY, ("0.025", 1501, "history"), id="also where the definition has a figure"),
        pytest.param(a_tool(None), HISTORY, ("0.025", 1501, "history"), id="and where it has none"),
        pytest.param(a_tool(LISTED, metadata=TABLE), HISTORY, ("0.08", 1501, "model"), id="not before a table"),
        pytest.param(a_tool(LISTED, metadata=TABLE), [], ("0.08", 1000, "model"), id="a table"),
        pytest.param(a_tool(RUN), [], ("0.05", 1000, "model"), id="once"),
        pytest.param(a_tool(RUN, deliveryMode="async"), [], ("0.05", 30_000, "model"), id="a job takes thirty seconds"),
        pytest.param(
            a_tool(SECOND, deliveryMode="webhook", metadata={"estimatedDurationSeconds": 12.5}),
            [],
            ("0.0125", 12_500, "model"),
            id="the stated time",
        ),
        pytest.param(a_tool(SECOND, deliveryMode="async"), [], ("0.03", 30_000, "default"), id="the usual time"),
        pytest.param(a_tool(None), [], ("0", 1000, "default"), id="no costing model"),
        pytest.param(a_tool(LISTED), [], ("0", 1000, "model"), id="free"),
    ],
)
def test_the_best_ground_is_taken(tool: Tool, runs: list[Run], quote: tuple[str, int, str]) -> None:
    step = quote_step(7, tool, {"quality": "hd"}, runs, PricingPolicy())
    assert (step.cost_usd, step.runtime_ms, step.basis) == (Decimal(quote[0]), quote[1], quote[2])
    assert (step.step_index, step.tool_id) == (7, "tool")


@pytest.mark.parametrize(("service", "points"), [("openai", 148), ("comfyui", 593), ("string", 0)])
def test_points_are_those_that_a_run_will_take(service: str, points: int) -> None:
    tool = a_tool(RUN, service=service)
    assert quote_step(0, tool, {}, [], PricingPolicy()).points == points


def test_totals_are_exact_sums() -> None:
    steps = [StepQuote(n, "t", Decimal(cost), 3, 7, "model") for n, cost in enumerate(("0.1", "0.2", "0.0000004"))]
    quote = Quote(steps).document()
    assert (quote["totalCostUsd"], quote["totalPoints"], quote["totalRuntimeMs"]) == ("0.3000004", 9, 21)
    assert quote["breakdown"][2] == {
        "stepIndex": 2,
        "toolId": "t",
        "costUsd": "0.0000004",
        "points": 3,
        "runtimeMs": 7,
        "basis": "model",
    }


# --- the sample ---


def done(number: int, **changes: Any) -> Any:
    values = {"status": "completed", "cost_usd": Decimal("0.5"), "duration_ms": 40, "response_timestamp": in_seconds(4)}
    return a_generation(cast_id=f"c{number}", **{**values, **changes})


@pytest.mark.parametrize(
    "changes", [{"status": "failed"}, {"status": "processing"}, {"cost_usd": Decimal(0)}, {"status": "cancelled"}]
)
def test_only_completed_runs_that_cost_something_are_kept(changes: Document) -> None:
    assert runs_of([done(1, **changes)]) == []
    (run,) = runs_of([done(1)])
    assert run == Run("tool", run.slot, Decimal("0.5"), 40, in_seconds(4))


def test_a_run_always_falls_into_the_same_slot_and_a_slot_holds_one() -> None:
    generations = [done(number) for number in range(200)]
    runs = runs_of(generations)
    assert sorted(run.slot for run in runs) == list(range(SLOTS))
    assert runs_of(generations) == runs
    assert len(runs_of([*generations, *(done(number, tool_id="other") for number in range(200))])) == 2 * SLOTS


COSTS = st.lists(st.decimals(min_value=0, max_value=10**12, places=12), min_size=1, max_size=SLOTS)


@given(COSTS)
def test_the_mean_is_exact_to_twelve_places(costs: list[Decimal]) -> None:
    mean = mean_cost([Run("tool", 0, cost, 1, START) for cost in costs])
    exact = sum(map(Fraction, costs), Fraction(0)) / len(costs)
    assert abs(Fraction(mean) - exact) <= Fraction(1, 2 * 10**12)
    assert mean == round(mean, 12)


@pytest.mark.parametrize(("durations", "mean"), [([1], 1), ([1, 2], 2), ([1, 1, 2], 1), ([0], 0)])
def test_the_mean_time_is_rounded_to_a_millisecond(durations: list[int], mean: int) -> None:
    assert mean_duration([a_run("1", duration) for duration in durations]) == mean
