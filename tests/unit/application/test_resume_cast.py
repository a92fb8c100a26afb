"""A cast goes on where it ended: finished steps are kept, and no attempt is asked for twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from spellcast.application.cast_spell import CastOrder
from spellcast.application.resume_cast import MOST_ATTEMPTS, ResumeOrder
from spellcast.application.send_webhook import signed_request
from spellcast.domain import results
from spellcast.domain.casts import Cast, Delivery
from spellcast.domain.errors import (
    CastEnded,
    CastNotFound,
    CastRunning,
    IdempotencyKeyReused,
    InvalidInput,
    JobFailed,
    SpellcastError,
    SpellNotFound,
)
from spellcast.domain.generations import Generation
from spellcast.domain.limits import Limits
from spellcast.domain.results import Failure, ToolResult
from spellcast.domain.segments import WAITING_SECONDS
from tests.fakes.crash import Crash
from tests.fakes.crashes import Chokepoint, When
from tests.fakes.records import text_result
from tests.fakes.world import ACCOUNT, World

ORDER = ResumeOrder(fingerprint="f")
KEYED = ResumeOrder(fingerprint="f", idempotency_key="k")
REFUSED = results.failed(JobFailed("No."), cost_usd=Decimal("0.005"))


@pytest.fixture
def world() -> World:
    return World()


def run(world: World, cast: Cast, **results_by_step: ToolResult) -> Cast:
    """The cast's current execution, to its end; a job has the result `step_<n>`, or succeeds."""
    cast = world.cast_of(cast)
    for number, segment in enumerate(world.segments(cast)):
        world.execute(cast, number, token=f"{cast.execution_name}/{number}")
        generation = world.generation(cast, segment.last, segment.attempt)
        if generation.result is None and not generation.is_terminal:
            world.complete_job(
                generation.generation_id, results_by_step.get(f"step_{segment.last}", text_result(f"s{segment.last}"))
            )
        if world.process(cast, number).is_terminal:
            return world.cast_of(cast)
    return world.settle(cast)


def failed(world: World, *tools: str, at: int) -> Cast:
    """A cast whose job at this position has failed."""
    cast = world.cast(*tools)
    assert run(world, cast, **{f"step_{at}": REFUSED}).status == "failed"
    return world.cast_of(cast)


def resume(world: World, cast: Cast, order: ResumeOrder = ORDER) -> Cast:
    return world.resume_cast(ACCOUNT, cast.cast_id, order)


def asked(world: World) -> Counter[str]:
    return Counter(request.generation_id for request in (*world.adapter.executed, *world.adapter.started))


# --- when ---


def ended(world: World, how: str) -> Cast:
    cast = world.cast("polled")
    match how:
        case "completed":
            run(world, cast)
        case "failed":
            run(world, cast, step_0=REFUSED)
        case "cancelling" | "cancelled":
            world.execute(cast)
            world.cancel_cast(ACCOUNT, cast.cast_id)
            if how == "cancelled":
                world.settle(cast)
    return world.cast_of(cast)


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("running", CastRunning),
        ("cancelling", CastRunning),
        ("completed", CastEnded),
        ("failed", None),
        ("cancelled", None),
    ],
)
def test_what_has_failed_or_was_cancelled_can_be_resumed(
    world: World, how: str, error: type[SpellcastError] | None
) -> None:
    before = ended(world, how)
    if error is None:
        assert resume(world, before).status == "running"
    else:
        with pytest.raises(error):
            resume(world, before)
        assert world.cast_of(before) == before


@pytest.mark.parametrize("account", ["mallory", ACCOUNT])
def test_what_is_not_ones_own_or_does_not_exist_is_not_found(world: World, account: str) -> None:
    cast = ended(world, "failed")
    with pytest.raises(CastNotFound):
        world.resume_cast(account, cast.cast_id if account != ACCOUNT else "nobody", ORDER)


# --- what is kept, and what is run ---


