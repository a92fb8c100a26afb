from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain import results
from spellcast.domain.cost import Expected, cost_of, expected_cost
from spellcast.domain.documents import Document
from spellcast.domain.errors import JobFailed
from spellcast.domain.results import MOST_TOKENS, ToolResult, Usage
from spellcast.domain.times import from_text, milliseconds
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
    assert cost_of(tool, text_result(), duration_ms, {}) == Decimal(cost)


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
    assert cost_of(tool_at("0.5", "second"), result, 2000, {}) == Decimal(cost)


RATES = st.decimals(min_value=0, max_value=1000, places=10)


@given(RATES, st.integers(0, 24 * 60 * 60 * 1000))
def test_a_cost_per_second_is_exact(rate: Decimal, duration_ms: int) -> None:
    cost = cost_of(tool_at(str(rate), "second"), text_result(), duration_ms, {})
    assert Fraction(cost) == Fraction(rate) * duration_ms / 1000


@pytest.mark.parametrize(
    ("rate", "unit", "start", "end", "cost"),
    [
        pytest.param("0.001", "second", "10:00:00", "10:00:30", "0.03", id="thirty seconds"),
        pytest.param("0.05", "request", None, "10:00:30", "0.05", id="a request without a start"),
        pytest.param("0.02", "run", None, "10:00:30", "0.02", id="a run without a start"),
        pytest.param("0.10", "fixed", None, "10:00:30", "0.1", id="a fixed price without a start"),
        pytest.param(None, None, "10:00:00", "10:00:30", "0", id="no rate: the original's null is 0 here"),
        pytest.param("0.001", "second", None, "10:00:30", "0", id="seconds without a start: the original's null is 0"),
        pytest.param("0.001", "second", "10:00:30", "10:00:00", "0", id="an end before the start"),
    ],
)
def test_s4_the_originals_rates(rate: str | None, unit: str | None, start: str | None, end: str, cost: str) -> None:
    model = {"rateSource": "machine", "rate": rate, "unit": unit}
    began, ended = (from_text(f"2026-01-31T{time}.000Z") for time in (start or end, end))
    tool = parse_tool(tool_document(costingModel=model))
    assert cost_of(tool, text_result(), milliseconds(began, ended), {}) == Decimal(cost)


CHAT = {
    "gpt-3.5-turbo": {"input": "0.0005", "output": "0.0015"},
    "gpt-4": {"input": 0.03, "output": 0.06},
    "default": {"input": "0.0005", "output": "0.0015"},
}
DRAW = {
    "dall-e-3": {
        "1024x1024": {"standard": 0.04, "hd": 0.08},
        "1024x1792": {"standard": "0.08", "hd": "0.12"},
    },
    "dall-e-2": {"256x256": {"standard": 0.016}, "1024x1024": {"standard": 0.02}},
    "odd": {"1024x1024": {"hd": 0.5}},
}


def priced(metadata: Document, amount: Any = 0, unit: str = "token") -> Tool:
    cost = {"rateSource": "static", "staticCost": {"amount": amount, "unit": unit}}
    return parse_tool(tool_document(costingModel=cost, metadata=metadata))


@pytest.mark.parametrize(
    ("model", "usage", "cost"),
    [
        pytest.param("gpt-3.5-turbo", Usage(25, 20), "0.0000425", id="gpt-3.5-turbo"),
        pytest.param("gpt-4o-mini", Usage(1000, 500), "0.00125", id="an unknown model is priced as the default"),
        pytest.param("gpt-4", Usage(1000, 500), "0.06", id="gpt-4"),
        pytest.param("gpt-4", Usage(0, 0), "0", id="usage without counts"),
        pytest.param("gpt-4", None, "0", id="no usage at all"),
        pytest.param(None, Usage(25, 20), "0.0000425", id="no model is the default"),
        pytest.param(["gpt-4"], Usage(25, 20), "0.0000425", id="a model that is no text is unknown"),
    ],
)
def test_s4_the_originals_prices_of_tokens(model: Any, usage: Usage | None, cost: str) -> None:
    inputs = {"model": model} if model else {}
    assert cost_of(priced({"tokenPrices": CHAT}), text_result(usage=usage), 5, inputs) == Decimal(cost)
    # The tool's own model is what the step may leave out.
    own = priced({"tokenPrices": CHAT, **inputs})
    assert cost_of(own, text_result(usage=usage), 5, {}) == Decimal(cost)


