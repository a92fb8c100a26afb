"""What may be spent, and what is booked of it: casts, days and ledgers over the whole life of a cast."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from spellcast.application.cast_spell import CastOrder
from spellcast.application.resume_cast import ResumeOrder
from spellcast.domain import money, results
from spellcast.domain.account_settings import AccountSettings
from spellcast.domain.budgets import DailyBudget, Day, Reservation
from spellcast.domain.casts import Cast
from spellcast.domain.errors import JobFailed, ProviderUnavailable, WriteConflict
from spellcast.domain.history import Run
from spellcast.domain.ledger import LedgerRow, balances
from spellcast.domain.limits import Limits
from spellcast.domain.pricing import PricingPolicy
from spellcast.domain.results import Failure
from spellcast.ports.adapter import Request
from tests.fakes.crash import Crash
from tests.fakes.crashes import Chokepoint, Provider, StepFunctions, When
from tests.fakes.records import text_result
from tests.fakes.world import ACCOUNT, World, make_tool

TODAY, TOMORROW = "2026-01-31", "2026-02-01"
DEAR = make_tool("dear", amount="1.00")
STOPPED = Failure("CAST_INTERRUPTED", "Stopped.", True)


def a_world(most: str | None = "10", **more: Any) -> World:
    return World(DEAR, daily_budget_usd=None if most is None else Decimal(most), **more)


def cast(world: World, *tools: str, budget: str | None = None, key: str | None = None, by: str = ACCOUNT) -> Cast:
    steps = [{"id": f"n{position}", "toolIdentifier": tool} for position, tool in enumerate(tools)]
    spell, _, _ = world.create_spell(ACCOUNT, "spell", "public", {"steps": steps})
    order = CastOrder(
        spell=spell.spell_id,
        fingerprint="f",
        budget_usd=None if budget is None else Decimal(budget),
        idempotency_key=key,
    )
    return world.cast_spell(by, order)[0]


def resume(world: World, ended: Cast) -> Cast:
    return world.resume_cast(ACCOUNT, ended.cast_id, ResumeOrder(fingerprint="f"))


def run_to_its_end(world: World, started: Cast) -> Cast:
    """Every segment of immediate steps, processed and settled."""
    world.execute(started, token=started.cast_id)
    answer = world.machine.answers[started.cast_id]
    if isinstance(answer, Failure):
        return world.settle(started, answer)
    world.process(started)
    return world.settle(started)


def rows(world: World, account_id: str = ACCOUNT) -> list[LedgerRow]:
    return list(world.store.all_rows(account_id, start="2000", end=None))


def kinds(world: World) -> list[tuple[str, str]]:
    """The entries of the only row."""
    [row] = rows(world)
    return [(entry.kind, money.to_text(entry.amount_usd)) for entry in row.entries]


def day(world: World, of: str = TODAY) -> Day:
    return world.store.get_day(ACCOUNT, of)


# --- the cast's budget ---


def test_a_budget_goes_by_what_earlier_runs_cost() -> None:
    world = a_world(None)
    world.store.record_runs(ACCOUNT, [Run("paid", 0, Decimal("0.30"), 1, world.clock.now())])
    ended = run_to_its_end(world, cast(world, "paid", budget="0.29"))
    assert ended.failure is not None
    assert ended.failure.code == "BUDGET_EXCEEDED"
    assert ended.failure.message == "$0 of the budget of $0.29 are spent, and Paid is expected to cost $0.3."
    assert world.adapter.executed == []
    generation = world.generation(ended, 0)
    assert generation.failure is not None
    assert not generation.failure.retryable


def test_all_attempts_and_late_bills_count() -> None:
    world = a_world(None)
    started = cast(world, "polled", "paid", budget="0.04")
    world.execute(started)
    # The first attempt was given up, and billed late; the second is the one that went well.
    job = world.generation(started, 0)
    lost = job.received(results.failed(JobFailed("No.")), world.clock.now()).failed(
        Failure("TIMED_OUT", "Late."), now=world.clock.now()
    )
    world.store.save_generation(lost, job)
    world.complete_job(job.generation_id, results.failed(JobFailed("No."), cost_usd=Decimal("0.015")))
    again = replace(job, attempt=2, revision=1, result=text_result(cost_usd=Decimal("0.02")))
    done = again.completed(cost_usd=Decimal("0.02"), points=6, now=world.clock.now())
    world.store.save_generation(done, None)
    world.execute(started, 1)
    ended = world.process(started, 1)
    assert ended.failure is not None
    assert ended.failure.message.startswith("$0.035 of the budget of $0.04 are spent")


# --- the account's budget of a day ---


def test_who_has_no_budget_pays_for_none() -> None:
    chokepoint = Chokepoint()
    world = a_world(None, through=chokepoint)
    run_to_its_end(world, cast(world, "paid", "dear", "free"))
    assert not {"FakeStore.reserve", "FakeStore.settle", "FakeStore.get_day", "FakeStore.list_runs"} & set(
        chokepoint.calls
    )
    assert chokepoint.calls.count("FakeStore.put_row") == 1
    chokepoint.calls.clear()
    # Nothing was moved: `free` has no points either where nothing is charged for it.
    world = a_world(None, through=chokepoint, pricing=PricingPolicy(never_charged=frozenset({"fake"})))
    run_to_its_end(world, cast(world, "free"))
    assert "FakeStore.put_row" not in chokepoint.calls


def test_what_was_reserved_is_settled_by_what_it_cost() -> None:
    world = a_world()
    world.adapter.on_execute = lambda request: text_result(cost_usd=Decimal("0.4"))
    started = cast(world, "dear")
    assert started.daily_budget == DailyBudget(TODAY, Decimal(10))
    world.execute(started)
    assert day(world) == Day(Decimal(1), {f"{started.cast_id}.0.1": Decimal(1)})
    world.process(started)
    assert day(world) == Day(Decimal("0.4"), {f"{started.cast_id}.0.1": Decimal("0.4")})
    ended = world.settle(started)
    assert (ended.status, day(world)) == ("completed", Day(Decimal("0.4"), {}))
    assert kinds(world) == [("reserve", "1"), ("release", "0.6"), ("settle", "0.4")]
    assert rows(world)[0].day == TODAY


def test_a_step_that_cost_what_was_expected_is_not_written_again() -> None:
    chokepoint = Chokepoint()
    world = a_world(through=chokepoint)
    run_to_its_end(world, cast(world, "dear", "dear"))
    changes = [name for name in chokepoint.calls if name.removeprefix("FakeStore.") in ("reserve", "settle", "close")]
    assert changes == ["FakeStore.reserve", "FakeStore.reserve", "FakeStore.close"]


def test_a_step_that_the_day_has_nothing_left_for_is_not_asked() -> None:
    world = a_world("2.5")
    assert [run_to_its_end(world, cast(world, "dear")).status for _ in range(2)] == ["completed", "completed"]
    ended = run_to_its_end(world, cast(world, "free", "dear", "free"))
    assert ended.failure is not None
    assert (ended.failure.code, ended.failure.step_index) == ("BUDGET_EXCEEDED", 1)
    assert ended.failure.message == (
        "$2 of the account's budget of $2.5 for 2026-01-31 (UTC) are spent and $0 reserved, "
        "and Dear is expected to cost $1."
    )
    assert day(world) == Day(Decimal(2), {})
    # What costs nothing, and tomorrow, are free to go on.
    assert run_to_its_end(world, cast(world, "free")).status == "completed"
    world.clock.advance(24 * 3600)
    assert run_to_its_end(world, cast(world, "dear")).status == "completed"
    assert [day(world, of).total_usd for of in (TODAY, TOMORROW)] == [2, 1]


def test_a_cast_counts_for_the_day_on_which_it_was_started() -> None:
    world = a_world()
    started = cast(world, "polled", "dear")
    world.execute(started)
    world.clock.advance(13 * 3600)
    world.complete_job(f"{started.cast_id}.0.1", text_result())
    world.process(started)
    world.execute(started, 1)
    world.process(started, 1)
    ended = world.settle(started)
    assert (ended.status, day(world)) == ("completed", Day(Decimal("1.02"), {}))
    assert day(world, TOMORROW) == Day()


def test_a_job_that_waits_for_its_turn_holds_nothing() -> None:
    world = a_world()
    world.adapters.configured = Limits(jobs=1)
    first, second = cast(world, "polled"), cast(world, "polled")
    world.execute(first)
    world.execute(second, token="t2")
    assert isinstance(world.machine.answers["t2"], Failure)
    assert set(day(world).held) == {f"{first.cast_id}.0.1"}


@pytest.mark.parametrize("tool", ["dear", "called"])
def test_a_step_that_is_given_up_gives_back_what_it_held(tool: str) -> None:
    world = a_world()
    started = cast(world, tool)

    def stopped(request: Request) -> Any:
        world.settle(started, STOPPED)
        raise JobFailed("No.")

    world.adapter.on_execute = world.adapter.on_start = stopped
    world.execute(started)
    assert world.settle(started, STOPPED).status == "failed"
    assert day(world) == Day(Decimal(0), {})


def test_an_account_sets_its_own() -> None:
    world = a_world()
    for own, status in (("0.5", "failed"), ("0", "failed"), (None, "completed")):
        world.store.put_settings(ACCOUNT, AccountSettings({}, None if own is None else Decimal(own)))
        assert run_to_its_end(world, cast(world, "dear")).status == status
    world.store.put_settings(ACCOUNT, AccountSettings({}, Decimal(1)))
    before = cast(world, "dear")
    world.store.put_settings(ACCOUNT, AccountSettings({}, Decimal(100)))
    # A cast that runs goes on with the settings that it was started with.
    assert run_to_its_end(world, before).status == "failed"


# --- who else writes at the same time ---


@pytest.mark.parametrize("held", ["1", "0.9", "0"])
def test_what_an_invocation_held_that_died_is_held_for_the_next(held: str) -> None:
    world = a_world("1")
    started = cast(world, "dear")
    holder = f"{started.cast_id}.0.1"
    # The estimate may have been another one; the newest counts, and the step itself is not in its own way.
    world.store.reserve(ACCOUNT, holder, Reservation(TODAY, Decimal(held)), Decimal(1))
    world.execute(started)
    assert world.generation(started, 0).reservation == Reservation(TODAY, Decimal(1))
    assert day(world) == Day(Decimal(1), {holder: Decimal(1)})
    world.process(started)
    assert world.settle(started).status == "completed"
    assert day(world) == Day(Decimal(1), {})
    assert kinds(world) == [("reserve", "1"), ("settle", "1")]


def test_what_was_held_for_a_step_that_was_never_written_is_given_back_with_the_cast() -> None:
    world = a_world()
    started = cast(world, "dear")
    world.store.reserve(ACCOUNT, f"{started.cast_id}.0.1", Reservation(TODAY, Decimal(1)), Decimal(10))
    assert world.settle(started, STOPPED).status == "failed"
    assert (day(world), rows(world)) == (Day(Decimal(0), {}), [])


def test_room_that_comes_while_it_is_looked_for_is_taken() -> None:
    world = a_world("1")
    started = cast(world, "dear")
    reserve = world.store.reserve

    def full(*arguments: Any) -> None:
        # By the time at which the day is read again, whoever filled it has been settled for nothing.
        world.store.reserve = reserve  # type: ignore[method-assign]
        raise WriteConflict("day")

    world.store.reserve = full  # type: ignore[method-assign, assignment]
    world.execute(started)
    assert day(world).held == {f"{started.cast_id}.0.1": Decimal(1)}


def test_a_day_that_cannot_be_written_is_settled_when_the_cast_is_closed() -> None:
    world = a_world()
    world.adapter.on_execute = lambda request: text_result(cost_usd=Decimal("0.4"))
    started = cast(world, "dear")
    world.execute(started)
    settle = world.store.settle

    def throttled(*arguments: object) -> None:
        raise RuntimeError("throttled")

    world.store.settle = throttled  # type: ignore[method-assign, assignment]
    world.process(started)
    assert day(world).total_usd == 1
    world.store.settle = settle  # type: ignore[method-assign]
    world.settle(started)
    assert day(world) == Day(Decimal("0.4"), {})


def test_the_day_is_read_again_where_it_changed_while_it_was_closed() -> None:
    world = a_world()
    world.adapter.on_execute = lambda request: text_result(cost_usd=Decimal("0.4"))
    started = cast(world, "dear")
    world.execute(started)
    world.process(started)
    close = world.store.close
    holder = f"{started.cast_id}.0.1"

    def meanwhile(*arguments: Any) -> None:
        world.store.close = close  # type: ignore[method-assign]
        world.store.settle(ACCOUNT, holder, Reservation(TODAY, Decimal("0.4")), Decimal("0.3"))
        raise WriteConflict("day")

    world.store.close = meanwhile  # type: ignore[method-assign, assignment]
    world.settle(started)
    assert day(world) == Day(Decimal("0.4"), {})


def test_a_job_of_which_nobody_was_asked_holds_nothing_any_more() -> None:
    world = a_world()
    started = cast(world, "polled")
    world.adapters.forget()
    world.execute(started)
    assert world.generation(started, 0).status == "failed"
    assert day(world).total_usd == 0


def test_a_resumed_cast_counts_for_its_new_day_and_is_booked_without_what_was_booked_before() -> None:
    world = a_world("1.5")
    started = cast(world, "dear", "dear")
    world.execute(started)
    ended = world.settle(started, STOPPED)
    assert ended.cost_usd == 1
    assert ended.failure is not None
    assert ended.failure.code == "BUDGET_EXCEEDED"
    world.clock.advance(24 * 3600)
    resumed = resume(world, started)
    assert resumed.daily_budget == DailyBudget(TOMORROW, Decimal("1.5"))
    world.execute(resumed, token="t2")
    world.process(resumed)
    closed = world.settle(resumed)
    assert (closed.status, closed.cost_usd) == ("completed", Decimal(2))
    assert (day(world), day(world, TOMORROW)) == (Day(Decimal(1), {}), Day(Decimal(1), {}))
    latest, first = rows(world)
    assert [entry.generation_id for entry in first.entries] == [f"{started.cast_id}.0.1"] * 2
    assert [entry.generation_id for entry in latest.entries] == [f"{started.cast_id}.1.2"] * 2
    assert (first.day, latest.day) == (TODAY, TOMORROW)


def test_what_a_resumed_cast_holds_is_left_alone_by_whoever_closed_it_before() -> None:
    world = a_world()
    started = cast(world, "dear")
    ended = world.settle(started, STOPPED)
    loaded = world.store.load_cast(started.cast_id)
    assert loaded is not None
    resumed = replace(ended, status="running", execution=2, revision=ended.revision + 1)
    world.store.save_cast(resumed, ended)
    world.store.reserve(ACCOUNT, f"{started.cast_id}.0.2", Reservation(TODAY, Decimal(1)), Decimal(10))
    world.finalize_cost.keep_accounts(ended, loaded[1])
    assert day(world).held == {f"{started.cast_id}.0.2": Decimal(1)}
    world.finalize_cost(started.cast_id, STOPPED)
    assert day(world) == Day(Decimal(0), {})


def test_an_account_sets_what_a_resumed_cast_may_spend_on_its_new_day() -> None:
    world = a_world()
    ended = world.settle(cast(world, "dear"), STOPPED)
    world.store.put_settings(ACCOUNT, AccountSettings({}, Decimal("0.5")))
    resumed = resume(world, ended)
    assert resumed.daily_budget == DailyBudget(TODAY, Decimal("0.5"))
    world.execute(resumed)
    closed = world.settle(resumed)
    assert closed.failure is not None and closed.failure.code == "BUDGET_EXCEEDED"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("days", [0, 1])
def test_a_cast_whose_close_died_is_closed_before_it_is_resumed(days: int, when: When) -> None:
    for number in range(1, 30):
        chokepoint = Chokepoint()
        world = a_world(through=chokepoint)
        started = cast(world, "dear", "polled")
        world.execute(started)
        chokepoint.arm([(number, when)])
        with suppress(Crash):
            world.settle(started, STOPPED)
        chokepoint.arm([])
        if not world.cast_of(started).is_terminal:
            continue
        world.clock.advance(days * 24 * 3600)
        resumed = resume(world, started)
        told = f"killed: {chokepoint.killed}"
        assert resumed.first_step == 1, told
        assert day(world) == Day(Decimal(1), {}), told
        assert balances(rows(world)).spent_usd == 1, told
        world.execute(resumed, token="t2")
        world.complete_job(f"{started.cast_id}.1.2", text_result())
        world.process(resumed)
        assert world.settle(resumed).status == "completed", told
        assert [day(world, of).held for of in (TODAY, TOMORROW)] == [{}, {}], told
        assert balances(rows(world)).spent_usd == Decimal("1.02"), told
        if not chokepoint.killed:
            return
    raise AssertionError("there is always one more call")


def before_it_is_held(world: World, meanwhile: Callable[[], object]) -> None:
    """What somebody else does between the invocation's reading of the cast and its reservation."""
    reserve = world.store.reserve

    def late(*arguments: Any) -> None:
        world.store.reserve = reserve  # type: ignore[method-assign]
        meanwhile()
        reserve(*arguments)

    world.store.reserve = late  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize("tool", ["dear", "polled"])
