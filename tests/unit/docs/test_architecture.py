"""The diagrams of docs/architecture.md are those of the code: lives, layers, states and functions."""

from __future__ import annotations

import itertools
import json
import re
import tomllib
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from spellcast.domain.casts import Cast, CastFailure
from spellcast.domain.errors import IllegalTransition
from tests.fakes.records import a_cast, in_seconds
from tests.unit.domain.test_generations import LEGAL, TRANSITIONS

ROOT = Path(__file__).parents[3]
LAYERS, FLOW, CAST, GENERATION = re.findall(
    r"^```mermaid\n(.*?)^```", (ROOT / "docs" / "architecture.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
)
Arrows = dict[tuple[str, str], set[str]]


def drawn(diagram: str) -> Arrows:
    """The methods on each arrow between two states."""
    arrows = re.findall(r"^    (\w+) --> (\w+): (.+)$", diagram, re.MULTILINE)
    return {(before, after): set(methods.split(", ")) for before, after, methods in arrows}


def test_a_generation_lives_as_its_picture_says() -> None:
    lives: Arrows = defaultdict(set)
    for (state, method), after in LEGAL.items():
        lives[state.partition(" ")[0], after].add(method)
    assert drawn(GENERATION) == lives
    assert set().union(*lives.values()) == TRANSITIONS.keys()
    assert "[*] --> pending: reserve\n" in GENERATION


STATES = {
    "running": a_cast(),
    "cancelling": a_cast(cancel_requested_at=in_seconds(1)),
    "completed": a_cast(status="completed", completed_at=in_seconds(9)),
    "failed": a_cast(status="failed", failed_at=in_seconds(9), failure=CastFailure("JOB_FAILED", "No cats.")),
    "cancelled": a_cast(status="cancelled", cancelled_at=in_seconds(9)),
}


def settled(cast: Cast, failure: CastFailure | None = None) -> Cast:
    return cast.settled(
        cost_usd=Decimal(1), points=1, step_generation_ids=(), outputs={}, failure=failure, now=in_seconds(10)
    )


def resumed(cast: Cast) -> Cast:
    return cast.resumed(
        first_step=0,
        overrides={},
        version=1,
        step_count=1,
        step_generation_ids=(),
        budget_usd=None,
        daily_budget=None,
        deadline_at=in_seconds(99),
        resumed_by="r",
        now=in_seconds(10),
    )


METHODS: list[tuple[str, Callable[[Cast], Cast]]] = [
    ("settled", settled),
    ("settled", lambda cast: settled(cast, CastFailure("JOB_FAILED", "No cats."))),
    ("cancelling", lambda cast: cast.cancelling(in_seconds(10))),
    ("resumed", resumed),
    ("restarted", lambda cast: cast.restarted(now=in_seconds(10))),
    ("billed", lambda cast: cast.billed(cost_usd=Decimal(1), points=1, now=in_seconds(10))),
    ("delivery_ended", lambda cast: cast.delivery_ended(attempts=1, error=None, now=in_seconds(10))),
]


def test_a_cast_lives_as_its_picture_says() -> None:
    """What does not change its status is not drawn."""
    lives: Arrows = defaultdict(set)
    for before, cast in STATES.items():
        for method, change in METHODS:
            try:
                changed = change(cast)
            except IllegalTransition:
                continue
            after = "cancelling" if changed.is_cancelling else changed.status
            if after != before:
                lives[before, after].add(method)
    assert drawn(CAST) == lives
    assert "[*] --> running\n" in CAST


def test_every_way_in_which_a_cast_changes_is_tried() -> None:
    changes = {
        name
        for name, member in vars(Cast).items()
        if str(getattr(member, "__annotations__", {}).get("return")) == "Cast"
    }
    assert changes == {method for method, _ in METHODS}


def test_the_layers_are_those_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    [one_way] = [contract for contract in contracts if contract["type"] == "layers"]
    checked = [
        {module.rpartition(".")[2] for module in layer.split(" | ")} - {"workflow_execution"}
        for layer in one_way["layers"]
    ]
    arrows: set[tuple[str, str]] = set()
    for line in re.sub(r'\["[^"]*"\]', "", LAYERS).splitlines()[1:]:
        before, after = ([name.strip() for name in side.split("&")] for side in line.split("-->"))
        arrows |= {(start, end) for start in before for end in after}
    assert arrows == {(start, end) for above, below in itertools.pairwise(checked) for start in above for end in below}


@pytest.mark.parametrize("name", re.findall(r"participant (\w+)$", FLOW, re.MULTILINE))
def test_the_flow_goes_through_functions_that_there_are(name: str) -> None:
    assert (ROOT / "functions" / name / "app.py").exists()


def test_the_flow_goes_through_the_states_of_the_machine() -> None:
    machine = json.loads((ROOT / "statemachine" / "cast_spell.asl.json").read_text("utf-8"))
    entered = re.findall(r"machine->>\w+: ([^,\n]+)", FLOW)
    assert entered == ["Execute the step", "Process the output", "Finalize the cost"]
    assert set(entered) <= machine["States"].keys()