@pytest.mark.parametrize(
    ("inputs", "cost"),
    [
        pytest.param({"size": "1024x1792", "quality": "hd"}, "0.12", id="size and quality"),
        pytest.param({}, "0.04", id="the original's defaults"),
        pytest.param({"size": "1024x1024", "quality": "low"}, "0.04", id="an unknown quality is standard"),
        pytest.param({"size": "1x1", "quality": "hd"}, "0", id="an unknown size"),
        pytest.param({"model": "dall-e-2", "size": "256x256"}, "0.016", id="another model"),
        pytest.param({"model": "dall-e-9"}, "0", id="an unknown model"),
        pytest.param({"model": "odd"}, "0", id="a table without the standard"),
        pytest.param({"size": ["1024x1792"], "quality": {"hd": 1}}, "0", id="what is no text"),
    ],
)
def test_s4_the_originals_cost_table(inputs: Document, cost: str) -> None:
    tool = priced({"costTable": DRAW}, unit="request")
    assert cost_of(tool, text_result(), 5, inputs) == Decimal(cost)
    assert expected_cost(tool, inputs) == Expected(Decimal(cost), "model")
    assert not tool.is_free


def test_a_table_is_read_by_the_tools_own_model() -> None:
    assert cost_of(priced({"costTable": DRAW, "model": "dall-e-2"}), text_result(), 5, {}) == Decimal("0.02")


@pytest.mark.parametrize(
    "model",
    [
        {"rateSource": "static", "staticCost": {"amount": "0.5", "unit": "run"}},
        {"rateSource": "fixed", "fixedCost": {"amount": "0.5", "unit": "run"}},
        {"rateSource": "machine", "rate": "0.5", "unit": "run"},
    ],
    ids=lambda model: str(model["rateSource"]),
)
def test_an_amount_comes_before_the_table(model: Document) -> None:
    tool = parse_tool(tool_document(costingModel=model, metadata={"costTable": DRAW}))
    assert cost_of(tool, text_result(), 5, {"quality": "hd"}) == Decimal("0.5")


@pytest.mark.parametrize(("source", "key"), [("machine", "rate"), ("fixed", "fixedCost")])
def test_only_a_static_rate_of_nothing_is_the_tables(source: str, key: str) -> None:
    model = {"rateSource": source, key: 0 if key == "rate" else {"amount": 0}}
    assert parse_tool(tool_document(costingModel=model, metadata={"costTable": DRAW})).is_free


@pytest.mark.parametrize(
    ("usage", "cost"), [(Usage(25, 20), "0.00009"), (Usage(0, 0), "0"), (None, "0.000002")], ids=str
)
def test_a_rate_per_token_is_of_all_tokens_and_taken_once_where_none_are_counted(
    usage: Usage | None, cost: str
) -> None:
    assert cost_of(tool_at("0.000002", "token"), text_result(usage=usage), 5, {}) == Decimal(cost)


def test_prices_of_tokens_need_no_costing_model() -> None:
    tool = parse_tool(tool_document(metadata={"tokenPrices": CHAT}))
    assert cost_of(tool, text_result(usage=Usage(25, 20)), 5, {}) == Decimal("0.0000425")
    assert not tool.is_free


def test_other_units_do_not_count_tokens() -> None:
    assert cost_of(tool_at("0.5", "run"), text_result(usage=Usage(25, 20)), 5, {}) == Decimal("0.5")


