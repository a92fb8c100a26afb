from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain import results
from spellcast.domain.cost import PointsPolicy, cost_of
from spellcast.domain.documents import Document
from spellcast.domain.errors import JobFailed
from spellcast.domain.results import ToolResult
from spellcast.domain.tools import Tool, parse_tool
from tests.fakes.records import text_result, tool_document


def tool_at(amount: Any, unit: str | None = None) -> Tool:
    cost = {"amount": amount, **({"unit": unit} if unit else {})}
    return parse_tool(tool_document(costingModel={"rateSource": "static", "staticCost": cost}))


FAILED = results.failed(JobFailed("No."))


@pytest.mark.parametrize(
    ("model", "duration_ms", "cost"),
    [
        pytest.param(
            {"rateSource": "machine", "rate": 0.001, "unit": "second"}, 30_000, "0.03", id="a machine's seconds"
        ),
        pytest.param(
            {"rateSource": "machine", "rate": "0.001", "unit": "seconds"}, 30_500, "0.0305", id="fractions of seconds"
        ),
        pytest.param({"rateSource": "machine", "rate": 0.000337, "unit": "second"}, 1, "0.000000337", id="1e-7 units"),
        pytest.param({"rateSource": "machine", "rate": 1e-7, "unit": "second"}, 1000, "0.0000001", id="a tiny rate"),
        pytest.param({"rateSource": "machine", "rate": 0.001, "unit": "second"}, 0, "0", id="no time at all"),
        pytest.param({"rateSource": "fixed", "fixedCost": {"amount": 0.1, "unit": "fixed"}}, 5, "0.1", id="fixed"),
        pytest.param({"rateSource": "static", "staticCost": {"amount": 0.05, "unit": "request"}}, 5, "0.05", id="once"),
        pytest.param({"rateSource": "static", "staticCost": {"amount": 0.02, "unit": "run"}}, 5, "0.02", id="a run"),
        pytest.param({"rateSource": "static", "staticCost": {"amount": 0.02}}, 5, "0.02", id="no unit is a run"),
        pytest.param(
            {"rateSource": "static", "staticCost": {"amount": 0.000002, "unit": "token"}}, 5, "0.000002", id="a token"
        ),
        pytest.param({"rateSource": "machine"}, 5, "0", id="a machine without a rate"),
        pytest.param({"rateSource": "static"}, 5, "0", id="static without an amount"),
        pytest.param({"rateSource": "fixed", "staticCost": {"amount": 9}}, 5, "0", id="the other model's figure"),
        pytest.param(None, 5, "0", id="no model"),
    ],
)
def test_a_run_costs_the_tools_rate(model: Document | None, duration_ms: int, cost: str) -> None:
    tool = parse_tool(tool_document(costingModel=model))
    assert cost_of(tool, text_result(), duration_ms) == Decimal(cost)


@pytest.mark.parametrize(
    ("result", "cost"),
    [
        pytest.param(
            text_result(cost_usd=Decimal("0.00444")), "0.00444", id="the provider's figure wins over the rate"
        ),
        pytest.param(text_result(cost_usd=Decimal(0)), "0", id="the provider may bill nothing"),
        pytest.param(FAILED, "0", id="a failed run costs nothing"),
        pytest.param(
            results.failed(JobFailed("No."), cost_usd=Decimal("0.002")), "0.002", id="unless the provider billed it"
        ),
    ],
)
def test_what_the_provider_reports_comes_first(result: ToolResult, cost: str) -> None:
    assert cost_of(tool_at("0.5", "second"), result, 2000) == Decimal(cost)


RATES = st.decimals(min_value=0, max_value=1000, places=10)


@given(RATES, st.integers(0, 24 * 60 * 60 * 1000))
def test_a_cost_per_second_is_exact(rate: Decimal, duration_ms: int) -> None:
    cost = cost_of(tool_at(str(rate), "second"), text_result(), duration_ms)
    assert Fraction(cost) == Fraction(rate) * duration_ms / 1000


@pytest.mark.parametrize(
    ("cost_usd", "service", "points"),
    [
        ("0.000002", "openai", 3),
        ("0.0019", "huggingface", 6),
        ("0.024", "huggingface", 71),
        ("0.04", "openai", 119),
        ("0.01011", "comfyui", 120),
        ("0.03", "comfyui", 356),
        ("0.0005055", "huggingface", 3),
        ("0.00117950", "huggingface", 4),
        ("1000", "openai", 2_967_359),
    ],
)
def test_points_are_the_originals(cost_usd: str, service: str, points: int) -> None:
    assert PointsPolicy().points(service, Decimal(cost_usd)) == points


def test_a_caster_with_the_cheaper_multiplier_pays_half() -> None:
    policy = PointsPolicy(multipliers={"comfyui": Decimal(2)})
    assert policy.points("comfyui", Decimal("0.03")) == 178


def test_what_costs_nothing_takes_no_points() -> None:
    assert PointsPolicy().points("string", Decimal(0)) == 0


@given(RATES.filter(bool), st.sampled_from(["comfyui", "openai"]))
def test_points_are_whole_and_positive(cost_usd: Decimal, service: str) -> None:
    points = PointsPolicy().points(service, cost_usd)
    assert isinstance(points, int)
    assert points >= 3
