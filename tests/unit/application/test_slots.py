"""Limits of a provider: whoever finds no place waits without having reserved anything, and nothing leaks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from spellcast.application.cast_spell import CastOrder
from spellcast.application.finalize_cost import interruption_of
from spellcast.domain.casts import Cast
from spellcast.domain.errors import ProviderRefused, WriteConflict
from spellcast.domain.limits import Leases, Limits
from spellcast.domain.results import Failure, Job, ToolResult
from spellcast.domain.segments import Segment
from spellcast.ports.adapter import Request
from tests.fakes.crashes import Provider, StepFunctions
from tests.fakes.records import text_result
from tests.fakes.world import ACCOUNT, World

JOBS = ["polled", "called"]


@pytest.fixture
def world() -> World:
    return World()


def held(world: World, scope: str = "fake#jobs") -> set[str]:
    return {holder for holder, expiry in world.store.get_leases(scope).held.items() if expiry > world.clock.now()}


def cast_for(world: World, account: str, tool: str) -> Cast:
    """A cast of somebody's, of one step."""
    steps = [{"id": "n0", "toolIdentifier": tool}]
    spell, _, _ = world.create_spell(account, f"of {account}", "private", {"steps": steps})
    return world.cast_spell(account, CastOrder(spell=spell.spell_id, fingerprint="f"))[0]


def refused(world: World, token: str) -> Failure:
    answer = world.machine.answers[token]
    assert isinstance(answer, Failure)
    return answer


@pytest.mark.parametrize("tool", JOBS)
def test_a_job_without_a_place_is_neither_reserved_nor_asked_for(world: World, tool: str) -> None:
    world.adapters.configured = Limits(jobs=1)
    first, second = world.cast(tool), world.cast(tool)
    world.execute(first, token="t1")
    written = len(world.store.writes)
    world.execute(second, token="t2")
    told = "fake may have 1 job in flight at once; the step waits for its turn."
    assert refused(world, "t2") == Failure("NO_FREE_SLOT", told, retryable=True)
    assert (len(world.store.writes), len(world.adapter.started)) == (written, 1)
    assert world.store.get_generation(f"{second.cast_id}.0.1") is None
    # The machine executes the step again, with a token of its own.
    world.complete_job(f"{first.cast_id}.0.1", text_result())
    world.execute(second, token="t3")
    assert len(world.adapter.started) == 2
    assert world.generation(second, 0).task_token == "t3"
    assert held(world) == {f"{second.cast_id}.0.1"}


def ended_by_a_callback(world: World, cast: Cast) -> None:
    world.complete_job(f"{cast.cast_id}.0.1", text_result())


def ended_by_the_provider(world: World, cast: Cast) -> None:
    world.complete_job(f"{cast.cast_id}.0.1", ToolResult("failed", failure=Failure("JOB_FAILED", "No.")))


def ended_with_its_cast(world: World, cast: Cast) -> None:
    world.settle(cast, Failure("CAST_INTERRUPTED", "Stopped."))


def given_up_at_its_deadline(world: World, cast: Cast) -> None:
    world.clock.advance(15 * 60)
    world.execute(cast, token="late")


def twice(world: World, cast: Cast) -> None:
    ended_by_a_callback(world, cast)
    ended_by_a_callback(world, cast)
    world.process(cast)
    world.settle(cast)


@pytest.mark.parametrize(
    "end", [ended_by_a_callback, ended_by_the_provider, ended_with_its_cast, given_up_at_its_deadline, twice]
)
@pytest.mark.parametrize("tool", JOBS)
def test_a_place_is_given_back_however_the_job_ends(
    world: World, tool: str, end: Callable[[World, Cast], None]
) -> None:
    world.adapters.configured = Limits(jobs=2, account_jobs=2)
    cast, other = world.cast(tool), world.cast(tool)
    world.execute(cast, token="t1")
    world.execute(other, token="t2")
    end(world, cast)
    assert {holder for scope in world.store.leases.values() for holder in scope.held} == {f"{other.cast_id}.0.1"}


def test_a_job_that_the_provider_refused_has_no_place(world: World) -> None:
    world.adapters.configured = Limits(jobs=1)

    def refuse(request: Request) -> Job:
        raise ProviderRefused("No.")

    world.adapter.on_start = refuse
    world.execute(world.cast("called"))
    assert held(world) == set()


