from __future__ import annotations

import re
from decimal import Decimal, Inexact
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain import money

AMOUNTS = st.decimals(min_value=0, max_value=10**6, places=10)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0"),
        ("0E-7", "0"),
        ("0.000", "0"),
        ("4E-7", "0.0000004"),
        ("1E-7", "0.0000001"),
        ("1E+3", "1000"),
        ("1000", "1000"),
        ("1.10", "1.1"),
        ("0.0844825", "0.0844825"),
        ("100.00", "100"),
    ],
)
def test_money_is_written_plainly(amount: str, text: str) -> None:
    assert money.to_text(Decimal(amount)) == text


@given(AMOUNTS)
def test_the_text_says_exactly_the_amount(amount: Decimal) -> None:
    text = money.to_text(amount)
    assert Decimal(text) == amount
    assert re.fullmatch(r"\d+(\.\d*[1-9])?", text)


@pytest.mark.parametrize(
    ("amounts", "total"),
    [
        ([], "0"),
        (["0.0000425", "0.08", "0.00444"], "0.0844825"),
        (["0.1", "0.2"], "0.3"),
        (["1E-7"] * 10, "0.000001"),
    ],
)
def test_the_total_is_exact(amounts: list[str], total: str) -> None:
    assert money.total(Decimal(amount) for amount in amounts) == Decimal(total)


@given(st.lists(AMOUNTS | st.just(Decimal("1E-7")), max_size=100))
def test_the_total_is_the_sum_whatever_the_amounts(amounts: list[Decimal]) -> None:
    assert Fraction(money.total(amounts)) == sum(map(Fraction, amounts), Fraction(0))


def test_a_total_is_never_rounded() -> None:
    with pytest.raises(Inexact):
        money.total([Decimal("1E+20"), Decimal("1E-20")])