@pytest.mark.parametrize("resumed", [False, True])
def test_a_step_that_comes_after_its_cast_was_closed_holds_nothing(resumed: bool, tool: str) -> None:
    world = a_world()
    started = cast(world, tool)

    def closed() -> None:
        world.settle(started, STOPPED)
        if resumed:
            world.clock.advance(24 * 3600)
            resume(world, started)

    before_it_is_held(world, closed)
    world.execute(started)
    assert (world.adapter.executed, world.adapter.started) == ([], [])
    assert day(world) == Day(Decimal(0), {f"{started.cast_id}.0.1": Decimal(0)})


@pytest.mark.parametrize("kill", [(1, "after"), (2, "before")])
def test_a_late_step_that_dies_holds_nothing_once_the_resumed_cast_is_closed(kill: tuple[int, When]) -> None:
    chokepoint = Chokepoint()
    world = a_world(through=chokepoint)
    started = cast(world, "dear")

    def resumed_meanwhile() -> None:
        world.settle(started, STOPPED)
        world.clock.advance(24 * 3600)
        resume(world, started)
        # The record is written, and the cast is not read any more.
        chokepoint.arm([kill])

    before_it_is_held(world, resumed_meanwhile)
    with pytest.raises(Crash):
        world.execute(started)
    assert world.generation(started, 0).status == "pending"
    assert day(world).total_usd == 1
    world.finalize_cost(started.cast_id, STOPPED)
    assert day(world) == Day(Decimal(0), {})


