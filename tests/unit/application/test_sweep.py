"""What a sweep finds and what it does about it; killed between any two of its calls, and twice at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from spellcast.application.sweep import DELIVERY, SETTLING, SweepReport
from spellcast.domain import results
from spellcast.domain.casts import Cast, OpenCast
from spellcast.domain.errors import OutcomeUnknown, ProviderUnavailable
from spellcast.domain.generations import Generation
from spellcast.domain.results import ToolResult
from spellcast.ports.machine import Execution
from tests.fakes.adapters import lost
from tests.fakes.crash import Crash
from tests.fakes.crashes import Chokepoint, Provider, StepFunctions, When
from tests.fakes.world import ACCOUNT, World

CUT_OFF = Execution(False, "States.ServiceRestart", "", was_cut_off=True)
NOW = timedelta(0)
A_DAY = 86_400.0


def swept(world: World, older_than: timedelta = SETTLING) -> dict[str, int]:
    """What the sweep mended: the counts that are not zero, without how many it looked at and how late they were."""
    counts = world.sweep(is_time_left=lambda: True, older_than=older_than).counts()
    return {name: count for name, count in counts.items() if count and name not in ("checked", "overdue")}


def later(world: World, seconds: float = 180) -> None:
    world.clock.advance(seconds)


def never_started(world: World, *tools: str) -> Cast:
    """Its process died between the cast's row and its machine."""
    cast = world.cast(*tools)
    world.machine.casts.clear()
    return cast


def with_a_job(world: World, *tools: str) -> Cast:
    """Its last step's job has been submitted."""
    cast = world.cast(*tools)
    world.execute(cast)
    return cast


def ended(world: World, **changes: Any) -> Cast:
    """A completed cast whose caster is to be told."""
    cast = world.cast("free")
    world.execute(cast)
    world.process(cast)
    told = replace(world.settle(cast), webhook_url="https://caster.example/hook", **changes)
    saved = replace(told, revision=told.revision + 1)
    world.store.save_cast(saved, told)
    return saved


# What is nobody's business


@pytest.mark.parametrize("machine", ["runs", "was stopped", "never began"])
def test_a_cancelled_cast_of_which_nobody_heard_is_stopped_and_closed(machine: str) -> None:
    world = World()
    cast = with_a_job(world, "paid", "polled")
    world.cancel_cast(ACCOUNT, cast.cast_id)
    if machine == "was stopped":
        world.machine.stop_cast(cast)
    elif machine == "never began":
        world.machine.casts.clear()
    assert swept(world) == {}, "it is announced to somebody else first"
    later(world)
    assert swept(world) == {"settled": 1}
    closed = world.cast_of(cast)
    assert (closed.status, closed.cost_usd, world.generation(cast, 1).status) == (
        "cancelled",
        Decimal("0.01"),
        "cancelled",
    )
    assert (world.adapter.cancelled, swept(world)) == (["job-1"], {})


def test_a_cast_that_runs_in_its_time_is_left_alone() -> None:
    world = World()
    with_a_job(world, "called")
    later(world)
    writes = list(world.store.writes)
    report = world.sweep(is_time_left=lambda: True)
    assert report == SweepReport(checked=1)
    assert world.store.writes == writes


def test_a_cast_that_runs_in_its_time_is_not_read() -> None:
    chokepoint = Chokepoint()
    world = World(through=chokepoint)
    with_a_job(world, "called")
    later(world)
    chokepoint.arm([])
    world.sweep(is_time_left=lambda: True)
    assert chokepoint.calls == ["FakeStore.list_open_casts", "FakeMachine.list_running"]


def test_nothing_is_asked_of_the_machine_where_nothing_is_open() -> None:
    chokepoint = Chokepoint()
    world = World(through=chokepoint)
    chokepoint.arm([])
    assert world.sweep(is_time_left=lambda: True).checked == 0
    assert chokepoint.calls == ["FakeStore.list_open_casts"]


def test_a_young_cast_may_be_between_its_row_and_its_machine() -> None:
    world = World()
    never_started(world, "free")
    later(world, SETTLING.total_seconds())
    assert swept(world) == {}
    later(world, 1)
    assert swept(world) == {"started": 1}