def test_finished_steps_are_kept_and_the_rest_is_a_new_attempt(world: World) -> None:
    cast = failed(world, "paid", "free", "polled", "called", "free", at=2)
    assert cast.failure is not None and cast.failure.step_index == 2
    resumed = resume(world, cast)
    name = f"{cast.cast_id}-2"
    assert (resumed.execution_name, resumed.attempt, resumed.first_step) == (name, 2, 2)
    assert [(segment.first, segment.last, segment.attempt) for segment in world.machine.casts[name]] == [
        (2, 2, 2),
        (3, 3, 2),
        (4, 4, 2),
    ]
    end = run(world, resumed)
    assert end.status == "completed"
    kept, again = [f"{cast.cast_id}.{step}.1" for step in (0, 1)], [f"{cast.cast_id}.{step}.2" for step in (2, 3, 4)]
    assert end.step_generation_ids == (*kept, *again)
    assert asked(world) == dict.fromkeys([*kept, f"{cast.cast_id}.2.1", *again], 1)
    # 0.01 paid, 0.005 billed of what failed, 0.02 and 0.03 of the jobs.
    assert end.cost_usd == Decimal("0.065")


def test_the_outputs_of_finished_steps_feed_the_rest(world: World) -> None:
    cast = world.cast_steps(
        "wired",
        [
            {"id": "a", "toolIdentifier": "polled"},
            {
                "id": "b",
                "toolIdentifier": "polled",
                "parameterMappings": {"prompt": {"type": "nodeOutput", "nodeId": "a", "outputKey": "text"}},
            },
        ],
    )
    run(world, cast, step_0=text_result("from a"), step_1=REFUSED)
    run(world, resume(world, cast))
    assert world.generation(cast, 1, 2).request_payload["prompt"] == "from a"


def test_the_end_that_was_is_forgotten(world: World) -> None:
    cast = failed(world, "polled", at=0)
    told = replace(
        cast,
        webhook_url="https://me.example",
        delivery=Delivery("sent", 1, world.clock.now()),
        revision=cast.revision + 1,
    )
    world.store.save_cast(told, cast)
    world.clock.advance(3_600)
    resumed = resume(world, cast)
    now = world.clock.now()
    assert (resumed.failure, resumed.failed_at, resumed.ended_at, resumed.delivery) == (None, None, None, None)
    assert (resumed.resumed_at, resumed.running_since, resumed.started_at) == (now, now, cast.started_at)
    assert resumed.deadline_at - now == cast.deadline_at - cast.started_at
    assert resumed.cost_usd == Decimal("0.005"), "what was spent stays spent"
    assert not resumed.has_just_ended
    end = run(world, resumed)
    assert end.owes_webhook and end.has_just_ended


def test_a_cancelled_cast_goes_on_where_it_was_cancelled(world: World) -> None:
    cast = world.cast("paid", "polled")
    world.execute(cast)
    world.cancel_cast(ACCOUNT, cast.cast_id)
    world.settle(cast)
    resumed = resume(world, cast)
    assert (resumed.cancel_requested_at, resumed.cancelled_at, resumed.first_step) == (None, None, 1)
    assert run(world, resumed).status == "completed"
    assert world.settle(cast).status == "completed", "the announcement of the cancel is late"


def test_a_late_announcement_of_the_cancel_does_not_end_what_was_resumed(world: World) -> None:
    cast = ended(world, "cancelled")
    resume(world, cast)
    assert world.settle(cast).status == "running"
    assert world.settle(cast, Failure("CAST_INTERRUPTED", "Stopped.", True)).status == "running"


def test_a_cast_that_was_cancelled_after_its_last_step_is_completed_at_once(world: World) -> None:
    cast = world.cast("paid")
    world.execute(cast)
    world.process(cast)
    world.cancel_cast(ACCOUNT, cast.cast_id)
    assert world.settle(cast).status == "cancelled"
    end = resume(world, cast)
    assert (end.status, end.outputs, end.cost_usd) == ("completed", {"text": "<>"}, Decimal("0.01"))
    assert list(world.machine.casts) == [cast.cast_id]


def test_each_end_is_told_under_an_id_of_its_own(world: World) -> None:
    ends = [failed(world, "polled", at=0)]
    ends.append(run(world, resume(world, ends[0]), step_0=REFUSED))
    ids = {signed_request(replace(end, webhook_secret="s"), world.clock.now())[1]["webhook-id"] for end in ends}
    assert len(ids) == 2