@pytest.mark.parametrize("mode", ["immediate", "async"])
@pytest.mark.parametrize(("most", "total"), [("3", "2"), ("1.5", None)])
def test_a_fallback_tool_is_held_for_instead_of_the_steps_own(mode: str, most: str, total: str | None) -> None:
    first = make_tool("first", mode, amount="1")
    world = World(first, make_tool("second", mode, amount="2", service="other"), daily_budget_usd=Decimal(most))

    def busy(request: Request) -> Any:
        raise ProviderUnavailable("No more at the moment (429)", nothing_started=True)

    world.adapter.on_execute = world.adapter.on_start = busy
    steps = [{"id": "n0", "toolIdentifier": "first", "fallbackTool": "second"}]
    started = world.cast_steps("spell", steps)
    world.execute(started)
    asked = [request.tool.tool_id for request in (*world.other.executed, *world.other.started)]
    generation = world.generation(started, 0)
    if total is not None:
        assert (asked, generation.reservation) == (["second"], Reservation(TODAY, Decimal(total)))
        assert day(world) == Day(Decimal(total), {generation.generation_id: Decimal(total)})
    else:
        assert asked == []
    ended = world.settle(started, STOPPED)
    code = ended.failure.code if ended.failure else None
    assert (code == "BUDGET_EXCEEDED") == (total is None)
    assert day(world) == Day(ended.cost_usd, {})


