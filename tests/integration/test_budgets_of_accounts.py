"""What accounts may spend, with everybody at once: real conditional writes, real machines."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from spellcast.aws.budget_store import DynamoBudgetStore
from spellcast.aws.table import Table
from spellcast.domain.budgets import Day, Reservation
from spellcast.domain.errors import WriteConflict
from tests.cloud import TERMINAL, Cloud, words

TODAY = "2026-01-31"
LEDGER, SETTINGS = "/v1/accounts/me/ledger", "/v1/accounts/me/settings"


@pytest.fixture
def dear(cloud: Cloud) -> dict[str, Any]:
    """A step of a job that costs exactly 1.00."""
    definition = cloud.api.get("/v1/tools/comfyui-text-to-image").raise_for_status().json()
    tool_id = f"dear-{uuid.uuid4().hex[:8]}"
    price = {"rateSource": "static", "staticCost": {"amount": "1.00", "unit": "run"}}
    cloud.tool({**definition, "toolId": tool_id, "displayName": tool_id, "costingModel": price})
    prompt = {"input_prompt": {"type": "static", "value": "a cat"}}
    return {"id": "dear", "toolIdentifier": tool_id, "parameterMappings": prompt}


@pytest.fixture
def ten_more(cloud: Cloud) -> Iterator[None]:
    """Today the account may spend 10.00 more than it has."""
    settings = cloud.api.get(SETTINGS).raise_for_status().json()
    cloud.api.put(SETTINGS, json={"tools": {}, "dailyBudgetUsd": "0"}).raise_for_status()
    spent = today(cloud)["spentUsd"]
    more = format(Decimal(spent) + 10, "f")
    cloud.api.put(SETTINGS, json={"tools": {}, "dailyBudgetUsd": more}).raise_for_status()
    yield
    cloud.api.put(SETTINGS, json=settings).raise_for_status()


def today(cloud: Cloud) -> dict[str, Any]:
    found: dict[str, Any] = cloud.api.get(LEDGER).raise_for_status().json()["balances"]["today"]
    return found


def ended(cloud: Cloud, casts: list[dict[str, Any]], listener: Any) -> list[dict[str, Any]]:
    wanted = {cast["castId"] for cast in casts}
    while wanted:
        message = listener.until(
            lambda message: message["type"] == "castUpdate" and message["payload"]["status"] in TERMINAL, 120
        )
        wanted.discard(message["payload"]["castId"])
    return [cloud.get_cast(cast) for cast in casts]


def test_of_fifty_reservations_at_once_exactly_ten_are_made(cloud: Cloud) -> None:
    store = DynamoBudgetStore(Table(cloud.aws("dynamodb"), cloud.outputs["tableName"]))
    account_id = f"crowd-{uuid.uuid4().hex}"

    def start(number: int) -> bool:
        try:
            store.reserve(account_id, f"c{number}.0.1", Reservation(TODAY, Decimal("1.00")), Decimal("10.00"))
        except WriteConflict:
            return False
        return True

    with ThreadPoolExecutor(50) as crowd:
        assert sum(crowd.map(start, range(50))) == 10
    day = store.get_day(account_id, TODAY)
    assert day.total_usd == len(day.held) == 10
    with ThreadPoolExecutor(10) as crowd:
        list(crowd.map(lambda held: store.close(account_id, TODAY, dict([held]), Decimal("0.1")), day.held.items()))
    assert store.get_day(account_id, TODAY) == Day(Decimal(1), {})


def test_of_fifty_casts_at_once_exactly_ten_start(cloud: Cloud, dear: dict[str, Any], ten_more: None) -> None:
    spell = cloud.spell(dear)
    before = cloud.provider.get("/control/counts").json()["comfyui"].get("submits", 0)
    spent = Decimal(today(cloud)["spentUsd"])
    with cloud.listening() as listener:
        with ThreadPoolExecutor(16) as crowd:
            casts = list(crowd.map(lambda _: cloud.cast(spell), range(50)))
        found = ended(cloud, casts, listener)
    assert [cast["status"] for cast in found].count("completed") == 10
    assert {cast["failure"]["code"] for cast in found if cast["status"] == "failed"} == {"BUDGET_EXCEEDED"}
    assert cloud.provider.get("/control/counts").json()["comfyui"]["submits"] - before == 10
    after = today(cloud)
    assert Decimal(after["spentUsd"]) - spent == 10
    assert after["reservedUsd"] == "0"
    entries = cloud.api.get(LEDGER, params={"limit": 100}).raise_for_status().json()["entries"]
    ids = {cast["castId"] for cast in casts}
    settled = [entry for entry in entries if entry["castId"] in ids and entry["kind"] == "settle"]
    assert (len(settled), sum(Decimal(entry["amountUsd"]) for entry in settled)) == (10, 10)


def test_a_cast_stops_before_the_step_that_its_budget_has_nothing_left_for(cloud: Cloud, dear: dict[str, Any]) -> None:
    cast = cloud.run(cloud.spell(dear, words(), {**dear, "id": "second"}), budgetUsd="1.999999999999")
    assert cast["status"] == "failed", cast
    assert (cast["failure"]["code"], cast["failure"]["stepIndex"]) == ("BUDGET_EXCEEDED", 2)
    assert (cast["costUsd"], "$1 of the budget of $1.999999999999" in cast["failure"]["message"]) == ("1", True)


def test_an_account_with_a_budget_pays_two_writes_a_cast_for_it(
    cloud: Cloud, dear: dict[str, Any], ten_more: None
) -> None:
    spell = cloud.spell(dear)
    cloud.run(spell)
    cloud.reset_counts()
    assert cloud.run(spell)["status"] == "completed"
    writes = cloud.counts()["writesByEntity"]
    # What it was expected to cost is what it cost: it is held, and given back with the closing.
    assert {kind: writes[kind]["requests"] for kind in ("GENERATION", "DAY", "LEDGER")} == {
        "GENERATION": 4,
        "DAY": 2,
        "LEDGER": 1,
    }
