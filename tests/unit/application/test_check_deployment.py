"""A smoke spell says whether a version may be let in."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from spellcast.application.check_deployment import EXPECTED, PATIENCE, PREFIX, CheckDeployment
from spellcast.application.find_tools import FindTools
from spellcast.catalog import built_in_tools
from spellcast.domain.casts import Cast, CastFailure
from spellcast.domain.documents import Document
from spellcast.domain.segments import Segment
from spellcast.ports.machine import Execution
from tests.fakes.world import World

NAME = f"{PREFIX}d-1"
DONE = Execution(False)
FAILED = Execution(False, "States.Runtime", "")


def settled(cast: Cast, outputs: Document | None = None, failure: CastFailure | None = None) -> Cast:
    return cast.settled(
        cost_usd=Decimal(0),
        points=0,
        step_generation_ids=(),
        outputs=outputs,
        failure=failure,
        now=cast.started_at,
    )


class Checked:
    """A check, with a machine that ends as the test says at the third look; `closed` makes the record of its end."""

    def __init__(self, ended: Execution | None, closed: Callable[[Cast], Cast] = lambda cast: cast) -> None:
        self.world = World(built_in_tools()["string-primitive"])
        self.reports: list[bool] = []
        self.started: dict[str, list[Segment]] = {}
        looks = 0

        def pause(seconds: float) -> None:
            nonlocal looks
            looks += 1
            self.world.clock.advance(seconds)
            self.started = dict(self.world.machine.casts)
            if looks == 2 and ended is not None:
                cast = self.world.store.get_cast(NAME)
                assert cast is not None
                if (after := closed(cast)) != cast:
                    self.world.store.save_cast(after, cast)
                self.world.machine.ended[cast.execution_name] = ended

        store = self.world.store
        self.check = CheckDeployment(store, store, FindTools(store), self.world.machine, self.world.clock, pause)

    def __call__(self) -> bool:
        return self.check("D-1", self.reports.append)

    def is_forgotten(self) -> bool:
        store = self.world.store
        found = (
            store.load_cast(NAME),
            store.get_spell(NAME),
            store.get_spell_by_slug(NAME),
            store.get_version(NAME, 1),
        )
        return found == (None, None, None, None)


def test_the_expected_end_lets_the_version_in_and_nothing_is_left() -> None:
    checked = Checked(DONE, lambda cast: settled(cast, EXPECTED))
    assert checked()
    assert (checked.reports, list(checked.started), checked.is_forgotten()) == ([True], [NAME], True)
    [segment] = checked.started[NAME]
    assert (segment.first, segment.last) == (0, 1), "both steps in one segment: one execution of the function"


@pytest.mark.parametrize(
    ("ended", "closed"),
    [
        (DONE, lambda cast: settled(cast, {"text": "SPELL"})),
        (DONE, lambda cast: settled(cast, None, CastFailure("INTERNAL_ERROR", "It could not be run."))),
        (DONE, lambda cast: cast),
        (FAILED, lambda cast: settled(cast, EXPECTED)),
        (None, lambda cast: cast),
    ],
    ids=["another output", "a failed cast", "an open cast", "a failed machine", "no end in time"],
)
def test_any_other_end_does_not(ended: Execution | None, closed: Callable[[Cast], Cast]) -> None:
    checked = Checked(ended, closed)
    begun = checked.world.clock.now()
    assert not checked()
    assert (checked.reports, checked.is_forgotten()) == ([False], True)
    waited = checked.world.clock.now() - begun
    assert (waited >= PATIENCE) is (ended is None)


def test_what_cannot_even_be_started_is_not_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = Checked(None)

    def refuse(*_: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(checked.world.machine, "start_cast", refuse)
    assert not checked()
    assert (checked.reports, checked.is_forgotten()) == ([False], True)


def test_it_is_reported_before_it_is_forgotten() -> None:
    checked = Checked(DONE, lambda cast: settled(cast, EXPECTED))
    assert checked.check("D-1", lambda passed: checked.reports.append(not checked.is_forgotten()))
    assert checked.reports == [True]
