"""What a step costs: the provider's own figure where there is one, otherwise what the tool's definition says."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, NamedTuple

from spellcast.domain import money
from spellcast.domain.costing import Costing, TokenPrice
from spellcast.domain.documents import Document
from spellcast.domain.money import ZERO
from spellcast.domain.results import MOST_TOKENS, ToolResult, Usage
from spellcast.domain.tools import Tool

USUAL_SECONDS = 30
USUAL_TOKENS = 1_000
_MOST_SECONDS = 10**6

# What a figure rests on: earlier runs, the tool's definition, or nothing but what is usual.
Basis = Literal["history", "model", "default"]


class Expected(NamedTuple):
    """US dollars that a run will probably cost, and what that rests on."""

    cost_usd: Decimal
    basis: Basis


def cost_of(tool: Tool, result: ToolResult, duration_ms: int, inputs: Document) -> Decimal:
    """US dollars, exact. A rate per second is taken of `duration_ms`, a price by the inputs of the step's `inputs`.

    A failed run costs only what the provider says that it billed.
    """
    if result.cost_usd is not None:
        return result.cost_usd
    costing = tool.costing
    if result.status == "failed" or costing is None:
        return ZERO
    if result.usage is not None and costing.is_per_token:
        return _cost_of_tokens(tool, costing, result.usage, inputs)
    if costing.table:
        return _listed_price(tool, costing, inputs)
    if costing.is_per_second:
        return money.times(costing.amount, Decimal(duration_ms).scaleb(-3))
    return costing.amount


def expected_cost(tool: Tool, inputs: Document) -> Expected:
    """What a run will cost as far as the definition tells; `inputs` are those of the step that are known."""
    costing = tool.costing
    if costing is None:
        return Expected(ZERO, "default")
    if costing.table:
        return Expected(_listed_price(tool, costing, inputs), "model")
    if costing.is_nothing:
        return Expected(ZERO, "model")
    if costing.is_per_token:
        stated = _number(tool.metadata.get("estimatedTokens"), MOST_TOKENS, places=0)
        tokens = int(stated or USUAL_TOKENS)
        # How many of them are read and how many written is not known: all are taken at the dearer price.
        dearer = max(_cost_of_tokens(tool, costing, usage, inputs) for usage in (Usage(tokens, 0), Usage(0, tokens)))
        return Expected(dearer, "model" if stated else "default")
    if costing.is_per_second:
        seconds = stated_seconds(tool)
        cost_usd = money.times(costing.amount, seconds or Decimal(USUAL_SECONDS))
        return Expected(cost_usd, "model" if seconds else "default")
    return Expected(costing.amount, "model")


def stated_seconds(tool: Tool) -> Decimal | None:
    """How long a run takes as the definition says, if it does."""
    for key in ("estimatedDurationSeconds", "minDurationSeconds"):
        if seconds := _number(tool.metadata.get(key), _MOST_SECONDS, places=3):
            return seconds
    return None


def _cost_of_tokens(tool: Tool, costing: Costing, usage: Usage, inputs: Document) -> Decimal:
    price = _token_price(tool, costing, inputs)
    if price is None:
        return money.times(costing.amount, Decimal(usage.input_tokens + usage.output_tokens))
    return money.total(
        money.times(per_thousand, Decimal(tokens).scaleb(-3))
        for per_thousand, tokens in ((price.input, usage.input_tokens), (price.output, usage.output_tokens))
    )


def _token_price(tool: Tool, costing: Costing, inputs: Document) -> TokenPrice | None:
    model = str(inputs.get("model") or tool.metadata.get("model"))
    return costing.token_prices.get(model) or costing.token_prices.get("default")


def _listed_price(tool: Tool, costing: Costing, inputs: Document) -> Decimal:
    """What the table does not know costs nothing, as in the original; an unknown quality is the standard one."""
    model = str(inputs.get("model") or tool.metadata.get("model") or "dall-e-3")
    size = str(inputs.get("size") or "1024x1024")
    prices = costing.table.get(model, {}).get(size, {})
    return prices.get(str(inputs.get("quality") or "standard"), prices.get("standard", ZERO))


def _number(value: object, most: int, *, places: int) -> Decimal | None:
    """A positive number of a definition's `metadata`, which was not always checked."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        return None
    return round(Decimal(str(value)), places)
