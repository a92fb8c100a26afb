"""A cancelled cast: decided by one write, stopped and closed by whoever comes after it, however often."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from spellcast.domain import results
from spellcast.domain.casts import Cast
from spellcast.domain.errors import CastEnded, CastNotFound, JobCancelled, JobFailed, ProviderUnavailable
from spellcast.domain.generations import Generation
from spellcast.domain.limits import Limits
from spellcast.domain.results import Failure, Job, ToolResult
from spellcast.ports.adapter import Request
from tests.fakes.adapters import lost
from tests.fakes.crash import Crash
from tests.fakes.crashes import Chokepoint, When
from tests.fakes.race import Race
from tests.fakes.records import text_result
from tests.fakes.world import ACCOUNT, World

ABORTED = Failure("CAST_INTERRUPTED", "The cast's machine was stopped.", True)


@pytest.fixture
def world() -> World:
    return World()


def begun(world: World, *tools: str) -> Cast:
    """A cast whose first segment has been executed."""
    cast = world.cast(*tools)
    world.execute(cast)
    return cast


def cancel(world: World, cast: Cast) -> Cast:
    """The request, and what follows of its announcement."""
    world.cancel_cast(ACCOUNT, cast.cast_id)
    return world.settle(cast)


def casts_written(world: World) -> list[Cast]:
    return [item for item in world.store.writes if isinstance(item, Cast)]


# --- the request ---


def test_the_request_is_one_write_and_asks_nobody(world: World) -> None:
    cast = begun(world, "polled")
    writes = len(world.store.writes)
    world.clock.advance(5)
    asked = world.cancel_cast(ACCOUNT, cast.cast_id)
    assert (asked.status, asked.cancel_requested_at, asked.revision) == (
        "running",
        world.clock.now(),
        world.cast_of(cast).revision,
    )
    assert len(world.store.writes) == writes + 1
    assert (world.machine.stopped, world.adapter.cancelled) == ([], [])


def test_a_repeat_keeps_the_moment_and_is_announced_again(world: World) -> None:
    cast = begun(world, "polled")
    first = world.cancel_cast(ACCOUNT, cast.cast_id)
    world.clock.advance(5)
    second = world.cancel_cast(ACCOUNT, cast.cast_id)
    assert second.cancel_requested_at == first.cancel_requested_at
    assert second.revision == first.revision + 1


def test_a_cancelled_cast_is_answered_as_it_is(world: World) -> None:
    cast = begun(world, "polled")
    ended = cancel(world, cast)
    writes = len(world.store.writes)
    assert world.cancel_cast(ACCOUNT, cast.cast_id) == ended
    assert len(world.store.writes) == writes


@pytest.mark.parametrize("result", [text_result(), results.failed(JobFailed("No."))], ids=["completed", "failed"])
def test_a_cast_that_has_ended_cannot_be_cancelled(world: World, result: ToolResult) -> None:
    cast = begun(world, "polled")
    world.complete_job(f"{cast.cast_id}.0.1", result)
    world.process(cast)
    ended = world.settle(cast)
    with pytest.raises(CastEnded, match=ended.status):
        world.cancel_cast(ACCOUNT, cast.cast_id)
    assert world.cast_of(cast) == ended


@pytest.mark.parametrize("cast_id", ["nobody", "x" * 3_000])
def test_a_cast_that_does_not_exist_is_not_found(world: World, cast_id: str) -> None:
    with pytest.raises(CastNotFound):
        world.cancel_cast(ACCOUNT, cast_id)


def test_another_accounts_cast_is_not_found_and_goes_on(world: World) -> None:
    cast = begun(world, "polled")
    with pytest.raises(CastNotFound):
        world.cancel_cast("mallory", cast.cast_id)
    assert world.cast_of(cast).cancel_requested_at is None


# --- what follows ---


def test_machine_and_job_are_stopped_and_the_cast_is_cancelled(world: World) -> None:
    cast = begun(world, "paid", "polled", "free")
    world.clock.advance(5)
    ended = cancel(world, cast)
    assert world.machine.stopped == [cast.cast_id]
    assert world.adapter.cancelled == ["job-1"]
    assert (ended.status, ended.cancelled_at, ended.failed_at, ended.completed_at) == (
        "cancelled",
        world.clock.now(),
        None,
        None,
    )
    assert (ended.failure, ended.outputs, ended.cost_usd) == (None, None, Decimal("0.01"))
    assert ended.step_generation_ids == (f"{cast.cast_id}.0.1",)
    stopped = world.generation(cast, 1)
    assert (stopped.status, stopped.task_token) == ("cancelled", None)
    assert stopped.failure == Failure("CAST_CANCELLED", "The cast was cancelled.")
    assert not ended.tells_its_end and ended.has_just_ended


def test_a_machine_that_is_aborted_by_it_finds_nothing_left_to_do(world: World) -> None:
    cast = begun(world, "polled")
    ended = cancel(world, cast)
    writes = len(world.store.writes)
    assert world.settle(cast, ABORTED) == ended
    assert (len(world.store.writes), world.adapter.cancelled) == (writes, ["job-1"])


def test_whoever_closes_the_cast_closes_it_as_cancelled(world: World) -> None:
    cast = begun(world, "polled")
    world.complete_job(f"{cast.cast_id}.0.1", text_result("t"))
    world.cancel_cast(ACCOUNT, cast.cast_id)
    world.process(cast)
    ended = world.settle(cast)
    assert (ended.status, ended.outputs, ended.cost_usd) == ("cancelled", None, Decimal("0.02"))
    assert world.generation(cast, 0).status == "completed"


def test_a_stored_result_is_the_steps_and_its_job_is_not_cancelled(world: World) -> None:
    cast = begun(world, "polled", "free")
    world.complete_job(f"{cast.cast_id}.0.1", text_result("t"))
    ended = cancel(world, cast)
    assert (world.generation(cast, 0).status, ended.cost_usd) == ("completed", Decimal("0.02"))
    assert (world.adapter.cancelled, world.adapter.polled) == ([], [])


BILL = Decimal("0.007")
SAID = [
    pytest.param(ToolResult("processing"), "cancelled", Decimal(0), id="it still runs"),
    pytest.param(results.failed(JobCancelled("Gone."), cost_usd=BILL), "cancelled", BILL, id="cancelled at a price"),
    pytest.param(results.failed(JobCancelled("Gone.")), "cancelled", Decimal(0), id="cancelled"),
    pytest.param(results.failed(JobFailed("No."), cost_usd=BILL), "failed", BILL, id="failed before"),
    pytest.param(text_result("t"), "completed", Decimal("0.02"), id="succeeded before"),
]


@pytest.mark.parametrize(("state", "status", "cost"), SAID)
def test_the_job_is_looked_up_once_for_what_it_cost(
    world: World, state: ToolResult, status: str, cost: Decimal
) -> None:
    cast = begun(world, "polled")
    world.adapter.on_poll = lambda run_id: state
    ended = cancel(world, cast)
    assert world.adapter.polled == ["job-1"]
    assert (world.generation(cast, 0).status, ended.status, ended.cost_usd) == (status, "cancelled", cost)


def fail(run_id: str) -> Any:
    raise ProviderUnavailable("Down.")


def crash(run_id: str) -> Any:
    raise ZeroDivisionError


@pytest.mark.parametrize("on_poll", [fail, crash, lost])
@pytest.mark.parametrize("on_cancel", [fail, crash])
def test_a_provider_that_cannot_be_asked_holds_up_nothing(
    world: World, on_poll: Callable[[str], Any], on_cancel: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    cast = begun(world, "polled")
    world.adapter.on_poll = on_poll
    monkeypatch.setattr(world.adapter, "cancel_job", on_cancel)
    assert cancel(world, cast).status == "cancelled"


def test_a_provider_that_is_not_configured_any_more_holds_up_nothing(world: World) -> None:
    cast = begun(world, "polled")
    world.adapters.forget()
    assert cancel(world, cast).status == "cancelled"


def test_a_job_whose_tool_is_gone_is_cancelled_all_the_same(world: World) -> None:
    cast = begun(world, "polled")
    stored = world.generation(cast, 0)
    world.store.save_generation(replace(stored, tool_id="gone", revision=stored.revision + 1), stored)
    assert cancel(world, cast).status == "cancelled"
    assert (world.adapter.cancelled, world.adapter.polled) == (["job-1"], [])


@pytest.mark.parametrize("derived", [True, False])
def test_a_job_that_was_perhaps_accepted_is_cancelled_by_the_id_that_was_chosen_here(
    world: World, derived: bool
) -> None:
    world.adapter.derives_run_ids = derived

    def killed(request: Request) -> Job:
        raise Crash

    world.adapter.on_start = killed
    cast = world.cast("polled")
    with pytest.raises(Crash):
        world.execute(cast)
    assert cancel(world, cast).status == "cancelled"
    assert world.adapter.cancelled == ([f"derived-{cast.cast_id}.0.1"] if derived else [])


def test_a_job_that_is_accepted_after_the_cast_was_closed_is_cancelled(world: World) -> None:
    cast = world.cast("polled")

    def meanwhile(request: Request) -> Job:
        cancel(world, cast)
        return Job("job-late", calls_back=False)

    world.adapter.on_start = meanwhile
    world.execute(cast)
    assert (world.cast_of(cast).status, world.adapter.cancelled) == ("cancelled", ["job-late"])
    assert world.generation(cast, 0).status == "cancelled"


@pytest.mark.parametrize("tools", [("polled",), ("paid", "free"), ("free", "paid"), ("called",)])
def test_a_step_that_is_reserved_while_the_cast_is_cancelled_asks_nobody(world: World, tools: tuple[str, ...]) -> None:
    cast = world.cast(*tools)
    paid = tools.index("paid") if "paid" in tools else 0

    def asked() -> list[str]:
        return [request.generation_id for request in (*world.adapter.executed, *world.adapter.started)]

    # Closed before the reservation: whoever closed the cast has not seen it.
    world.store.meanwhile.extend([lambda: None] * paid + [lambda: cancel(world, cast)])
    world.execute(cast)
    loaded = world.store.load_cast(cast.cast_id)
    assert loaded is not None and loaded[0].status == "cancelled"
    assert all(generation.is_terminal for generation in loaded[1])
    assert f"{cast.cast_id}.{paid}.1" not in asked()
    assert isinstance(world.machine.answers["token"], Failure)


@pytest.mark.parametrize("tools", [("polled",), ("paid", "free")])
def test_a_step_that_is_reserved_between_the_request_and_the_end_is_cancelled(
    world: World, tools: tuple[str, ...]
) -> None:
    cast = world.cast(*tools)
    world.store.meanwhile.append(lambda: world.cancel_cast(ACCOUNT, cast.cast_id))
    world.execute(cast)
    assert (world.adapter.executed, world.adapter.started) == ([], [])
    assert world.generation(cast, 0).status == "cancelled"
    refused = world.machine.answers["token"]
    assert isinstance(refused, Failure) and refused.code == "CAST_CANCELLED"
    assert world.settle(cast, refused).status == "cancelled"


def test_the_machines_next_step_is_refused_and_leads_to_the_end(world: World) -> None:
    cast = world.cast("free", "polled")
    world.cancel_cast(ACCOUNT, cast.cast_id)
    world.execute(cast)
    refused = world.machine.answers["token"]
    assert isinstance(refused, Failure) and refused.code == "CAST_CANCELLED"
    assert (world.adapter.executed, world.adapter.started) == ([], [])
    assert world.settle(cast, refused).status == "cancelled"


def test_a_cast_that_waits_for_its_turn_is_cancelled_too(world: World) -> None:
    world.adapters.configured = Limits(jobs=1)
    first, second = begun(world, "polled"), begun(world, "polled")
    waits = world.machine.answers["token"]
    assert isinstance(waits, Failure) and waits.code == "NO_FREE_SLOT"
    assert cancel(world, second).status == "cancelled"
    assert cancel(world, first).status == "cancelled"
    assert dict(world.store.leases["fake#jobs"].held) == {}
    assert world.machine.stopped == [second.cast_id, first.cast_id]


def test_a_cast_whose_start_was_lost_is_closed(world: World) -> None:
    cast = world.cast("free")
    world.machine.casts.clear()
    assert cancel(world, cast).status == "cancelled"
    assert world.machine.stopped == []


def test_who_may_not_ask_providers_leaves_the_cast_to_who_may(world: World) -> None:
    cast = begun(world, "polled")
    world.cancel_cast(ACCOUNT, cast.cast_id)
    left = replace(world.finalize_cost, stop_cast=None)(cast.cast_id, ABORTED)
    assert (left.status, world.generation(cast, 0).status) == ("running", "processing")
    assert world.settle(cast).status == "cancelled"


@pytest.mark.parametrize("polled_bill", [None, BILL])
def test_a_late_bill_counts_once(world: World, polled_bill: Decimal | None) -> None:
    cast = begun(world, "called")
    if polled_bill is not None:
        world.adapter.on_poll = lambda run_id: results.failed(JobCancelled("Gone."), cost_usd=polled_bill)
    cancel(world, cast)
    for _ in range(3):
        world.complete_job(f"{cast.cast_id}.0.1", results.failed(JobCancelled("Gone."), cost_usd=BILL))
    late = world.cast_of(cast)
    assert (late.status, late.cost_usd, world.generation(cast, 0).cost_usd) == ("cancelled", BILL, BILL)
    assert world.generation(cast, 0).status == "cancelled"


# --- who wins ---


def test_a_completion_that_is_written_first_wins(world: World) -> None:
    cast = begun(world, "polled")
    world.complete_job(f"{cast.cast_id}.0.1", text_result())
    world.process(cast)
    world.store.meanwhile.append(lambda: world.settle(cast))
    with pytest.raises(CastEnded):
        world.cancel_cast(ACCOUNT, cast.cast_id)
    assert world.cast_of(cast).status == "completed"


def test_a_cancel_that_is_written_first_wins(world: World) -> None:
    cast = begun(world, "polled")
    world.complete_job(f"{cast.cast_id}.0.1", text_result())
    world.process(cast)
    world.store.meanwhile.append(lambda: world.cancel_cast(ACCOUNT, cast.cast_id))
    assert world.settle(cast).status == "cancelled"


EVENTS = ("completion", "failure", "timeout", "cancel")


class Ends(Race):
    """Of a polled job."""

    def __init__(self, *, announced_at_once: bool) -> None:
        world = World()
        super().__init__(world, begun(world, "polled"), announced_at_once=announced_at_once)
        self.generation_id = f"{self.cast.cast_id}.0.1"

    def completion(self) -> None:
        self.world.complete_job(self.generation_id, text_result(cost_usd=BILL))

    def failure(self) -> None:
        self.world.complete_job(self.generation_id, results.failed(JobFailed("No."), cost_usd=BILL))

    def timeout(self) -> None:
        self.world.clock.advance(timedelta(hours=1).total_seconds())
        if not self.world.machine.stopped:
            self.world.execute(self.cast, token="again")


@pytest.mark.parametrize("at_once", [True, False], ids=["announced at once", "announced at last"])
@pytest.mark.parametrize("goes_on", [True, False], ids=["the machine goes on at once", "the machine goes on at last"])
@pytest.mark.parametrize("order", list(itertools.permutations(EVENTS)), ids=", ".join)
def test_in_any_order_there_is_one_end(order: tuple[str, ...], goes_on: bool, at_once: bool) -> None:
    race = Ends(announced_at_once=at_once)
    for event in order:
        getattr(race, event)()
        if goes_on:
            race.go_on()
    race.go_on()
    ended = race.world.settle(race.cast)
    assert (ended.status == "cancelled") is not race.was_refused
    writes = race.world.store.writes
    assert {item.status for item in casts_written(race.world) if item.is_terminal} == {ended.status}
    generation = race.world.generation(race.cast, 0)
    assert {item.status for item in writes if isinstance(item, Generation) and item.is_terminal} == {generation.status}
    # Whoever came first, the one bill that was told counts once.
    assert (ended.cost_usd, generation.cost_usd) == (BILL, BILL)


# --- crashes ---


def crashed(kills: list[tuple[int, When]]) -> tuple[World, Chokepoint, Cast]:
    """A running cast that is cancelled; who is killed is followed by the announcement, or by the same request."""
    chokepoint = Chokepoint()
    world = World(through=chokepoint)
    world.adapters.configured = Limits(jobs=1)
    cast = begun(world, "paid", "polled", "free")
    world.adapter.on_poll = lambda run_id: results.failed(JobCancelled("Gone."), cost_usd=BILL)
    chokepoint.arm(kills)
    for _ in range(5):
        try:
            world.cancel_cast(ACCOUNT, cast.cast_id)
            break
        except Crash:
            if world.cast_of(cast).is_cancelling:
                break  # The stream has it: nobody has to ask again.
    for _ in range(5):
        try:
            world.settle(cast)
            break
        except Crash:
            continue
    return world, chokepoint, cast


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_call_leaves_a_cast_that_is_cancelled_once(when: When) -> None:
    calls = list(crashed([])[1].calls)
    assert {"FakeMachine.stop_cast", "FakeAdapter.cancel_job", "FakeAdapter.poll_job"} <= set(calls)
    for number in range(1, len(calls) + 1):
        world, chokepoint, cast = crashed([(number, when)])
        told = f"killed {chokepoint.killed}"
        assert chokepoint.killed, told
        ended = world.cast_of(cast)
        assert (ended.status, ended.cost_usd) == ("cancelled", Decimal("0.01") + BILL), told
        assert [item.is_terminal for item in casts_written(world)].count(True) == 1, told
        loaded = world.store.load_cast(cast.cast_id)
        assert loaded is not None
        assert [item.status for item in loaded[1]] == ["completed", "cancelled"], told
        assert len(world.adapter.started) == len(world.adapter.executed) == 1, told
        assert "job-1" in world.adapter.cancelled and world.machine.stopped, told
        latest = max((expiry for scope in world.store.leases.values() for expiry in scope.held.values()), default=None)
        assert latest is None or latest <= loaded[1][1].deadline_at + timedelta(minutes=2), told