# What runs past its deadline


def overdue(world: World, *tools: str) -> Cast:
    cast = with_a_job(world, *tools)
    world.clock.moment = cast.deadline_at
    return cast


@pytest.mark.parametrize("tool", ["polled", "called"])
def test_a_cast_past_its_deadline_fails_its_job_is_cancelled_and_its_machine_stopped(tool: str) -> None:
    world = World()
    cast = overdue(world, tool, "free")
    assert swept(world) == {"settled": 1}
    found = world.cast_of(cast)
    assert found.failure is not None
    assert (found.status, found.failure.code, found.failure.step_index) == ("failed", "TIMED_OUT", 0)
    assert (world.adapter.polled, world.adapter.cancelled) == (["job-1"] * 2, ["job-1"])
    assert world.machine.ended[cast.execution_name].code == "ABORTED"
    assert swept(world) == {}


def test_a_second_before_its_deadline_it_goes_on() -> None:
    world = World()
    overdue(world, "called")
    later(world, -1)
    assert swept(world) == {}


@pytest.mark.parametrize(("seconds", "expected"), [(-1, 0), (0, 1)])
def test_those_past_their_deadline_are_counted_whether_or_not_there_is_time(seconds: float, expected: int) -> None:
    world = World()
    overdue(world, "called")
    later(world, seconds)
    assert world.sweep(is_time_left=lambda: False).overdue == expected
    assert world.sweep(is_time_left=lambda: True).overdue == expected
    assert world.sweep(is_time_left=lambda: True).overdue == 0


def test_a_job_that_was_done_all_the_while_counts() -> None:
    world = World()
    cast = overdue(world, "called")
    world.adapter.on_poll = lambda run_id: results.succeeded("text", {"text": "done"}, cost_usd=Decimal("0.03"))
    assert swept(world) == {"settled": 1}
    found = world.cast_of(cast)
    assert (found.status, found.cost_usd, world.adapter.cancelled) == ("completed", Decimal("0.03"), [])


def test_a_job_of_which_nobody_heard_is_unknown() -> None:
    world = World()
    world.adapter.on_start = lambda request: _raise(OutcomeUnknown("The answer was lost."))
    cast = overdue(world, "called")
    assert swept(world) == {"settled": 1}
    failure = world.cast_of(cast).failure
    assert failure is not None
    assert (failure.code, world.adapter.cancelled) == ("OUTCOME_UNKNOWN", [])


def test_a_job_whose_id_was_chosen_here_is_looked_up_and_cancelled_by_it() -> None:
    world = World()
    world.adapter.derives_run_ids = True
    world.adapter.on_start = lambda request: _raise(Crash())
    cast = world.cast("called")
    with pytest.raises(Crash):
        world.execute(cast)
    world.clock.moment = cast.deadline_at
    assert swept(world) == {"settled": 1}
    derived = f"derived-{cast.cast_id}.0.1"
    assert (world.adapter.polled, world.adapter.cancelled) == ([derived] * 2, [derived])


@pytest.mark.parametrize("on_poll", [lost, lambda run_id: _raise(ProviderUnavailable("down"))])
def test_a_provider_that_knows_nothing_does_not_keep_the_cast_open(on_poll: Callable[[str], ToolResult]) -> None:
    world = World()
    cast = overdue(world, "polled")
    world.adapter.on_poll = on_poll
    assert swept(world) == {"settled": 1}
    assert world.cast_of(cast).status == "failed"


def _raise(error: BaseException) -> Any:
    raise error


def test_a_provider_that_nobody_configures_any_more_does_not_keep_the_cast_open() -> None:
    world = World()
    cast = overdue(world, "polled")
    world.adapters.forget()
    assert swept(world) == {"settled": 1}
    assert world.cast_of(cast).status == "failed"


def test_a_step_in_place_that_was_reserved_fails_with_its_cast() -> None:
    world = World()
    cast = world.cast("paid")
    world.adapter.on_execute = lambda request: _raise(Crash())
    with pytest.raises(Crash):
        world.execute(cast)
    world.clock.moment = cast.deadline_at
    assert swept(world) == {"settled": 1}
    failure = world.generation(cast, 0).failure
    assert failure is not None
    assert (world.cast_of(cast).status, failure.code) == ("failed", "TIMED_OUT")


