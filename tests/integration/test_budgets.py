"""The count budgets: what a cast makes AWS bill does not grow with the time that its jobs take."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.bench.counts import Counted, count, shapes
from tests.bench.load import SHAPES
from tests.bench.memory import megabytes
from tests.cloud import Cloud, called


@pytest.fixture(scope="module")
def counted(cloud: Cloud) -> dict[str, Counted]:
    return {name: count(cloud, name, steps, segments) for name, (steps, segments) in shapes().items()}


@pytest.mark.parametrize("name", shapes())
def test_transitions_invocations_and_payloads(counted: dict[str, Counted], name: str) -> None:
    found = counted[name]
    assert found.transitions <= 3 * found.segments + 2
    assert found.machine_invocations <= 2 * found.segments + 1
    assert found.poll_transitions <= (2 + 3 * found.polls if found.polls else 0)
    assert found.largest_payload <= 4_096


@pytest.mark.parametrize(
    ("name", "writes"),
    [
        ("1 immediate", 2),
        ("3 immediate", 1 + 1 + 2),
        ("10 immediate", 9 + 2),
        ("1 webhook", 4),
        ("3 webhook", 3 * 4),
        ("1 polled", 4),
        ("mixed", 1 + 4 + 4 + 2),
    ],
)
def test_writes(counted: dict[str, Counted], name: str, writes: int) -> None:
    found = counted[name]
    assert found.generation_writes <= writes
    assert found.cast_writes <= 5
    # When it begins and when it ends: the row, its place in its account's list, its place among the open casts.
    assert found.cast_units <= 2 * 3


@pytest.mark.parametrize(("name", "jobs"), [("1 webhook", 1), ("3 webhook", 3), ("1 polled", 1)])
def test_write_units_of_a_job_step(counted: dict[str, Counted], name: str, jobs: int) -> None:
    assert counted[name].generation_units <= 8 * jobs


@pytest.mark.parametrize(("name", "budget"), [("3 immediate", "0.17"), ("3 webhook", "0.35")])
def test_list_price_of_a_thousand_casts(counted: dict[str, Counted], name: str, budget: str) -> None:
    assert counted[name].usd_per_thousand <= Decimal(budget), counted[name]


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