# --- late bills, refunds, a creator's share ---


def late(world: World, started: Cast, amount: str = "0.25") -> None:
    bill = results.failed(JobFailed("Too late."), cost_usd=Decimal(amount))
    world.complete_job(f"{started.cast_id}.0.1", bill)


@pytest.mark.parametrize("most", [None, "10"])
def test_a_late_bill_is_booked_once(most: str | None) -> None:
    world = a_world(most)
    started = cast(world, "polled")
    world.execute(started)
    world.settle(started, STOPPED)
    world.clock.advance(20 * 3600)
    for _ in range(3):
        late(world, started)
        world.settle(started)
    assert world.cast_of(started).cost_usd == Decimal("0.25")
    assert balances(rows(world)).spent_usd == Decimal("0.25")
    bill = rows(world)[0]
    assert (bill.scope, bill.at) == (f"{started.cast_id}.0.1", world.clock.now())
    if most is None:
        assert (len(rows(world)), bill.day) == (1, None)
    else:
        assert (len(rows(world)), bill.day) == (2, TODAY)
        assert day(world) == Day(Decimal("0.25"), {})
        assert day(world, TOMORROW) == Day()


def test_a_bill_that_comes_before_the_cast_is_closed_is_part_of_the_closing() -> None:
    world = a_world()
    started = cast(world, "dear", "polled")
    world.adapter.on_execute = lambda request: results.failed(JobFailed("No."))
    world.execute(started)
    late(world, started)
    ended = world.settle(started, STOPPED)
    late(world, started)
    assert (ended.cost_usd, day(world)) == (Decimal("0.25"), Day(Decimal("0.25"), {}))
    assert kinds(world) == [("reserve", "1"), ("release", "0.75"), ("settle", "0.25")]


