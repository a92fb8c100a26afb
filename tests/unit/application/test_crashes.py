"""A three-step cast, killed at every call to the outside: before it, and after it took effect."""

from __future__ import annotations

from datetime import timedelta

import pytest

from spellcast.domain.limits import Limits
from tests.fakes import killed_run
from tests.fakes.crashes import When
from tests.fakes.killed_run import NO_LIMITS, Run, calls_of

SPELLS = [pytest.param(*spell, id=name) for name, spell in killed_run.SPELLS.items()]


def moments_of_a_submission(calls: list[str]) -> dict[str, tuple[int, When]]:
    """The crash points of the job's submission, in the order in which it passes them."""
    asked = calls.index("FakeAdapter.start_job")
    reserved = max(number for number in range(asked) if is_write(calls[number]))
    recorded = next(number for number in range(asked, len(calls)) if is_write(calls[number]))
    return {
        "before the reservation": (reserved + 1, "before"),
        "after the reservation": (reserved + 1, "after"),
        "before the provider is asked": (asked + 1, "before"),
        "after the provider has accepted": (asked + 1, "after"),
        "before the answer is recorded": (recorded + 1, "before"),
        "after the answer is recorded": (recorded + 1, "after"),
    }


# Reserved, submitting, submitted: at each moment, what the record says when the process dies there, how often the
# provider is asked in all, what becomes of the cast, and what the record says then. Found by the callback's token
# (called), by the id that was chosen here (derived), or by nothing (polled).
CALLED, POLLED, DERIVED = ("called", False), ("polled", False), ("polled", True)
PROTOCOL: list[tuple[tuple[str, bool], str, list[str | None], int, str, str]] = [
    (CALLED, "before the reservation", [], 1, "completed", "submitted"),
    (CALLED, "after the reservation", ["submitting"], 0, "OUTCOME_UNKNOWN", "unknown"),
    (CALLED, "before the provider is asked", ["submitting"], 0, "OUTCOME_UNKNOWN", "unknown"),
    (CALLED, "after the provider has accepted", ["submitting"], 1, "completed", "submitted"),
    (CALLED, "before the answer is recorded", ["submitting"], 1, "completed", "submitted"),
    (CALLED, "after the answer is recorded", ["submitted"], 1, "completed", "submitted"),
    (POLLED, "before the reservation", [], 1, "completed", "submitted"),
    (POLLED, "after the reservation", ["submitting"], 0, "OUTCOME_UNKNOWN", "unknown"),
    (POLLED, "before the provider is asked", ["submitting"], 0, "OUTCOME_UNKNOWN", "unknown"),
    (POLLED, "after the provider has accepted", ["submitting"], 1, "OUTCOME_UNKNOWN", "unknown"),
    (POLLED, "before the answer is recorded", ["submitting"], 1, "OUTCOME_UNKNOWN", "unknown"),
    (POLLED, "after the answer is recorded", ["submitted"], 1, "completed", "submitted"),
    (DERIVED, "before the reservation", [], 1, "completed", "submitted"),
    (DERIVED, "after the reservation", ["submitting"], 0, "JOB_LOST", "submitted"),
    (DERIVED, "before the provider is asked", ["submitting"], 0, "JOB_LOST", "submitted"),
    (DERIVED, "after the provider has accepted", ["submitting"], 1, "completed", "submitted"),
    (DERIVED, "before the answer is recorded", ["submitting"], 1, "completed", "submitted"),
    (DERIVED, "after the answer is recorded", ["submitted"], 1, "completed", "submitted"),
]


def unknowable(calls: list[str]) -> set[tuple[int, When]]:
    """Where nobody knows whether the provider was asked: from the reservation to the record of the answer."""
    moments: set[tuple[int, When]] = set()
    for asked, name in enumerate(calls):
        # Between the two the cast is read once more.
        reserved = asked - (2 if calls[asked - 1] == "FakeStore.get_cast" else 1)
        if name not in ("FakeAdapter.execute", "FakeAdapter.start_job") or not is_write(calls[reserved]):
            continue
        recorded = next(number for number in range(asked, len(calls)) if is_write(calls[number]))
        moments |= {(number + 1, "after") for number in range(reserved, recorded)}
        moments |= {(number + 1, "before") for number in range(reserved + 1, recorded + 1)}
    return moments


def is_write(name: str) -> bool:
    return name == "FakeStore.save_generation"


