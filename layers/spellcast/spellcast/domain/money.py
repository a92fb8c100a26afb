"""Money is a `Decimal` in US dollars, and a plain decimal string wherever it leaves the system."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Context, Decimal, Inexact

ZERO = Decimal(0)

# What callers may send: a decimal string, since a JSON number would be a binary fraction by the time it is read.
TEXT_PATTERN = r"[0-9]{1,12}(\.[0-9]{1,12})?"
TEXT_RULE = "is a decimal number, 0 or more, in a string: at most 12 digits, and 12 behind the point"

# DynamoDB keeps 38 significant digits; a sum that would need more is a defect, never a rounding.
_EXACT = Context(prec=38, traps=[Inexact])


def total(amounts: Iterable[Decimal]) -> Decimal:
    """The exact sum. Raises `decimal.Inexact` rather than round."""
    result = ZERO
    for amount in amounts:
        result = _EXACT.add(result, amount)
    return result


def times(amount: Decimal, factor: Decimal) -> Decimal:
    """The exact product. Raises `decimal.Inexact` rather than round."""
    return _EXACT.multiply(amount, factor)


def to_text(amount: Decimal) -> str:
    """`Decimal('4E-7')` as `0.0000004`: no exponent and no trailing zeros."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