# What has lost its machine


def test_a_cast_whose_machine_was_never_started_is_started() -> None:
    world = World()
    cast = never_started(world, "free", "called", "free")
    later(world)
    assert swept(world) == {"started": 1}
    assert [(segment.first, segment.last, segment.attempt) for segment in world.segments(cast)] == [
        (0, 1, 1),
        (2, 2, 1),
    ]
    assert world.cast_of(cast) == cast
    assert swept(world) == {}


ENDS = [
    (Execution(False, "States.Runtime", "bad state"), "INTERNAL_ERROR"),
    (Execution(False, "TIMED_OUT"), "TIMED_OUT"),
    (Execution(False, "ABORTED"), "CAST_INTERRUPTED"),
    (Execution(False, "CastFailed"), "INTERNAL_ERROR"),
    (Execution(False), "CAST_INTERRUPTED"),
]


@pytest.mark.parametrize(("execution", "code"), ENDS, ids=lambda value: getattr(value, "code", value))
def test_a_cast_whose_machine_has_ended_is_settled_as_by_the_rule_on_its_end(execution: Execution, code: str) -> None:
    world = World()
    cast = with_a_job(world, "called")
    world.machine.ended[cast.execution_name] = execution
    later(world)
    assert swept(world) == {"settled": 1}
    found = world.cast_of(cast)
    assert found.failure is not None
    assert (found.status, found.failure.code) == ("failed", code)


def test_a_cast_whose_steps_are_done_is_completed_however_its_machine_ended() -> None:
    world = World()
    cast = world.cast("free")
    world.execute(cast)
    world.process(cast)
    world.machine.ended[cast.execution_name] = Execution(False, "ABORTED")
    later(world)
    assert swept(world) == {"settled": 1}
    assert world.cast_of(cast).status == "completed"


def test_only_the_current_execution_is_looked_for() -> None:
    world = World()
    cast = world.cast("called")
    world.machine.ended[cast.execution_name] = Execution(False, "ABORTED")
    restarted = cast.restarted(now=world.clock.now())
    world.store.save_cast(restarted, cast)
    world.machine.start_cast(restarted, world.segments(cast))
    later(world)
    assert swept(world) == {}


def test_an_execution_that_began_after_the_listing_is_left_alone() -> None:
    world = World()
    world.cast("called")
    later(world)
    world.sweep = replace(world.sweep, machine=_Blind(world.machine))
    assert swept(world) == {}


class _Blind:
    """The list lags behind."""

    def __init__(self, machine: Any) -> None:
        self._machine = machine

    def list_running(self) -> frozenset[str]:
        return frozenset()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._machine, name)


def test_a_cast_that_another_execution_takes_over_meanwhile_is_not_settled() -> None:
    world = World()
    cast = world.cast("called")
    world.machine.ended[cast.execution_name] = Execution(False, "ABORTED")
    later(world)
    world.store.meanwhile.append(lambda: world.restart_cast(cast.cast_id, cut_off=1))
    swept(world)
    assert (world.cast_of(cast).status, world.cast_of(cast).execution) == ("running", 2)


def test_what_has_ended_since_it_was_listed_is_done_with() -> None:
    world = World()
    cast = world.cast("called")
    stale = [OpenCast.of(cast), OpenCast("no such cast", 1, cast.deadline_at)]
    closed = world.settle(cast)
    world.machine.ended[cast.execution_name] = Execution(False, "ABORTED")
    later(world)
    world.store.list_open_casts = lambda before: iter(stale)  # type: ignore[method-assign]
    assert swept(world) == {}
    assert (world.cast_of(cast), world.queue.bodies) == (closed, [])


def test_a_cast_may_be_cut_off_more_than_once() -> None:
    world = World()
    cast = with_a_job(world, "called")
    for execution in (2, 3, 4):
        world.machine.ended[world.cast_of(cast).execution_name] = CUT_OFF
        later(world)
        assert swept(world) == {"restarted": 1}
        assert world.cast_of(cast).execution == execution