def test_it_may_be_resumed_again_and_all_attempts_are_paid(world: World) -> None:
    cast = failed(world, "paid", "polled", at=1)
    for execution in (2, 3, 4):
        resumed = resume(world, cast)
        assert (resumed.execution, resumed.attempt) == (execution, execution)
        end = run(world, resumed, step_1=REFUSED)
        assert (end.status, end.cost_usd) == ("failed", Decimal("0.01") + execution * Decimal("0.005"))


def test_there_is_an_end_to_it(world: World) -> None:
    cast = failed(world, "polled", at=0)
    world.store.save_cast(replace(cast, attempt=MOST_ATTEMPTS, revision=99), cast)
    with pytest.raises(CastEnded, match="anew"):
        resume(world, cast)


def test_a_larger_budget_lets_it_go_on(world: World) -> None:
    spell, _, _ = world.create_spell(ACCOUNT, "dear", "private", {"steps": STEPS[:1]})
    order = CastOrder(spell=spell.spell_id, fingerprint="f", budget_usd=Decimal("0.001"))
    cast = world.cast_spell(ACCOUNT, order)[0]
    failed_cast = run(world, cast)
    assert failed_cast.failure is not None and failed_cast.failure.code == "BUDGET_EXCEEDED"
    end = run(world, resume(world, cast, replace(ORDER, budget_usd=Decimal("1"))))
    assert (end.status, end.budget_usd) == ("completed", Decimal(1))


def test_a_step_may_wait_for_its_turn_from_the_resume_on(world: World) -> None:
    cast = failed(world, "polled", "polled", at=1)
    world.clock.advance(86_400)
    resumed = resume(world, cast)
    world.adapters.configured = Limits(jobs=1)
    world.execute(world.cast("polled"))
    world.execute(resumed, token="waits")
    waits = world.machine.answers["waits"]
    assert isinstance(waits, Failure) and waits.code == "NO_FREE_SLOT"
    world.clock.advance(WAITING_SECONDS)
    world.execute(resumed, token="no more")
    given_up = world.machine.answers["no more"]
    assert isinstance(given_up, Failure) and given_up.code == "LIMIT_REACHED"


# --- versions ---

STEPS: list[dict[str, Any]] = [{"id": "a", "toolIdentifier": "paid"}, {"id": "b", "toolIdentifier": "polled"}]


def versioned(world: World, *versions: list[dict[str, Any]]) -> Cast:
    """A cast of version 1, of STEPS, that failed at the second; the spell has got these versions since."""
    cast = world.cast_steps("spell", STEPS)
    run(world, cast, step_1=REFUSED)
    for steps in versions:
        world.update_spell(ACCOUNT, cast.spell_id, "spell", "private", {"steps": steps})
    return cast


@pytest.mark.parametrize(
    "following",
    [
        pytest.param([{"id": "b", "toolIdentifier": "called"}], id="another tool"),
        pytest.param([{"id": "c", "toolIdentifier": "free"}, {"id": "d", "toolIdentifier": "free"}], id="more steps"),
        pytest.param([], id="fewer steps"),
    ],
)
def test_a_newer_version_takes_over_what_is_not_finished(world: World, following: list[dict[str, Any]]) -> None:
    cast = versioned(world, [STEPS[0], *following])
    resumed = resume(world, cast, replace(ORDER, version=2))
    assert (resumed.version, resumed.step_count) == (2, 1 + len(following))
    end = resumed if resumed.is_terminal else run(world, resumed)
    assert (end.status, len(end.step_generation_ids)) == ("completed", 1 + len(following))
    assert asked(world)[f"{cast.cast_id}.0.1"] == 1
    for generation in end.step_generation_ids:
        assert world.find_casts.get_generation(ACCOUNT, generation)["metadata"]["spell"]
    assert world.find_casts.get_generation(ACCOUNT, f"{cast.cast_id}.1.1")["metadata"]["pipelineContext"] is not None


def test_without_a_name_it_stays_the_version_that_was_cast(world: World) -> None:
    cast = versioned(world, [STEPS[0]])
    assert resume(world, cast).version == 1


