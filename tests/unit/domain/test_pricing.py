from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain.pricing import PricingPolicy, parse_pricing

ORIGINAL = PricingPolicy()
CHEAPER = PricingPolicy(multipliers={"comfyui": Decimal(2)})


@pytest.mark.parametrize(
    ("policy", "cost_usd", "service", "price_usd", "points"),
    [
        (ORIGINAL, "0", "string", "0.001", 3),
        (ORIGINAL, "0", "expression", "0.001", 3),
        (ORIGINAL, "0.000002", "openai", "0.001", 3),
        (ORIGINAL, "0.0019", "huggingface", "0.0019", 6),
        (ORIGINAL, "0.024", "huggingface", "0.024", 71),
        (ORIGINAL, "0.04", "openai", "0.04", 119),
        (ORIGINAL, "0.01011", "comfyui", "0.04044", 120),
        (ORIGINAL, "0.03", "comfyui", "0.12", 356),
        pytest.param(CHEAPER, "0.03", "comfyui", "0.06", 178, id="the original's MS2 depositors"),
        pytest.param(ORIGINAL, "0.0005055", "huggingface", "0.001", 3, id="under the floor"),
        pytest.param(ORIGINAL, "0.0011795", "huggingface", "0.0011795", 4, id="half a point is one"),
        pytest.param(ORIGINAL, "1000", "openai", "1000", 2_967_359, id="much"),
    ],
)
def test_price_and_points_are_the_originals(
    policy: PricingPolicy, cost_usd: str, service: str, price_usd: str, points: int
) -> None:
    assert policy.price_usd(service, Decimal(cost_usd)) == Decimal(price_usd)
    assert policy.points(service, Decimal(cost_usd)) == points


@pytest.mark.parametrize(
    ("service", "cost_usd", "completed", "points"),
    [
        pytest.param("expression", "0", True, 3, id="what costs nothing is priced at the floor"),
        pytest.param("openai", "0.04", True, 119, id="what costs something at its price"),
        pytest.param("string", "0", True, 0, id="the original never charges string"),
        pytest.param("string", "1", True, 0, id="whatever it costs"),
        pytest.param("openai", "0", False, 0, id="a failed run that cost nothing"),
        pytest.param("openai", "0.04", False, 119, id="a failed run that was billed"),
        pytest.param("string", "0.04", False, 0, id="a failed run of string"),
    ],
)
def test_what_a_run_takes(service: str, cost_usd: str, completed: bool, points: int) -> None:
    assert ORIGINAL.charge(service, Decimal(cost_usd), completed=completed) == points


def test_a_run_takes_a_point_at_least() -> None:
    policy = PricingPolicy(floor_usd=Decimal(0), usd_per_point=Decimal(5))
    assert policy.charge("openai", Decimal(0)) == 1


FIGURES = st.decimals(min_value=0, max_value=10**12, places=12)


@given(FIGURES, FIGURES.filter(bool), FIGURES, FIGURES)
def test_points_are_rounded_once(cost: Decimal, per_point: Decimal, floor_usd: Decimal, factor: Decimal) -> None:
    policy = PricingPolicy(per_point, floor_usd, {"x": factor})
    price = max(Fraction(cost) * Fraction(factor), Fraction(floor_usd))
    assert policy.points("x", cost) == max(1, floor(price / Fraction(per_point) + Fraction(1, 2)))


def test_a_policy_is_read_with_its_figures() -> None:
    text = '{"usdPerPoint": "0.01", "floorUsd": 0.02, "multipliers": {"openai": 3}, "neverCharged": ["http"]}'
    policy = PricingPolicy(Decimal("0.01"), Decimal("0.02"), {"openai": Decimal(3)}, frozenset({"http"}))
    assert parse_pricing(text) == policy


@pytest.mark.parametrize("text", ["", "{}"])
def test_what_is_left_out_is_the_originals(text: str) -> None:
    assert parse_pricing(text) == ORIGINAL
    assert parse_pricing('{"floorUsd": "0"}') == PricingPolicy(floor_usd=Decimal(0))


@pytest.mark.parametrize("share", ['"0.7"', "0.7", '"1"', "0"])
def test_refunds_and_a_creators_share_are_a_policy_of_the_deployment(share: str) -> None:
    policy = parse_pricing(f'{{"refundFailed": true, "creatorShare": {share}}}')
    assert (policy.refund_failed, policy.creator_share) == (True, Decimal(share.strip('"')))
    assert (ORIGINAL.refund_failed, ORIGINAL.creator_share) == (False, Decimal(0))


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("{", ["not JSON"]),
        ("[]", ["not a JSON object"]),
        ('{"usdPerPoint": "0"}', ["usdPerPoint is zero"]),
        ('{"usdPerPoint": -1}', ["usdPerPoint is not a decimal number"]),
        ('{"floorUsd": NaN}', ["floorUsd is not a decimal number"]),
        ('{"floorUsd": "1e3"}', ["floorUsd is not a decimal number"]),
        ('{"floorUsd": true}', ["floorUsd is not a decimal number"]),
        ('{"multipliers": ["comfyui"]}', ["multipliers is not an object"]),
        ('{"multipliers": {"comfyui": null}}', ["multipliers is not a decimal number"]),
        ('{"neverCharged": "string"}', ["neverCharged is not a list"]),
        ('{"neverCharged": [{}]}', ["neverCharged is not a list"]),
        ('{"creatorShare": "-0.1"}', ["creatorShare is not a decimal number"]),
        ('{"creatorShare": "1.000000000001"}', ["creatorShare is over 1"]),
        ('{"creatorShare": true}', ["creatorShare is not a decimal number"]),
        ('{"refundFailed": "true"}', ["refundFailed is neither true nor false"]),
        ('{"refundFailed": 1}', ["refundFailed is neither true nor false"]),
        ('{"pointUsd": 1, "floorUsd": "x", "usdPerPoint": 0}', ["floorUsd is", "pointUsd is not known", "usdPerPoint"]),
    ],
)
def test_a_wrong_policy_is_refused_with_every_fault(text: str, faults: list[str]) -> None:
    with pytest.raises(ValueError, match=r"^The pricing is ") as refused:
        parse_pricing(text)
    assert all(fault in str(refused.value) for fault in faults)