@pytest.mark.parametrize(("tools", "derived", "draws"), SPELLS)
def test_without_a_crash_the_cast_is_completed(tools: tuple[str, ...], derived: bool, draws: bool) -> None:
    run = Run(tools, derived, draws)
    run.check(tools)
    assert run.cast.status == "completed"
    assert len(run.chokepoint.calls) > 20


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("tools", "derived", "draws"), SPELLS)
def test_a_crash_at_any_call_leaves_a_cast_that_ends_once_and_pays_once(
    tools: tuple[str, ...], derived: bool, draws: bool, when: When
) -> None:
    calls = calls_of(tools, derived, draws)
    for number in range(1, len(calls) + 1):
        run = Run(tools, derived, draws, [(number, when)])
        run.check(tools)
        if (number, when) not in unknowable(calls):
            assert run.cast.status == "completed", run.told


def test_a_paid_step_is_not_asked_again_when_its_answer_was_lost() -> None:
    calls = calls_of(("paid", "free"), False)
    run = Run(("paid", "free"), False, kills=[(calls.index("FakeAdapter.execute") + 1, "after")])
    assert run.cast.failure is not None
    assert (run.cast.failure.code, run.cast.failure.step_index) == ("OUTCOME_UNKNOWN", 0)
    assert run.provider.asked == [f"{run.cast.cast_id}.0.1"]


def test_a_job_whose_id_was_chosen_here_is_found_again_when_its_answer_was_lost() -> None:
    calls = calls_of(("polled",), True)
    run = Run(("polled",), True, kills=[(calls.index("FakeAdapter.start_job") + 1, "after")])
    assert run.cast.status == "completed"
    assert run.provider.asked == [f"{run.cast.cast_id}.0.1"]


def test_a_called_jobs_webhook_finds_it_when_its_answer_was_lost() -> None:
    calls = calls_of(("called",), False)
    run = Run(("called",), False, kills=[(calls.index("FakeAdapter.start_job") + 1, "after")])
    assert run.cast.status == "completed"
    assert run.provider.asked == [f"{run.cast.cast_id}.0.1"]


@pytest.mark.parametrize(
    ("job", "moment", "seen", "asked", "end", "told"),
    [pytest.param(*row, id=f"{row[0][0]}{', derived' if row[0][1] else ''}: {row[1]}") for row in PROTOCOL],
)
def test_what_is_known_of_a_submission_that_was_interrupted(
    job: tuple[str, bool], moment: str, seen: list[str | None], asked: int, end: str, told: str
) -> None:
    tool, derived = job
    run = Run((tool,), derived, kills=[moments_of_a_submission(calls_of((tool,), derived))[moment]])
    assert (run.seen, len(run.provider.asked)) == (seen, asked)
    assert (run.cast.failure.code if run.cast.failure else run.cast.status) == end
    [generation] = run.generations
    assert generation.submission == told


def test_the_table_has_every_moment_of_every_kind_of_job() -> None:
    calls = {job: calls_of((job[0],), job[1]) for job in (CALLED, POLLED, DERIVED)}
    wanted = {(job, moment) for job, found in calls.items() for moment in moments_of_a_submission(found)}
    assert {(job, moment) for job, moment, *_ in PROTOCOL} == wanted
    # Between reservation and request nothing is written: what happens there is read from the reservation alone.
    for job, found in calls.items():
        asked = found.index("FakeAdapter.start_job")
        assert found[asked - 2 : asked] == ["FakeStore.save_generation", "FakeStore.get_cast"], job


LIMITED = Limits(jobs=1, requests=1, account_jobs=1)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("tools", [("paid", "called"), ("polled", "free")])
def test_a_crash_at_any_call_leaks_no_place_under_a_limit(tools: tuple[str, ...], when: When) -> None:
    calls = Run(tools, True, limits=LIMITED).chokepoint.calls
    assert "FakeStore.save_leases" in calls
    for number in range(1, len(calls) + 1):
        run = Run(tools, True, kills=[(number, when)], limits=LIMITED)
        run.check(tools)
        leases = run.world.store.leases.values()
        latest = max((expiry for scope in leases for expiry in scope.held.values()), default=None)
        # A place that nobody could give back is free a little after the step's deadline.
        assert latest is None or latest <= run.generations[-1].deadline_at + timedelta(minutes=2), run.told


def test_without_a_crash_every_place_is_given_back() -> None:
    leases = Run(("paid", "polled", "called"), False, limits=LIMITED).world.store.leases
    assert {scope: dict(of.held) for scope, of in leases.items()} == {
        "fake#requests": {},
        "fake#jobs": {},
        "fake#jobs#alice": {},
    }


# --- a step that falls back ---

FALLING = [("called",), ("polled",), ("paid", "called"), ("paid", "polled", "called")]