def test_a_job_that_was_never_asked_for_has_no_place(world: World) -> None:
    world.adapters.configured = Limits(jobs=1)
    cast = world.cast("called")
    world.adapters.forget()
    world.execute(cast)
    assert refused(world, "token").code == "PROVIDER_NOT_CONFIGURED"
    assert world.store.leases["fake#jobs"].revision == 2
    assert held(world) == set()


def test_a_second_invocation_gives_back_what_the_completion_could_not(world: World) -> None:
    world.adapters.configured = Limits(jobs=1)
    cast = world.cast("polled")
    world.execute(cast, token="t1")
    leases = world.store.leases["fake#jobs"]
    world.complete_job(f"{cast.cast_id}.0.1", text_result())
    world.store.leases["fake#jobs"] = leases
    world.execute(cast, token="t2")
    assert held(world) == set()


@pytest.mark.parametrize("tool", JOBS)
def test_an_account_has_a_limit_of_its_own(world: World, tool: str) -> None:
    world.adapters.configured = Limits(jobs=3, account_jobs=1)
    alices, alices_second, bobs = (cast_for(world, account, tool) for account in (ACCOUNT, ACCOUNT, "bob"))
    for token, cast in (("t1", alices), ("t2", alices_second), ("t3", bobs)):
        world.execute(cast, token=token)
    assert refused(world, "t2").code == "NO_FREE_SLOT"
    assert held(world) == {f"{alices.cast_id}.0.1", f"{bobs.cast_id}.0.1"}
    assert held(world, "fake#jobs#alice") == {f"{alices.cast_id}.0.1"}
    assert held(world, "fake#jobs#bob") == {f"{bobs.cast_id}.0.1"}


def test_an_immediate_step_holds_its_place_while_it_is_asked(world: World) -> None:
    world.adapters.configured = Limits(requests=1)
    first, second = world.cast("paid"), world.cast("paid")
    seen: list[set[str]] = []

    def execute(request: Request) -> ToolResult:
        seen.append(held(world, "fake#requests"))
        if len(seen) == 1:
            world.execute(second, token="t2")
        return text_result()

    world.adapter.on_execute = execute
    world.execute(first, token="t1")
    assert refused(world, "t2").code == "NO_FREE_SLOT"
    assert seen == [{f"{first.cast_id}.0.1"}]
    assert held(world, "fake#requests") == set()
    world.execute(second, token="t3")
    assert seen[1:] == [{f"{second.cast_id}.0.1"}]


def test_an_immediate_step_that_waits_repeats_nothing_of_its_segment(world: World) -> None:
    world.adapters.configured = Limits(requests=1)
    cast = world.cast("paid", "paid")
    taken = Leases("fake#requests", 1, {"somebody": world.clock.now() + timedelta(seconds=5)})

    def execute(request: Request) -> ToolResult:
        world.store.leases["fake#requests"] = taken
        return text_result()

    world.adapter.on_execute = execute
    world.execute(cast, token="t1")
    assert refused(world, "t1").code == "NO_FREE_SLOT"
    world.clock.advance(5)
    world.execute(cast, token="t2")
    assert [request.generation_id for request in world.adapter.executed] == [f"{cast.cast_id}.{n}.1" for n in (0, 1)]


def test_without_limits_nothing_is_read_or_written(world: World) -> None:
    world.store.get_leases = world.store.save_leases = None  # type: ignore[assignment, method-assign]
    cast = world.cast("paid", "polled")
    world.execute(cast)
    world.complete_job(f"{cast.cast_id}.1.1", text_result())
    assert world.process(cast).status == "running"


@pytest.mark.parametrize("tool", ["paid", *JOBS])
def test_a_step_waits_for_four_minutes_and_then_fails_with_its_reason(world: World, tool: str) -> None:
    world.adapters.configured = Limits(jobs=1, requests=1)
    forever = {"somebody": world.clock.now() + timedelta(hours=1)}
    world.store.leases |= {scope: Leases(scope, 1, forever) for scope in ("fake#jobs", "fake#requests")}
    cast = world.cast(tool)
    ended = StepFunctions(world, Provider(world)).run(cast.cast_id)
    assert ended.failure is not None
    assert (ended.failure.code, ended.failure.step_index) == ("LIMIT_REACHED", 0)
    assert "the step's turn did not come" in ended.failure.message
    failure = world.generation(cast, 0).failure
    assert failure is not None and failure.retryable
    assert timedelta(minutes=4) <= world.clock.now() - cast.started_at < timedelta(minutes=5)
    assert world.adapter.started == world.adapter.executed == []
    assert ended.failed_at is not None and ended.failed_at < cast.deadline_at