def test_a_bill_that_comes_while_the_cast_is_closed_is_booked_once() -> None:
    world = a_world()
    started = cast(world, "dear", "polled")
    world.adapter.on_execute = lambda request: results.failed(JobFailed("No."))
    world.execute(started)
    # Between what the closing read and what it writes.
    world.store.meanwhile.append(lambda: late(world, started))
    ended = world.settle(started, STOPPED)
    world.settle(started, STOPPED)
    assert world.cast_of(ended).cost_usd == Decimal("0.25")
    assert (balances(rows(world)).spent_usd, day(world)) == (Decimal("0.25"), Day(Decimal("0.25"), {}))


def test_a_bill_that_comes_before_the_closing_is_booked_counts_once() -> None:
    chokepoint = Chokepoint()
    world = a_world(through=chokepoint)
    started = cast(world, "polled")
    world.execute(started)
    chokepoint.arm([])
    world.settle(started, STOPPED)
    booking = chokepoint.calls.index("FakeStore.get_day") + 1
    # The same again, killed there.
    chokepoint = Chokepoint()
    world = a_world(through=chokepoint)
    started = cast(world, "polled")
    world.execute(started)
    chokepoint.arm([(booking, "before")])
    with pytest.raises(Crash):
        world.settle(started, STOPPED)
    late(world, started)
    world.settle(started, STOPPED)
    assert world.cast_of(started).cost_usd == balances(rows(world)).spent_usd == Decimal("0.25")
    assert day(world) == Day(Decimal("0.25"), {})


