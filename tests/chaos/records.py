"""The history of a cast that the use cases ran over the fakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from spellcast.application.notify import Notify
from spellcast.domain.casts import Cast
from spellcast.domain.generations import Generation
from tests.chaos.invariants import History
from tests.fakes.announcer import FakeAnnouncer
from tests.fakes.world import ACCOUNT, World


def history_of(world: World, asked: Counter[str], jobs: Mapping[str, str], told: str) -> History:
    """Of the world's one cast; what it wrote is announced as the table's stream would have it."""
    announcer = FakeAnnouncer()
    notify = Notify(announcer, world.links, world.clock)
    for record in world.store.writes:
        notify(record)
    events = [event.detail for event in announcer.published]
    casts = [record for record in world.store.writes if isinstance(record, Cast)]
    generations = [record for record in world.store.writes if isinstance(record, Generation)]
    budget = casts[-1].daily_budget
    day = world.store.get_day(ACCOUNT, budget.day) if budget else None
    return History(
        casts=casts,
        generations=generations,
        asked=asked,
        jobs=jobs,
        announced={(str(event.get("generationId") or event["castId"]), int(event["revision"])) for event in events},
        ledger=list(world.store.all_rows(ACCOUNT, start="0", end=None)),
        held=day.held if day else None,
        day_usd=day.total_usd if day else None,
        told=told,
    )
