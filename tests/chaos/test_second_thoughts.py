"""Casters who cancel, resume and retry, and processes that die while they do it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection
from decimal import Decimal
from itertools import combinations, product

import pytest

from spellcast.application.resume_cast import ResumeOrder
from spellcast.domain import results
from spellcast.domain.errors import CastEnded, JobFailed
from tests.chaos import invariants
from tests.chaos.conftest import Defends
from tests.chaos.invariants import History
from tests.chaos.records import history_of
from tests.chaos.sizes import LONG, SEED
from tests.fakes.crashes import Chokepoint, Provider, StepFunctions, When
from tests.fakes.world import ACCOUNT, World

MOMENTS: tuple[When, When] = ("before", "after")
Kills = Collection[tuple[int, When]]
STEPS = ("paid", "free", "polled", "called", "paid")
RATES = {"free": Decimal(0), "paid": Decimal("0.01"), "polled": Decimal("0.02"), "called": Decimal("0.03")}
UNAVOIDABLE = {"OUTCOME_UNKNOWN", "JOB_LOST"}


class Sequel:
    """Five steps of which the third fails; then it is resumed, or that step retried, under these kills."""

    def __init__(self, how: str, kills: Kills = ()) -> None:
        self.chokepoint = Chokepoint()
        self.world = World(through=self.chokepoint, daily_budget_usd=Decimal(10))
        self.provider = Provider(self.world)
        succeed = self.world.adapter.on_poll
        self.world.adapter.on_poll = lambda run_id: results.failed(JobFailed("No."))
        cast = self.world.cast(*STEPS)
        machines = StepFunctions(self.world, self.provider)
        assert machines.run(cast.cast_id).status == "failed"
        self.cast_id = cast.cast_id
        self.world.adapter.on_poll = succeed
        self.chokepoint.arm(kills)
        order = ResumeOrder(fingerprint="f", idempotency_key="k")
        if how == "resume":
            machines.again(lambda: self.world.resume_cast(ACCOUNT, cast.cast_id, order))
        else:
            # Of the first step: everything is asked for once more.
            machines.again(lambda: self.world.retry_step(ACCOUNT, f"{cast.cast_id}.0.1", {"prompt": "a hare"}, order))
        self.calls = list(self.chokepoint.calls)
        self.cast = machines.run(cast.cast_id, f"{cast.cast_id}-2")
        self.history = self._check(0 if how == "retry" else 2)

    def _check(self, first: int) -> History:
        jobs = {request.generation_id: run_id for run_id, request in self.provider.jobs.items()}
        # What is free may be asked again.
        asked = Counter(name for name in self.provider.asked if STEPS[int(name.split(".")[1])] != "free")
        history = history_of(self.world, asked, jobs, f"killed: {self.chokepoint.killed}")
        invariants.check(history)
        assert [record.status for record in history.casts if record.is_terminal and record.has_just_ended] == [
            "failed",
            self.cast.status,
        ], history.told
        for generation in history.latest.values():
            is_completed = generation.status == "completed"
            assert generation.cost_usd == (RATES[generation.tool_id] if is_completed else 0), history.told
        # Steps that are kept were asked for by the first attempt alone.
        again = {int(name.split(".")[1]) for name in self.provider.asked if name.endswith(".2")}
        assert all(position >= first for position in again), history.told
        assert {f"{self.cast_id}.{position}.1" for position in (0, 1, 2)} <= set(self.provider.asked), history.told
        if self.cast.status == "completed":
            assert again == set(range(first, len(STEPS))), history.told
        else:
            assert self.cast.failure is not None and self.cast.failure.code in UNAVOIDABLE, history.told
        return history


@pytest.mark.parametrize("how", ["resume", "retry"])
def test_who_resumes_or_retries_pays_for_what_is_run_again_and_for_nothing_else(how: str, defends: Defends) -> None:
    sequel = Sequel(how)
    assert sequel.cast.status == "completed"
    kept = {"resume": (1, 1, 2, 1, 1), "retry": (2, 2, 2, 1, 1)}[how]
    asked = Counter(int(name.split(".")[1]) for name in sequel.provider.asked)
    assert tuple(asked[position] for position in range(len(STEPS))) == kept
    defends("I1", f"the third step of five fails; then {how}", f"each step asked for {kept} times in all")


@pytest.mark.parametrize("how", ["resume", "retry"])
def test_a_crash_at_any_call_of_a_resume_or_a_retry_and_of_what_follows(how: str, defends: Defends) -> None:
    first = Sequel(how)
    calls = list(first.chokepoint.calls)
    completed = 0
    for number in range(1, len(calls) + 1):
        for when in MOMENTS:
            sequel = Sequel(how, [(number, when)])
            assert sequel.chokepoint.killed
            completed += sequel.cast.status == "completed"
            # The request is repeated until there is an answer: nothing is lost by it.
            assert number > len(first.calls) or sequel.cast.status == "completed", sequel.history.told
    told = f"{len(first.calls)} calls of the request and {len(calls) - len(first.calls)} of the run, × 2"
    defends("I1, I3, I5, I7", f"a process dies during a {how}", f"each of {told}; {completed} completed")


@pytest.mark.parametrize("how", ["resume", "retry"])
def test_two_crashes_of_a_resume_or_a_retry_are_no_worse(how: str, defends: Defends) -> None:
    calls = Sequel(how).chokepoint.calls
    pairs = [
        ((first, one), (second, other))
        for first, second in combinations(range(1, len(calls) + 8), 2)
        for one, other in product(MOMENTS, repeat=2)
    ]
    sample = pairs if LONG else random.Random(SEED).sample(pairs, 100)
    for pair in sample:
        Sequel(how, pair)
    defends("I1, I3, I5, I7", f"two processes die during a {how}", f"{len(sample):,} pairs")


class Cancelled:
    """A cast that its caster cancels while `at` is about to be called, or, where that is None, while its job runs."""

    def __init__(self, tools: tuple[str, ...], *, at: int | None, at_once: bool, kills: Kills = ()) -> None:
        self.chokepoint = Chokepoint()
        self.world = World(through=self.chokepoint, daily_budget_usd=Decimal(10))
        self.provider = Provider(self.world)
        # None where nobody has asked.
        self._was_refused: bool | None = None
        self._at_once = at_once
        self.cast = self.world.cast(*tools)
        self.chokepoint.arm([])
        machines = StepFunctions(self.world, self.provider)
        if at is not None:
            self.chokepoint.meanwhile[at] = self._cancel
            machines.run(self.cast.cast_id)
        else:
            self.world.execute(self.cast)
            self.chokepoint.arm(kills)
            machines.again(lambda: self.world.cancel_cast(ACCOUNT, self.cast.cast_id))
            machines.again(lambda: self.world.settle(self.cast))
            # Nobody told the machine: its next step comes to a cast that is over.
            machines.run(self.cast.cast_id)
            self._was_refused = False
        machines.again(lambda: self.world.settle(self.cast))
        jobs = {request.generation_id: run_id for run_id, request in self.provider.jobs.items()}
        told = f"cancelled at {at}, killed: {self.chokepoint.killed}"
        asked = Counter(name for name in self.provider.asked if tools[int(name.split(".")[1])] != "free")
        self.history = history_of(self.world, asked, jobs, told)
        invariants.check(self.history)
        assert (self.history.cast.status == "cancelled") == (self._was_refused is False), told

    def _cancel(self) -> None:
        self._was_refused = False
        try:
            self.world.cancel_cast(ACCOUNT, self.cast.cast_id)
        except CastEnded:
            self._was_refused = True
        if self._at_once:
            self.world.settle(self.cast)


@pytest.mark.parametrize("at_once", [True, False], ids=["heard of at once", "heard of at last"])
def test_a_cancel_may_come_at_any_call_of_a_cast(at_once: bool, defends: Defends) -> None:
    tools = ("paid", "polled", "called")
    calls = Cancelled(tools, at=10_000, at_once=at_once).chokepoint.calls
    ends: Counter[str] = Counter()
    for number in range(1, len(calls) + 1):
        ends[Cancelled(tools, at=number, at_once=at_once).history.cast.status] += 1
    assert set(ends) == {"cancelled", "completed"}
    told = ", ".join(f"{count} {status}" for status, count in sorted(ends.items()))
    heard = "at once" if at_once else "at last"
    defends(
        "I1, I3, I5, I7", f"a caster cancels, which is heard of {heard}", f"before each of {len(calls)} calls: {told}"
    )


@pytest.mark.parametrize("tool", ["polled", "called"])
def test_a_crash_at_any_call_of_a_cancel(tool: str, defends: Defends) -> None:
    tools = ("paid", tool, "free")
    calls = Cancelled(tools, at=None, at_once=True).chokepoint.calls
    runs = [(number, when) for number in range(1, len(calls) + 1) for when in MOMENTS]
    for kill in runs:
        cancelled = Cancelled(tools, at=None, at_once=True, kills=[kill])
        assert cancelled.history.cast.status == "cancelled", cancelled.history.told
    defends("I1, I3, I5, I7", "a process dies during a cancel", f"each of {len(calls)} calls × 2, a job that is {tool}")