def test_a_later_step_waits_as_long_as_the_steps_before_it_did_not_need(world: World) -> None:
    world.adapters.configured = Limits(jobs=1)
    cast = world.cast("called", "polled")
    world.execute(cast, 0, "t1")
    world.complete_job(f"{cast.cast_id}.0.1", text_result())
    world.process(cast)
    world.store.leases["fake#jobs"] = Leases("fake#jobs", 9, {"somebody": world.clock.now() + timedelta(hours=1)})
    world.clock.advance((15 + 4) * 60 - 1)
    world.execute(cast, 1, "t2")
    assert refused(world, "t2").code == "NO_FREE_SLOT"
    world.clock.advance(1)
    world.execute(cast, 1, "t3")
    assert refused(world, "t3").code == "LIMIT_REACHED"


@pytest.mark.parametrize("code", ["NO_FREE_SLOT", "LIMIT_REACHED"])
def test_the_machine_brings_the_reason_back(code: str) -> None:
    assert interruption_of(code, "Why.") == Failure(code, "Why.", retryable=True)


def test_a_cast_that_waits_is_completed(world: World) -> None:
    world.adapters.configured = Limits(jobs=1)
    world.store.leases["fake#jobs"] = Leases("fake#jobs", 1, {"somebody": world.clock.now() + timedelta(minutes=2)})
    cast = world.cast("polled", "called")
    assert StepFunctions(world, Provider(world)).run(cast.cast_id).status == "completed"


def test_many_casts_share_a_place_and_never_have_more(world: World) -> None:
    world.adapters.configured = Limits(jobs=2)
    casts = [world.cast("called") for _ in range(6)]
    done: set[str] = set()
    for number in range(30):
        for cast in casts:
            if world.store.get_generation(f"{cast.cast_id}.0.1") is None:
                world.execute(cast, token=f"{cast.cast_id} {number}")
        running = held(world)
        assert 0 < len(running) <= 2 or len(done) == 6
        for generation_id in sorted(running)[:1]:
            world.complete_job(generation_id, text_result())
            done.add(generation_id)
    assert len(done) == len(world.adapter.started) == 6


def test_a_place_that_others_always_take_first_is_waited_for(world: World) -> None:
    world.adapters.configured = Limits(jobs=5)
    tries = []

    def taken_first(leases: Leases) -> None:
        tries.append(leases)
        raise WriteConflict(leases.scope)

    world.store.save_leases = taken_first  # type: ignore[method-assign]
    world.execute(world.cast("called"))
    assert refused(world, "token").code == "NO_FREE_SLOT"
    assert len(tries) == 10


def test_a_place_that_cannot_be_given_back_holds_up_no_answer(world: World) -> None:
    world.adapters.configured = Limits(jobs=1)
    cast = world.cast("called")
    world.execute(cast)

    def broken(leases: Leases) -> None:
        raise WriteConflict(leases.scope)

    world.store.save_leases = broken  # type: ignore[method-assign]
    world.complete_job(f"{cast.cast_id}.0.1", text_result())
    assert world.machine.answers["token"] == f"{cast.cast_id}.0.1"
    assert held(world) == {f"{cast.cast_id}.0.1"}
    world.clock.advance(17 * 60)
    assert held(world) == set()


def test_an_earlier_attempt_at_the_step_gives_a_later_one_no_time(world: World) -> None:
    world.adapters.configured = Limits(jobs=1)
    cast = world.cast("called")
    world.execute(cast, token="t1")
    world.complete_job(f"{cast.cast_id}.0.1", ToolResult("failed", failure=Failure("JOB_FAILED", "No.")))
    world.store.leases["fake#jobs"] = Leases("fake#jobs", 9, {"somebody": world.clock.now() + timedelta(hours=1)})
    world.clock.advance(4 * 60)
    world.execute_step(cast.cast_id, Segment(0, 0, 2, 915), "t2", cast.execution_name)
    assert refused(world, "t2").code == "LIMIT_REACHED"