@pytest.mark.parametrize(
    "first",
    [
        {"id": "other", "toolIdentifier": "paid"},
        {"id": "a", "toolIdentifier": "free"},
    ],
)
def test_a_version_in_which_a_finished_step_is_another_is_refused(world: World, first: dict[str, Any]) -> None:
    cast = versioned(world, [first, STEPS[1]])
    before = world.cast_of(cast)
    with pytest.raises(InvalidInput) as refusal:
        resume(world, cast, replace(ORDER, version=2))
    [fault] = refusal.value.faults
    assert fault.path == "version" and "step 0 ('a')" in fault.message
    assert world.cast_of(cast) == before


def test_a_version_that_does_not_have_the_finished_steps_is_refused(world: World) -> None:
    cast = world.cast_steps("spell", [*STEPS, {"id": "c", "toolIdentifier": "polled"}])
    run(world, cast, step_2=REFUSED)
    world.update_spell(ACCOUNT, cast.spell_id, "spell", "private", {"steps": STEPS[:1]})
    with pytest.raises(InvalidInput) as refusal:
        resume(world, cast, replace(ORDER, version=2))
    assert ["step 1 ('b')" in fault.message for fault in refusal.value.faults] == [True]


def test_an_older_version_and_one_that_does_not_exist_are_refused(world: World) -> None:
    cast = versioned(world, STEPS)
    resumed = resume(world, cast, replace(ORDER, version=2))
    run(world, resumed, step_1=REFUSED)
    with pytest.raises(InvalidInput):
        resume(world, cast, replace(ORDER, version=1))
    with pytest.raises(SpellNotFound):
        resume(world, cast, replace(ORDER, version=3))


# --- repeats, and two at once ---


def test_the_same_request_again_starts_nothing_new(world: World) -> None:
    cast = failed(world, "polled", at=0)
    resumed = resume(world, cast)
    writes = len(world.store.writes)
    assert resume(world, cast) == resumed
    assert len(world.store.writes) == writes
    assert list(world.machine.casts) == [cast.cast_id, f"{cast.cast_id}-2"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (ORDER, replace(ORDER, fingerprint="g")),
        (ORDER, KEYED),
        (KEYED, ORDER),
        (KEYED, replace(KEYED, idempotency_key="other")),
    ],
)
def test_another_request_finds_it_running(world: World, first: ResumeOrder, second: ResumeOrder) -> None:
    cast = failed(world, "polled", at=0)
    resume(world, cast, first)
    with pytest.raises(CastRunning):
        resume(world, cast, second)


def test_a_key_is_good_after_the_end_too(world: World) -> None:
    cast = failed(world, "polled", at=0)
    end = run(world, resume(world, cast, KEYED), step_0=REFUSED)
    assert resume(world, cast, KEYED) == end
    assert resume(world, cast, replace(KEYED, idempotency_key="another")).status == "running"


def test_without_a_key_a_cast_that_failed_again_is_resumed_again(world: World) -> None:
    cast = failed(world, "polled", at=0)
    run(world, resume(world, cast), step_0=REFUSED)
    assert resume(world, cast).attempt == 3


def test_a_key_with_another_body_is_refused(world: World) -> None:
    cast = failed(world, "polled", at=0)
    resume(world, cast, KEYED)
    with pytest.raises(IdempotencyKeyReused):
        resume(world, cast, replace(KEYED, fingerprint="g"))


@pytest.mark.parametrize("same", [True, False])
def test_two_at_once_start_one_execution(world: World, same: bool) -> None:
    cast = failed(world, "polled", at=0)
    other = ORDER if same else replace(ORDER, fingerprint="g")
    world.store.meanwhile.append(lambda: resume(world, cast, other))
    if same:
        assert resume(world, cast).execution == 2
    else:
        with pytest.raises(CastRunning):
            resume(world, cast)
    assert list(world.machine.casts) == [cast.cast_id, f"{cast.cast_id}-2"]
    assert world.cast_of(cast).attempt == 2