@given(RATES, RATES, st.integers(0, MOST_TOKENS), st.integers(0, MOST_TOKENS))
def test_a_cost_of_tokens_is_exact(read: Decimal, written: Decimal, input_tokens: int, output_tokens: int) -> None:
    tool = priced({"tokenPrices": {"default": {"input": str(read), "output": str(written)}}})
    cost = cost_of(tool, text_result(usage=Usage(input_tokens, output_tokens)), 5, {})
    assert Fraction(cost) == (Fraction(read) * input_tokens + Fraction(written) * output_tokens) / 1000


@pytest.mark.parametrize(
    "metadata",
    [
        {"costTable": "x"},
        {"costTable": {"dall-e-3": 1}},
        {"costTable": {"dall-e-3": {"1024x1024": [1]}}},
        {"costTable": {"dall-e-3": {"1024x1024": {"standard": "NaN"}}}},
        {"costTable": {"dall-e-3": {"1024x1024": {"standard": -1}}}},
        {"costTable": {"dall-e-3": {"1024x1024": {"standard": 1e300}}}},
        {"costTable": {"dall-e-3": {"1024x1024": {"standard": None}}}},
        {"tokenPrices": [1]},
        {"tokenPrices": {"default": 1}},
        {"tokenPrices": {"default": {"input": {}, "output": 1e-300}}},
        {"estimatedTokens": "many", "estimatedDurationSeconds": [20], "minDurationSeconds": True},
        {"estimatedTokens": 1e300, "estimatedDurationSeconds": -1, "minDurationSeconds": float("inf")},
    ],
    ids=str,
)
def test_no_definition_stops_a_cast(metadata: Document) -> None:
    """Definitions that were stored before they were checked."""
    tool = priced(metadata)
    assert cost_of(tool, text_result(usage=Usage(1, 1)), 5, {}) == 0
    assert expected_cost(tool, {}).cost_usd == 0


SECOND = {"rateSource": "machine", "rate": "0.001", "unit": "second"}
TOKEN = {"rateSource": "static", "staticCost": {"amount": "0.000002", "unit": "token"}}
ONCE = {"rateSource": "static", "staticCost": {"amount": "0.05", "unit": "run"}}
FREE = {"rateSource": "machine", "rate": "0", "unit": "second"}


@pytest.mark.parametrize(
    ("model", "metadata", "cost", "basis"),
    [
        pytest.param(SECOND, {"estimatedDurationSeconds": 20, "minDurationSeconds": 5}, "0.02", "model", id="stated"),
        pytest.param(SECOND, {"minDurationSeconds": 5}, "0.005", "model", id="the least time"),
        pytest.param(SECOND, {"estimatedDurationSeconds": 0, "minDurationSeconds": 5}, "0.005", "model", id="no time"),
        pytest.param(SECOND, {"estimatedDurationSeconds": 1.5}, "0.0015", "model", id="a fraction"),
        pytest.param(SECOND, {}, "0.03", "default", id="thirty seconds are usual"),
        pytest.param(TOKEN, {"estimatedTokens": 500}, "0.001", "model", id="tokens"),
        pytest.param(TOKEN, {}, "0.002", "default", id="a thousand tokens are usual"),
        pytest.param(TOKEN, {"tokenPrices": CHAT, "model": "gpt-4"}, "0.06", "default", id="the dearer price"),
        pytest.param(
            TOKEN, {"tokenPrices": CHAT, "estimatedTokens": 2000}, "0.003", "model", id="the dearer default price"
        ),
        pytest.param(ONCE, {}, "0.05", "model", id="once"),
        pytest.param(FREE, {}, "0", "model", id="nothing a second"),
        pytest.param(None, {}, "0", "default", id="no model"),
    ],
)
def test_what_a_run_is_expected_to_cost(model: Document | None, metadata: Document, cost: str, basis: str) -> None:
    tool = parse_tool(tool_document(costingModel=model, metadata=metadata))
    assert expected_cost(tool, {}) == (Decimal(cost), basis)