def test_a_creator_is_credited_by_others_casts_and_nobody_is_charged_twice() -> None:
    policy = PricingPolicy(refund_failed=True, creator_share=Decimal("0.7"))
    world = a_world(None, pricing=policy)
    theirs = run_to_its_end(world, cast(world, "paid", by="bob"))
    run_to_its_end(world, cast(world, "paid"))
    assert theirs.creator_id == ACCOUNT
    mine, bobs = balances(rows(world)), balances(rows(world, "bob"))
    assert (bobs.points_spent, bobs.points_earned) == (theirs.points_spent, 0)
    assert (mine.points_spent, mine.points_earned) == (theirs.points_spent, int(theirs.points_spent * Decimal("0.7")))
    assert {entry["castId"] for row in rows(world, "bob") for entry in row.documents()} == {theirs.cast_id}


def test_points_of_a_failed_step_are_given_back() -> None:
    world = a_world(None, pricing=PricingPolicy(refund_failed=True))
    world.adapter.on_execute = lambda request: results.failed(JobFailed("No."), cost_usd=Decimal("0.02"))
    ended = run_to_its_end(world, cast(world, "paid"))
    found = balances(rows(world))
    assert found.points_spent == found.points_refunded == ended.points_spent > 0
    assert found.spent_usd == ended.cost_usd == Decimal("0.02")