def test_a_start_that_is_refused_closes_the_cast_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    cast = failed(world, "polled", at=0)

    def fail(cast: Cast, segments: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(world.machine, "start_cast", fail)
        with pytest.raises(ConnectionError):
            resume(world, cast)
    closed = world.cast_of(cast)
    assert closed.failure is not None and closed.failure.code == "CAST_INTERRUPTED"
    assert run(world, resume(world, cast)).status == "completed"


def test_the_repeat_of_the_cast_itself_starts_what_was_resumed(world: World) -> None:
    spell, _, _ = world.create_spell(ACCOUNT, "spell", "private", {"steps": [STEPS[0], STEPS[1]]})
    order = CastOrder(spell=spell.spell_id, fingerprint="f", idempotency_key="once")
    cast = world.cast_spell(ACCOUNT, order)[0]
    run(world, cast, step_1=REFUSED)
    started = resume(world, cast)
    segments = world.machine.casts.pop(started.execution_name)
    assert world.cast_spell(ACCOUNT, order) == (started, False)
    assert world.machine.casts[started.execution_name] == segments


# --- what comes late ---


@pytest.mark.parametrize("moment", ["while it runs", "at its end"])
def test_a_late_result_of_an_old_attempt_adds_its_bill_and_nothing_else(world: World, moment: str) -> None:
    cast = world.cast("called")
    world.execute(cast)
    world.settle(cast, Failure("OUTCOME_UNKNOWN", "Lost."))
    resumed = resume(world, cast)
    late = text_result("late", cost_usd=Decimal("0.5"))
    if moment == "while it runs":
        world.complete_job(f"{cast.cast_id}.0.1", late)
        assert world.cast_of(cast).status == "running"
    end = run(world, resumed, step_0=text_result("new"))
    if moment == "at its end":
        world.complete_job(f"{cast.cast_id}.0.1", late)
        end = world.cast_of(cast)
    assert (end.status, end.outputs, end.cost_usd) == ("completed", {"text": "new"}, Decimal("0.53"))
    assert world.generation(cast, 0).status == "failed"


@pytest.mark.parametrize("tools", [("paid", "free"), ("polled",)])
def test_an_old_attempt_that_comes_to_its_step_after_all_asks_nobody(world: World, tools: tuple[str, ...]) -> None:
    cast = world.cast(*tools)

    def taken_over() -> None:
        world.settle(cast, Failure("CAST_INTERRUPTED", "Stopped.", True))
        resume(world, cast)

    world.store.meanwhile.append(taken_over)
    world.execute(cast)
    assert asked(world) == {}
    assert world.generation(cast, 0).is_terminal
    assert run(world, cast).status == "completed"
    assert asked(world)[f"{cast.cast_id}.0.2"] == 1


# --- crashes ---


def crashed(kills: list[tuple[int, When]]) -> tuple[World, Chokepoint, Cast]:
    """A failed cast that is resumed by a caller who asks until there is an answer, and then run to its end."""
    chokepoint = Chokepoint()
    world = World(through=chokepoint)
    cast = failed(world, "paid", "free", "polled", "called", "free", at=2)
    chokepoint.arm(kills)
    for _ in range(5):
        try:
            resume(world, cast)
            break
        except Crash:
            continue
    return world, chokepoint, cast


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_call_starts_the_execution_once(when: When) -> None:
    chokepoint = Chokepoint()
    world = World(through=chokepoint)
    cast = failed(world, "paid", "free", "polled", "called", "free", at=2)
    chokepoint.arm([])
    resume(world, cast)
    calls = list(chokepoint.calls)
    assert {"FakeStore.save_cast", "FakeMachine.start_cast"} <= set(calls)
    for number in range(1, len(calls) + 1):
        world, chokepoint, cast = crashed([(number, when)])
        told = f"killed {chokepoint.killed}"
        assert chokepoint.killed, told
        assert list(world.machine.casts) == [cast.cast_id, f"{cast.cast_id}-2"], told
        end = run(world, cast)
        assert (end.status, end.attempt, end.cost_usd) == ("completed", 2, Decimal("0.065")), told
        assert set(asked(world).values()) == {1}, told
        terminal = [item for item in world.store.writes if isinstance(item, Cast) and item.is_terminal]
        assert [item.status for item in terminal] == ["failed", "completed"], told
        generations = [item for item in world.store.writes if isinstance(item, Generation) and item.is_terminal]
        assert set(Counter(item.generation_id for item in generations).values()) == {1}, told


def test_the_deadline_of_what_is_left_is_shorter(world: World) -> None:
    cast = failed(world, "polled", "polled", at=1)
    resumed = resume(world, cast)
    assert timedelta(0) < resumed.deadline_at - world.clock.now() < cast.deadline_at - cast.started_at
