"""What a tool's definition says of its cost: a rate, prices by the inputs, prices by the token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from spellcast.domain.documents import Document
from spellcast.domain.money import ZERO

_PER_SECOND = frozenset({"second", "seconds"})


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """US dollars per 1,000 tokens that a model reads and writes."""

    input: Decimal
    output: Decimal


@dataclass(frozen=True, slots=True)
class Costing:
    """`amount` US dollars per `unit`: second(s), token, or once per run, request or fixed.

    `table` has US dollars a run by model, size and quality, `token_prices` by model; both are empty for most tools.
    """

    amount: Decimal
    unit: str
    table: Mapping[str, Mapping[str, Mapping[str, Decimal]]] = field(default_factory=dict)
    token_prices: Mapping[str, TokenPrice] = field(default_factory=dict)

    @property
    def is_per_second(self) -> bool:
        """Whether the run's time is what costs."""
        return self.unit in _PER_SECOND

    @property
    def is_per_token(self) -> bool:
        """Whether what the model reads and writes is what costs."""
        return self.unit == "token" or bool(self.token_prices)

    @property
    def is_nothing(self) -> bool:
        """Whether a run is known to cost nothing."""
        return self.amount == 0 and not self.table and not self.token_prices


def parse_costing(model: Document | None, metadata: Document) -> Costing | None:
    """`rateSource` machine reads `rate` and `unit`, fixed `fixedCost`, static `staticCost`.

    A static amount of 0 is that of `metadata.costTable`, where there is one; `metadata.tokenPrices` need no model.
    """
    amount, unit = _amount_and_unit(model or {})
    token_prices = {
        name: TokenPrice(_figure(price.get("input")) or ZERO, _figure(price.get("output")) or ZERO)
        for name, price in _object(metadata.get("tokenPrices")).items()
        if isinstance(price, dict)
    }
    if amount is None:
        return Costing(ZERO, "token", token_prices=token_prices) if token_prices else None
    has_table = amount == 0 and (model or {}).get("rateSource") not in ("machine", "fixed")
    table = _table(metadata.get("costTable")) if has_table else {}
    return Costing(amount, str(unit or "run"), table, token_prices)


def _amount_and_unit(model: Document) -> tuple[Decimal | None, Any]:
    match model.get("rateSource"):
        case "machine":
            amount, unit = model.get("rate"), model.get("unit")
        case source:
            cost = model.get("fixedCost" if source == "fixed" else "staticCost") or {}
            amount, unit = cost.get("amount"), cost.get("unit")
    # A rate may have been written as a JSON number: its shortest text is the figure that its author meant.
    return (None if amount is None else Decimal(str(amount))), unit


def _table(document: object) -> dict[str, dict[str, dict[str, Decimal]]]:
    return {
        model: {
            size: {
                quality: amount for quality, given in _object(prices).items() if (amount := _figure(given)) is not None
            }
            for size, prices in _object(sizes).items()
        }
        for model, sizes in _object(document).items()
    }


def _object(value: object) -> Document:
    return value if isinstance(value, dict) else {}


def _figure(value: object) -> Decimal | None:
    """An amount of a definition's `metadata`, which was not always checked; what is none must not stop a cast."""
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and 0 <= amount < 10**12 and amount == round(amount, 12) else None