# --- whoever dies ---

SPELLS = [("paid", "polled", "dear"), ("called", "dear"), ("dear", "dear", "free")]


class Killed:
    """One cast of an account with a daily budget under the given kills."""

    def __init__(self, tools: tuple[str, ...], kills: list[tuple[int, When]], bill: bool) -> None:
        self.chokepoint = Chokepoint()
        self.world = a_world(through=self.chokepoint, pricing=PricingPolicy(creator_share=Decimal("0.5")))
        provider = Provider(self.world)
        if bill:
            # What it costs is not what it was expected to.
            execute = self.world.adapter.on_execute
            self.world.adapter.on_execute = lambda request: replace(
                execute(request), cost_usd=None if request.tool.is_free else Decimal("0.1234567")
            )
        steps = [{"id": f"n{position}", "toolIdentifier": tool} for position, tool in enumerate(tools)]
        spell, _, _ = self.world.create_spell("bob", "spell", "public", {"steps": steps})
        self.chokepoint.arm(kills)
        functions = StepFunctions(self.world, provider)
        order = CastOrder(spell=spell.spell_id, fingerprint="f", idempotency_key="k")
        started, _ = functions.again(lambda: self.world.cast_spell(ACCOUNT, order))
        self.cast = functions.run(started.cast_id)
        self.calls = list(self.chokepoint.calls)
        self.check()

    def check(self) -> None:
        told = f"killed: {self.chokepoint.killed}"
        loaded = self.world.store.load_cast(self.cast.cast_id)
        assert loaded is not None
        stored, generations = loaded
        cost = money.total(item.cost_usd for item in generations)
        assert stored.is_terminal, told
        assert stored.cost_usd == cost, told
        # Nothing stays reserved, and day and ledger say what the cast says.
        assert day(self.world) == Day(cost, {}), told
        booked = rows(self.world)
        assert balances(booked).spent_usd == cost, told
        assert balances(booked).points_spent == stored.points_spent, told
        assert balances(rows(self.world, "bob")).points_earned == stored.points_spent // 2, told
        assert len(booked) <= 1, told


@pytest.mark.parametrize("bill", [False, True])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("tools", SPELLS)
def test_a_crash_at_any_call_leaves_nothing_reserved_and_books_once(
    tools: tuple[str, ...], when: When, bill: bool
) -> None:
    calls = Killed(tools, [], bill).calls
    assert {"FakeStore.reserve", "FakeStore.close", "FakeStore.put_row"} <= set(calls)
    assert ("FakeStore.settle" in calls) == bill
    for number in range(1, len(calls) + 1):
        Killed(tools, [(number, when)], bill)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_while_a_late_bill_is_booked_books_it_once(when: When) -> None:
    for number in range(1, 20):
        chokepoint = Chokepoint()
        world = a_world(through=chokepoint)
        started = cast(world, "polled")
        world.execute(started)
        world.settle(started, STOPPED)
        chokepoint.arm([(number, when)])
        for _ in range(2):
            try:
                late(world, started)
            except Crash:
                continue
        assert world.cast_of(started).cost_usd == Decimal("0.25"), chokepoint.killed
        assert balances(rows(world)).spent_usd == Decimal("0.25"), chokepoint.killed
        assert day(world) == Day(Decimal("0.25"), {}), chokepoint.killed
        if not chokepoint.killed:
            return
    raise AssertionError("there is always one more call")
