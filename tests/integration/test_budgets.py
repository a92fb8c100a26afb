"""The count budgets: what a cast makes AWS bill does not grow with the time that its jobs take."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.bench.budgets import COUNT_BUDGETS, USD, CountBudget
from tests.bench.counts import Counted, count, undisturbed
from tests.bench.load import SHAPES
from tests.bench.memory import megabytes
from tests.bench.shapes import shape, shapes
from tests.cloud import Cloud, called


@pytest.fixture(scope="module")
def still(cloud: Cloud) -> Iterator[Cloud]:
    with undisturbed(cloud):
        yield cloud


@pytest.fixture(scope="module")
def counted(still: Cloud) -> dict[str, Counted]:
    return {name: count(still, each, warm=len(each.steps) < 10) for name, each in shapes().items()}


@pytest.mark.parametrize("name", shapes())
@pytest.mark.parametrize("budget", COUNT_BUDGETS, ids=lambda budget: budget.what)
def test_counts(counted: dict[str, Counted], name: str, budget: CountBudget) -> None:
    assert budget.used(counted[name]) <= budget.limit(counted[name]), counted[name]


@pytest.mark.parametrize("name", USD)
def test_list_price_of_a_thousand_casts(counted: dict[str, Counted], name: str) -> None:
    assert counted[name].usd_per_thousand <= USD[name], counted[name]


def test_a_longer_job_costs_its_polls_and_nothing_else(still: Cloud, counted: dict[str, Counted]) -> None:
    waited = count(still, shape("webhook", 1, seconds=3), warm=False)
    assert waited.transitions == counted["1 webhook"].transitions
    assert waited.machine_invocations == counted["1 webhook"].machine_invocations
    assert waited.write_units == counted["1 webhook"].write_units
    # The machine's waits are a tenth of what they are told to be, so the job is one of thirty seconds.
    polled = count(still, shape("polled", 1, seconds=3), warm=False)
    assert polled.polls <= 6
    assert polled.cast_transitions == counted["1 polled"].cast_transitions
    assert polled.write_units == counted["1 polled"].write_units


@pytest.mark.parametrize("name", SHAPES)
def test_the_load_model_counts_what_is_counted(counted: dict[str, Counted], name: str) -> None:
    """A callback more or less is the provider's; everything else of docs/load.md is exact."""
    found, model = counted[name], SHAPES[name]
    assert (found.transitions, found.machine_invocations) == (
        model.transitions,
        sum(model.calls.get(function, 0) for function in ("execute_step", "process_output", "finalize_cost")),
    )
    assert abs(found.write_units - model.write_units) <= 1
    assert found.events <= model.events
    assert found.invocations <= model.invocations + 2
    assert abs(found.usd_per_thousand - model.usd_per_thousand) < Decimal("0.005")


def test_twenty_casts_in_flight_fit_into_memory(cloud: Cloud) -> None:
    spell = cloud.spell(called("[seconds:4]"), called(node="second"))
    with cloud.listening() as listener:
        casts = [cloud.cast(spell) for _ in range(20)]
        cloud.await_generation(f"{casts[-1]['castId']}.0.1", "processing")
        assert megabytes(cloud.process) <= 900
        for _ in casts:
            listener.until(
                lambda message: message["type"] == "castUpdate" and message["payload"]["status"] == "completed"
            )