def moments_of_a_fallback(calls: list[str]) -> dict[str, tuple[int, When]]:
    """The crash points of a job whose first provider begins nothing, in the order in which it passes them."""
    asked = [number for number, name in enumerate(calls) if name == "FakeAdapter.start_job"]
    *_, again, second = asked
    reserved = max(number for number in range(asked[0]) if is_write(calls[number]))
    rewritten = max(number for number in range(second) if is_write(calls[number]))
    recorded = next(number for number in range(second, len(calls)) if is_write(calls[number]))
    assert reserved < asked[0] < again < rewritten < second < recorded
    return {
        "before the reservation": (reserved + 1, "before"),
        "after the reservation": (reserved + 1, "after"),
        "before the first provider is asked again": (again + 1, "before"),
        "before the record is the fallback's": (rewritten + 1, "before"),
        "after the record is the fallback's": (rewritten + 1, "after"),
        "before the second provider is asked": (second + 1, "before"),
        "after the second provider has accepted": (second + 1, "after"),
        "before the answer is recorded": (recorded + 1, "before"),
        "after the answer is recorded": (recorded + 1, "after"),
    }


# What the record says at each moment, and whose it is; how often the second provider is asked in all, by the kinds of
# jobs called, polled and derived; and what becomes of the cast.
LOST, LOST_OF_ITS_ID = "OUTCOME_UNKNOWN", "JOB_LOST"
NOBODY_ASKED = (0, 0, 0), (LOST, LOST, LOST_OF_ITS_ID)
ASKED_ONCE = (1, 1, 1), ("completed", "completed", "completed")
FOUND_AGAIN = (1, 1, 1), ("completed", LOST, "completed")
FALLBACK_PROTOCOL: dict[str, tuple[str | None, str, tuple[tuple[int, ...], tuple[str, ...]]]] = {
    "before the reservation": (None, "", ASKED_ONCE),
    "after the reservation": ("submitting", "", NOBODY_ASKED),
    "before the first provider is asked again": ("submitting", "", NOBODY_ASKED),
    "before the record is the fallback's": ("submitting", "", NOBODY_ASKED),
    "after the record is the fallback's": ("submitting", "-b", NOBODY_ASKED),
    "before the second provider is asked": ("submitting", "-b", NOBODY_ASKED),
    "after the second provider has accepted": ("submitting", "-b", FOUND_AGAIN),
    "before the answer is recorded": ("submitting", "-b", FOUND_AGAIN),
    "after the answer is recorded": ("submitted", "-b", ASKED_ONCE),
}


@pytest.mark.parametrize("moment", FALLBACK_PROTOCOL)
@pytest.mark.parametrize("job", [CALLED, POLLED, DERIVED], ids=["called", "polled", "derived"])
@pytest.mark.parametrize("limits", [NO_LIMITS, LIMITED], ids=["no limits", "limits"])
def test_what_is_known_of_a_fallback_that_was_interrupted(job: tuple[str, bool], moment: str, limits: Limits) -> None:
    tool, derived = job
    submission, suffix, (asked, ends) = FALLBACK_PROTOCOL[moment]
    moments = moments_of_a_fallback(Run((tool,), derived, limits=limits, falls_back=True).chokepoint.calls)
    assert moments.keys() == FALLBACK_PROTOCOL.keys()
    run = Run((tool,), derived, kills=[moments[moment]], limits=limits, falls_back=True)
    seen = list(zip(run.seen_tools, run.seen, strict=True))
    kind = [CALLED, POLLED, DERIVED].index(job)
    assert seen == ([] if submission is None else [(f"{tool}{suffix}", submission)])
    assert len(run.provider.asked) == asked[kind]
    assert (run.cast.failure.code if run.cast.failure else run.cast.status) == ends[kind]
    # Whoever finds the record reserved asks neither provider: the first was asked by one invocation only.
    first_tries = len(run.world.adapter.started)
    assert first_tries <= (8 if moment == "before the reservation" else 4)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("limits", [NO_LIMITS, LIMITED], ids=["no limits", "limits"])
@pytest.mark.parametrize("derived", [False, True])
@pytest.mark.parametrize("tools", FALLING)
def test_a_crash_at_any_call_of_a_fallback_leads_to_one_job_at_most(
    tools: tuple[str, ...], derived: bool, limits: Limits, when: When
) -> None:
    calls = Run(tools, derived, limits=limits, falls_back=True).chokepoint.calls
    for number in range(1, len(calls) + 1):
        run = Run(tools, derived, kills=[(number, when)], limits=limits, falls_back=True)
        run.check(tools)
        leases = run.world.store.leases.values()
        latest = max((expiry for scope in leases for expiry in scope.held.values()), default=None)
        assert latest is None or latest <= run.generations[-1].deadline_at + timedelta(minutes=2), run.told
