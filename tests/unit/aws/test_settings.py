"""The settings, and that the template gives every one of them."""

from __future__ import annotations

import json
from dataclasses import fields
from decimal import Decimal

import pytest

from spellcast.domain.pricing import PricingPolicy, parse_pricing
from spellcast.settings import Settings
from tests.contract.deployment import template

TYPED = {
    "allow_loopback": "true",
    "webhook_backoff_seconds": "5,30",
    "pricing": '{"floorUsd": "0.5"}',
    "daily_budget_usd": "12.50",
}
ALL = {f"SPELLCAST_{item.name.upper()}": TYPED.get(item.name, f"the {item.name}") for item in fields(Settings)}


def test_each_setting_is_read_from_its_variable() -> None:
    settings = Settings.read(ALL)
    assert (settings.allow_loopback, settings.webhook_backoff_seconds) == (True, (5, 30))
    assert settings.pricing == PricingPolicy(floor_usd=Decimal("0.5"))
    assert settings.daily_budget_usd == Decimal("12.5")
    for item in fields(Settings):
        if item.name not in TYPED:
            assert getattr(settings, item.name) == f"the {item.name}"


def test_what_a_function_is_not_given_is_empty() -> None:
    settings = Settings.read({})
    assert {getattr(settings, item.name) for item in fields(Settings) if item.name not in TYPED} == {""}
    assert (settings.allow_loopback, settings.webhook_backoff_seconds) == (False, ())
    assert (settings.pricing, settings.daily_budget_usd) == (PricingPolicy(), None)


@pytest.mark.parametrize("text", ["0", "0.00", ""])
def test_a_daily_budget_of_nothing_is_none(text: str) -> None:
    assert Settings.read({"SPELLCAST_DAILY_BUDGET_USD": text}).daily_budget_usd is None


@pytest.mark.parametrize("text", ["-1", "1e3", "NaN", "ten", "1" * 13, " 1"])
def test_a_wrong_daily_budget_is_refused_when_it_is_read(text: str) -> None:
    with pytest.raises(ValueError, match="daily budget"):
        Settings.read({"SPELLCAST_DAILY_BUDGET_USD": text})


def test_a_wrong_pricing_is_refused_when_it_is_read() -> None:
    with pytest.raises(ValueError, match="usdPerPoint is zero"):
        Settings.read({"SPELLCAST_PRICING": '{"usdPerPoint": "0"}'})


def test_the_template_sets_no_daily_budget() -> None:
    default = template()["Parameters"]["DailyBudgetUsd"]["Default"]
    assert Settings.read({"SPELLCAST_DAILY_BUDGET_USD": default}).daily_budget_usd is None


def test_the_templates_pricing_is_the_originals_to_the_last_figure() -> None:
    default = template()["Parameters"]["Pricing"]["Default"]
    assert json.loads(default).keys() == {
        "usdPerPoint",
        "floorUsd",
        "multipliers",
        "neverCharged",
        "refundFailed",
        "creatorShare",
    }
    assert parse_pricing(default) == PricingPolicy()


@pytest.mark.parametrize("value", ["false", "", "True", "1", "yes", " true"])
def test_loopback_is_allowed_by_the_word_true_alone(value: str) -> None:
    assert Settings.read({"SPELLCAST_ALLOW_LOOPBACK": value}).allow_loopback is False


def test_the_environment_is_the_source_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPELLCAST_TABLE", "the table")
    assert Settings.read().table == "the table"
    monkeypatch.delenv("SPELLCAST_TABLE")
    assert Settings.read().table == ""


def given_by_the_template() -> set[str]:
    variables = template()["Globals"]["Function"]["Environment"]["Variables"]
    return {name for name in variables if name.startswith("SPELLCAST_")}


def test_the_template_sets_all_that_is_read() -> None:
    assert given_by_the_template() >= ALL.keys()


def test_the_template_sets_nothing_that_is_not_read() -> None:
    assert given_by_the_template() <= ALL.keys()
