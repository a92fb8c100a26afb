"""One job that is told of by everybody, in every order: caster, provider and machine never agree on when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from itertools import permutations

import pytest

from spellcast.domain import documents
from spellcast.domain.documents import Document
from spellcast.domain.polling import Polling
from spellcast.domain.results import ToolResult
from tests.chaos import invariants
from tests.chaos.conftest import Defends
from tests.chaos.invariants import History
from tests.chaos.records import history_of
from tests.fakes.crashes import Provider
from tests.fakes.race import Race
from tests.fakes.world import ACCOUNT, World

EVENTS = ("webhook", "duplicate", "poll", "late failed webhook", "cancel")
STATES = ("running", "cancelling", "timed out")
# What the job costs, whoever says first that it was done.
BILL = Decimal("0.03")


class Completions(Race):
    """A cast whose one job is submitted, in one of the states; the machine goes on at once, or when all is said."""

    def __init__(self, state: str, *, at_once: bool) -> None:
        world = World(daily_budget_usd=Decimal(10))
        self.provider = Provider(world, polls_needed=1)
        super().__init__(world, world.cast("called"), announced_at_once=at_once)
        self.world.execute(self.cast)
        self._at_once = at_once
        if state == "cancelling":
            self.world.cancel_cast(ACCOUNT, self.cast.cast_id)
        elif state == "timed out":
            # The last poll finds the job where it was, and it is given up.
            done, self.world.adapter.on_poll = self.world.adapter.on_poll, lambda run_id: ToolResult("processing")
            self.world.clock.advance(3_600)
            self.world.execute(self.cast, token="again")
            self.world.adapter.on_poll = done

    def play(self, order: tuple[str, ...]) -> History:
        happen: dict[str, Callable[[], object]] = {
            "webhook": lambda: self._call_back({"status": "succeeded", "output": {"text": "a fox"}}),
            "duplicate": lambda: self._call_back({"status": "succeeded", "output": {"text": "a fox"}}),
            "poll": lambda: self.world.poll_job(Polling(f"{self.cast.cast_id}.0.1")),
            "late failed webhook": lambda: self._call_back({"status": "failed", "error": "No."}),
            "cancel": self.cancel,
        }
        for event in order:
            happen[event]()
            if self._at_once:
                self.go_on()
        self.go_on()
        # The sweep, or the announcement of a cancel that came in between.
        self.world.settle(self.cast)
        jobs = {request.generation_id: run_id for run_id, request in self.provider.jobs.items()}
        return history_of(self.world, Counter(self.provider.asked), jobs, f"in the order {order}")

    def _call_back(self, body: Document) -> None:
        [request] = self.provider.jobs.values()
        token = request.callback_url.rpartition("/")[2]
        self.world.receive_callback(token, {"x-signature": "good"}, documents.to_text(body).encode())


@pytest.mark.parametrize("at_once", [True, False], ids=["the machine goes on at once", "the machine goes on at last"])
@pytest.mark.parametrize("state", STATES)
def test_in_every_order_there_is_one_end_that_is_told_and_paid_once(
    state: str, at_once: bool, defends: Defends
) -> None:
    ends: Counter[str] = Counter()
    for order in permutations(EVENTS):
        race = Completions(state, at_once=at_once)
        history = race.play(order)
        invariants.check(history)
        assert history.asked == {f"{race.cast.cast_id}.0.1": 1}, history.told
        assert history.cast.cost_usd == BILL, history.told
        assert (history.cast.status == "cancelled") is not race.was_refused, history.told
        just_ended = [cast for cast in history.casts if cast.is_terminal and cast.has_just_ended]
        assert len(just_ended) == 1, history.told
        ends[history.cast.status] += 1
    told = ", ".join(f"{count} {status}" for status, count in sorted(ends.items()))
    machine = "goes on at once" if at_once else "goes on at last"
    defends("I3, I4, I7", f"completions in any order, {state}", f"all {ends.total()} orders, machine {machine}: {told}")