def test_a_cast_that_was_cut_off_goes_on_where_it_was_with_the_same_attempts() -> None:
    world = World()
    cast = with_a_job(world, "free", "called", "free")
    world.machine.ended[cast.execution_name] = CUT_OFF
    assert swept(world, NOW) == {}, "it is not older than now"
    later(world, 1)
    assert swept(world, NOW) == {"restarted": 1}
    restarted = world.cast_of(cast)
    assert (restarted.execution, restarted.execution_name) == (2, f"{cast.cast_id}-2")
    assert [(segment.first, segment.last, segment.attempt) for segment in world.segments(restarted)] == [
        (1, 1, 1),
        (2, 2, 1),
    ]
    world.execute(restarted, token="of the second execution")
    assert world.generation(cast, 1).task_token == "of the second execution"
    assert len(world.adapter.started) == 1
    # Its callback may have come while nobody was there.
    assert world.machine.polling == [f"{cast.cast_id}.1.1"]


def test_polling_that_was_cut_off_too_begins_again() -> None:
    world = World()
    cast = with_a_job(world, "polled")
    world.machine.polling.clear()
    world.machine.ended[cast.execution_name] = CUT_OFF
    later(world)
    assert swept(world) == {"restarted": 1}
    world.execute(world.cast_of(cast), token="of the second execution")
    assert world.machine.polling == [f"{cast.cast_id}.0.1"]


def test_a_cast_that_was_cut_off_after_its_last_step_is_completed() -> None:
    world = World()
    cast = world.cast("free")
    world.execute(cast)
    world.process(cast)
    world.machine.ended[cast.execution_name] = CUT_OFF
    later(world)
    assert swept(world) == {"restarted": 1}
    assert world.cast_of(cast).status == "completed"
    assert list(world.machine.casts) == [cast.execution_name]


# Webhooks


def test_a_webhook_of_which_nothing_was_heard_is_queued_once_more_and_once_only() -> None:
    world = World()
    cast = ended(world)
    later(world, DELIVERY.total_seconds() - 1)
    assert swept(world) == {}
    later(world, 1)
    assert swept(world) == {"redelivered": 1}
    assert [body["detail"] for body in world.queue.bodies] == [{"castId": cast.cast_id}]
    found = world.cast_of(cast)
    assert found.delivery is not None
    assert (found.delivery.status, found.delivery.attempts, found.owes_webhook) == ("failed", 0, True)
    later(world, A_DAY)
    assert swept(world) == {}


def test_a_delivery_that_is_recorded_meanwhile_stands() -> None:
    world = World()
    cast = ended(world)
    later(world, A_DAY)
    sent = cast.delivery_ended(attempts=1, error=None, now=world.clock.now())
    world.store.meanwhile.append(lambda: world.store.save_cast(sent, cast))
    assert swept(world) == {}
    assert world.cast_of(cast) == sent


@pytest.mark.parametrize("status", ["sent", "failed"])
def test_a_webhook_that_was_sent_or_given_up_is_done_with(status: str) -> None:
    world = World()
    cast = ended(world)
    error = None if status == "sent" else "HTTP 500"
    world.store.save_cast(cast.delivery_ended(attempts=3, error=error, now=world.clock.now()), cast)
    later(world, A_DAY)
    assert world.sweep(is_time_left=lambda: True).checked == 0


def test_a_cast_that_ended_without_a_webhook_is_done_with() -> None:
    world = World()
    cast = world.cast("free")
    world.execute(cast)
    world.process(cast)
    world.settle(cast)
    later(world, A_DAY)
    assert world.sweep(is_time_left=lambda: True).checked == 0


# What cannot be mended


def test_what_cannot_be_mended_is_reported_and_holds_up_nobody() -> None:
    world = World()
    broken, whole = never_started(world, "free"), world.cast("polled")
    world.machine.casts.clear()
    world.store.forget_version(broken.spell_id, 1)
    later(world)
    report = world.sweep(is_time_left=lambda: True)
    assert report.counts() == {
        "checked": 2,
        "overdue": 0,
        "started": 1,
        "restarted": 0,
        "settled": 0,
        "redelivered": 0,
        "left": 1,
    }
    assert report.failures == [(broken.cast_id, "SPELL_NOT_FOUND")]
    # It cannot be started; by its deadline it is closed all the same.
    world.machine.ended[whole.execution_name] = Execution(False, "ABORTED")
    world.clock.moment = broken.deadline_at
    swept(world)
    assert world.cast_of(broken).status == "failed"


def test_a_fault_of_this_code_is_reported_by_its_name() -> None:
    world = World()
    cast = never_started(world, "free")
    world.machine.start_cast = lambda *_: _raise(RuntimeError("secret"))  # type: ignore[method-assign]
    later(world)
    assert world.sweep(is_time_left=lambda: True).failures == [(cast.cast_id, "RuntimeError")]


def test_without_time_nothing_is_begun_and_the_rest_is_counted() -> None:
    world = World()
    for _ in range(3):
        world.cast("free", "polled")
    world.machine.casts.clear()
    later(world)
    time_left = iter([True, False])
    report = world.sweep(is_time_left=lambda: next(time_left))
    assert (report.checked, report.mended["started"], report.left) == (3, 1, 2)
    assert swept(world) == {"started": 2}


def test_the_order_is_shuffled_so_that_the_same_casts_are_not_always_the_last() -> None:
    world = World()
    for _ in range(3):
        world.cast("free", "polled")
    casts = list(world.machine.casts)
    world.machine.casts.clear()
    later(world)
    world.sweep = replace(world.sweep, shuffle=lambda due: due.reverse())
    swept(world)
    assert list(world.machine.casts) == casts[::-1]


# Killed between any two calls; twice at once


@dataclass
class Scene:
    """Something that a sweep mends, and what must be true afterwards."""

    prepare: Callable[[World], Cast]
    is_mended: Callable[[World, Cast], bool]


def _overdue(world: World) -> Cast:
    return overdue(world, "free", "called")


def _stopped(world: World) -> Cast:
    cast = with_a_job(world, "called")
    world.machine.ended[cast.execution_name] = Execution(False, "ABORTED")
    later(world)
    return cast


def _cut_off(world: World) -> Cast:
    cast = with_a_job(world, "free", "polled")
    world.machine.ended[cast.execution_name] = CUT_OFF
    later(world)
    return cast


def _never_started(world: World) -> Cast:
    cast = never_started(world, "free", "called")
    later(world)
    return cast


def _untold(world: World) -> Cast:
    cast = ended(world)
    later(world, A_DAY)
    return cast


def _is_failed_once(world: World, cast: Cast) -> bool:
    ends = [item for item in world.store.writes if isinstance(item, Cast) and item.is_terminal]
    steps = [item for item in world.store.writes if isinstance(item, Generation) and item.status == "failed"]
    return len(ends) == len(steps) == 1 and world.cast_of(cast).status == "failed"


def _runs(world: World, cast: Cast) -> bool:
    """By an execution that is started under the name that the record says, with the rest of the steps."""
    found = world.cast_of(cast)
    return found.status == "running" and found.execution_name in world.machine.list_running()


SCENES = {
    "overdue": Scene(_overdue, _is_failed_once),
    "stopped": Scene(_stopped, _is_failed_once),
    "cut off": Scene(_cut_off, _runs),
    "never started": Scene(_never_started, _runs),
    "untold": Scene(_untold, lambda world, cast: bool(world.queue.bodies) and world.cast_of(cast).delivery is not None),
}


def scenes(name: str) -> tuple[World, Chokepoint, Cast]:
    chokepoint = Chokepoint()
    world = World(through=chokepoint)
    cast = SCENES[name].prepare(world)
    chokepoint.arm([])
    return world, chokepoint, cast


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", SCENES)
def test_a_sweep_that_dies_anywhere_is_followed_by_one_that_mends(name: str, when: When) -> None:
    world, chokepoint, cast = scenes(name)
    swept(world)
    assert SCENES[name].is_mended(world, cast)
    calls = list(chokepoint.calls)
    assert len(calls) > 3
    for number in range(1, len(calls) + 1):
        world, chokepoint, cast = scenes(name)
        chokepoint.arm([(number, when)])
        with pytest.raises(Crash):
            swept(world)
        chokepoint.arm([])
        swept(world)
        assert SCENES[name].is_mended(world, cast), (number, calls[number - 1])
        assert len(world.queue.bodies) <= 2
        assert len(world.adapter.started) <= 1
        assert world.cast_of(cast).execution <= 2
        assert swept(world) == {}


@pytest.mark.parametrize("name", SCENES)
def test_two_sweeps_at_once_are_harmless(name: str) -> None:
    writes = len(scenes_writes(name))
    for number in range(writes):
        world, _, cast = scenes(name)
        world.store.meanwhile.extend([*[_nothing] * number, partial(swept, world)])
        swept(world)
        assert SCENES[name].is_mended(world, cast)
        assert world.cast_of(cast).execution <= 2
        assert swept(world) == {}


def _nothing() -> None:
    """Nobody comes in between here."""


def scenes_writes(name: str) -> list[Any]:
    """The writes of an undisturbed sweep; at least one place for another to come in."""
    world, _, _ = scenes(name)
    before = len(world.store.writes)
    swept(world)
    return world.store.writes[before:] or [None]


# The whole cloud is cut off, at any call of a cast, and brought up again


SPELLS = [("free", "polled", "called"), ("paid", "called", "free"), ("called", "polled"), ("paid", "paid", "free")]


class _Unguarded(StepFunctions):
    """Nobody repeats anything: who would have is gone, too."""

    def again(self, call: Callable[[], Any]) -> Any:
        return call()


def cut_off(tools: tuple[str, ...], number: int, when: When, *, forgets: bool) -> tuple[World, Provider, Cast | None]:
    """The cast at its end, after the cloud was cut off at a call; `forgets` its executions, too."""
    chokepoint = Chokepoint()
    world = World(through=chokepoint)
    provider = Provider(world)
    chokepoint.arm([(number, when)])
    cast: Cast | None = None
    try:
        cast = world.cast(*tools)
        _Unguarded(world, provider).run(cast.cast_id)
    except Crash:
        pass
    chokepoint.arm([])
    written = [item for item in world.store.writes if isinstance(item, Cast)]
    if not written:
        return world, provider, None
    cast = written[0]
    world.machine.ended.update(dict.fromkeys(world.machine.casts, CUT_OFF))
    world.machine.polling.clear()
    if forgets:
        world.machine.casts.clear()
        world.machine.forget_polling()
    later(world, 1)
    swept(world, NOW)
    found = world.cast_of(cast)
    if not found.is_terminal:
        StepFunctions(world, provider, "after").run(cast.cast_id, found.execution_name)
    return world, provider, world.cast_of(cast)


@pytest.mark.parametrize("forgets", [False, True])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("tools", SPELLS, ids=", ".join)
def test_a_cast_that_was_cut_off_anywhere_ends_once_and_asks_nobody_twice(
    tools: tuple[str, ...], when: When, forgets: bool
) -> None:
    completed = 0
    for number in moments(tools):
        world, provider, cast = cut_off(tools, number, when, forgets=forgets)
        if cast is None:
            continue
        assert cast.is_terminal
        ends = [item for item in world.store.writes if isinstance(item, Cast) and item.is_terminal]
        assert len(ends) == 1, number
        asked = [item for item in provider.asked if tools[int(item.split(".")[1])] != "free"]
        assert len(asked) == len(set(asked)), number
        loaded = world.store.load_cast(cast.cast_id)
        assert loaded is not None
        assert {generation.attempt for generation in loaded[1]} == {1}
        assert cast.cost_usd == sum((generation.cost_usd for generation in loaded[1]), Decimal(0))
        if cast.failure is not None:
            assert cast.failure.code in {"OUTCOME_UNKNOWN", "JOB_LOST"}, (number, cast.failure)
        completed += cast.status == "completed"
    assert completed > 10


def moments(tools: tuple[str, ...]) -> Iterator[int]:
    """Every call of an undisturbed run."""
    chokepoint = Chokepoint()
    world = World(through=chokepoint)
    chokepoint.arm([])
    _Unguarded(world, Provider(world)).run(world.cast(*tools).cast_id)
    return iter(range(1, len(chokepoint.calls) + 1))
