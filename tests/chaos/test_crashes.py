"""A cast of three steps, killed at every call that its functions make: the real handlers, around them `aws.py`.

One step draws at once, one has a provider that calls back, one is polled; the account has a daily budget, a WebSocket
is open, and the caster has a webhook.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import combinations, product
from typing import Any

import pytest

from spellcast.domain.casts import Cast
from spellcast.domain.generations import Generation
from spellcast.domain.kept_media import media_items
from tests.chaos import invariants
from tests.chaos.aws import ACCOUNT, SPELL, Aws, aws
from tests.chaos.conftest import Defends
from tests.chaos.invariants import History
from tests.chaos.providers import ADDRESSES, SERVICES, WEBHOOK_SECRET
from tests.chaos.sizes import LONG, SEED, size
from tests.fakes import killed_run
from tests.fakes.crashes import When
from tests.fakes.killed_run import Run

STEPS: list[Any] = [
    {
        "id": f"n{position}",
        "toolIdentifier": tool,
        "parameterMappings": {prompt: {"type": "static", "value": "a fox"}},
    }
    for position, (tool, prompt) in enumerate(
        (("openai-image", "prompt"), ("replicate-flux-schnell", "prompt"), ("comfyui-text-to-image", "input_prompt"))
    )
]
# What the providers' answers cost by the catalog's prices.
COSTS = {"openai": Decimal("0.065"), "replicate": Decimal("0.003"), "comfyui": Decimal("0.0008425")}
TOTAL = Decimal("0.0688425")
# What may end a cast after a crash: an answer that was lost, or a request of which nobody knows whether it was sent.
UNAVOIDABLE = {"OUTCOME_UNKNOWN", "JOB_LOST"}
ALL = "I1, I2, I3, I4, I5, I6, I7"
MOMENTS: tuple[When, When] = ("before", "after")
# By service: the attempts of which each may ask once.
Attempts = Mapping[str, tuple[int, ...]]
ONCE: Attempts = dict.fromkeys(SERVICES, (1,))
Kills = Collection[tuple[int, When]]


@pytest.fixture(scope="module")
def begin() -> Iterator[Callable[[], Aws]]:
    with aws() as begin:
        yield begin


def cast(begin: Callable[[], Aws], kills: Kills, tries: int = 5) -> Aws:
    """The deployment after one cast under these kills; its caster asks so often for an answer."""
    world = begin()
    world.add_spell(STEPS)
    world.chokepoint.arm(kills)
    webhook = {"webhookUrl": f"{ADDRESSES['caster']}/hook", "webhookSecret": WEBHOOK_SECRET}
    answer = world.request("POST", "/v1/casts", {"spell": SPELL, **webhook}, key="order-1", tries=tries)
    assert tries == 1 or answer["statusCode"] in (200, 202), answer
    world.run()
    return world


def history_of(world: Aws, attempts: Attempts = ONCE) -> History:
    """What is left of the deployment's one cast, of whose steps each may be asked for by these attempts."""
    written = list(world.written())
    casts = [record for record in written if isinstance(record, Cast)]
    generations = [record for record in written if isinstance(record, Generation)]
    asked = _in_order(casts[-1].cast_id, world.providers.asked, attempts)
    jobs = _in_order(casts[-1].cast_id, [job.service for job in world.providers.jobs.values()], attempts)
    day = world.days.get_day(ACCOUNT, world.start.strftime("%Y-%m-%d"))
    return History(
        casts=casts,
        generations=generations,
        asked=Counter(asked),
        jobs=dict(zip(jobs, world.providers.jobs, strict=True)),
        announced=world.announced(),
        ledger=list(world.ledger.all_rows(ACCOUNT, start="0", end=None)),
        held=day.held,
        day_usd=day.total_usd,
        told=f"killed: {world.chokepoint.killed}",
    )


def _in_order(cast_id: str, services: Sequence[str], attempts: Attempts) -> list[str]:
    """Whose requests these were; one too many counts as the last attempt's."""
    asked: Counter[str] = Counter()
    generations = []
    for service in services:
        own = attempts[service]
        generations.append(f"{cast_id}.{SERVICES.index(service)}.{own[min(asked[service], len(own) - 1)]}")
        asked[service] += 1
    return generations


def check(world: Aws, attempts: Attempts = ONCE) -> History:
    """The invariants, and that nobody has left anything open or undone."""
    history = history_of(world, attempts)
    told = history.told
    assert len({record.cast_id for record in history.casts}) == 1, told
    invariants.check(history)
    invariants.ended_in_time(history)
    for generation in history.latest.values():
        is_completed = generation.status == "completed"
        assert not is_completed or generation.cost_usd == COSTS[generation.service_name], told
        if is_completed and generation.result is not None:
            for _, item in media_items(generation.result.payload):
                assert item["url"].startswith("s3:"), told
    assert not world.dead_letters, told
    assert not any(execution.is_running for execution in world.executions.known.values()), told
    held = world.leases.get_leases("comfyui#jobs").held
    assert all(expiry <= world.clock.now() for expiry in held.values()), told
    return history


def check_end(world: Aws) -> History:
    """Of a cast that nobody has cancelled or resumed."""
    history = check(world)
    told = history.told
    if history.cast.status == "completed":
        assert history.cast.cost_usd == TOTAL, told
    else:
        assert history.cast.failure is not None and history.cast.failure.code in UNAVOIDABLE, (told, history.cast)
        assert all(item.cost_usd == 0 for item in history.latest.values() if item.status == "failed"), told
    # The caster was told, always under the one id, and the record knows it.
    assert len({message_id for message_id, _ in world.providers.told}) == 1, told
    assert {body["status"] for _, body in world.providers.told} == {history.cast.status}, told
    assert history.cast.delivery is not None and history.cast.delivery.status == "sent", told
    return history


def unknowable(calls: list[str]) -> set[tuple[int, When]]:
    """Where nobody knows whether the provider was asked: from the reservation to the record of the answer."""
    moments: set[tuple[int, When]] = set()
    for service in SERVICES:
        asked = calls.index(f"{service}.POST")
        reserved = max(number for number in range(asked) if calls[number] == "dynamodb.PutItem")
        recorded = calls.index("dynamodb.PutItem", asked)
        moments |= {(number + 1, "after") for number in range(reserved, recorded)}
        moments |= {(number + 1, "before") for number in range(reserved + 1, recorded + 1)}
    return moments


def test_without_a_crash_the_cast_is_completed_and_told_of(begin: Callable[[], Aws]) -> None:
    world = cast(begin, [])
    history = check_end(world)
    assert history.cast.status == "completed"
    assert Counter(world.providers.asked) == Counter(SERVICES)
    assert len(world.providers.told) == 1
    assert {"castUpdate", "generationUpdate", "generationProgress", "tool-response"} == {
        message["type"] for message in world.posts
    }
    # The same calls in every run: a number means the same call in all of them.
    calls = list(world.chokepoint.calls)
    assert cast(begin, []).chokepoint.calls == calls


def test_a_crash_at_any_call_of_any_function_leads_to_one_end_that_is_paid_once(
    begin: Callable[[], Aws], defends: Defends
) -> None:
    calls = list(cast(begin, []).chokepoint.calls)
    open_questions = unknowable(calls)
    kills: list[tuple[int, When]] = [(number, when) for number in range(1, len(calls) + 1) for when in MOMENTS]
    lost = 0
    for kill in kills:
        world = cast(begin, [kill])
        history = check_end(world)
        assert len(world.chokepoint.killed) == 1, history.told
        if history.cast.status != "completed":
            assert kill in open_questions, history.told
            lost += 1
    defends(
        ALL,
        "a process dies at a call, before or after it took effect",
        f"each of {len(calls)} calls of a cast of three steps × 2: {len(kills)} runs through the real functions, "
        f"{len(kills) - lost} of them completed",
    )


def test_a_caster_who_does_not_ask_again_has_a_cast_that_ends_or_none(
    begin: Callable[[], Aws], defends: Defends
) -> None:
    calls = cast(begin, []).chokepoint.calls
    row, started = calls.index("dynamodb.PutItem") + 1, calls.index("stepfunctions.StartExecution") + 1
    kills: list[tuple[int, When]] = [(number, when) for number in range(row, started + 1) for when in MOMENTS]
    casts = 0
    for kill in kills:
        world = cast(begin, [kill], tries=1)
        if kill == (row, "before"):
            assert not list(world.written()) and not world.providers.asked
            continue
        assert check_end(world).cast.status == "completed", world.chokepoint.killed
        casts += 1
    defends("I2", "the process dies that starts a cast, and nobody asks again", f"{casts} casts, found by the sweep")


def test_two_crashes_of_the_real_functions_are_no_worse(begin: Callable[[], Aws], defends: Defends) -> None:
    chance = random.Random(SEED)
    calls = cast(begin, []).chokepoint.calls
    # A cold start more makes the run a few calls longer.
    pairs = [sorted(chance.sample(range(1, len(calls) + 8), 2)) for _ in range(size(40, 1_000))]
    for pair in pairs:
        check_end(cast(begin, [(number, chance.choice(MOMENTS)) for number in pair]))
    defends(ALL, "two processes die at a call each", f"{len(pairs)} sampled pairs, real functions")


def cancelled(begin: Callable[[], Aws], kills: Kills) -> Aws:
    """The deployment after a cast whose caster cancels it while Replicate works; calls are counted from there on."""
    world = begin()
    world.add_spell(STEPS[:2])
    body = json.loads(world.request("POST", "/v1/casts", {"spell": SPELL}, key="order-1")["body"])

    def cancel() -> None:
        world.chokepoint.arm(kills)
        assert world.request("POST", f"/v1/casts/{body['castId']}/cancel")["statusCode"] == 202

    world.later(5, cancel)
    world.run()
    return world


def test_a_crash_at_any_call_of_a_cancel_and_of_what_follows(begin: Callable[[], Aws], defends: Defends) -> None:
    calls = list(cancelled(begin, []).chokepoint.calls)
    assert {"stepfunctions.StopExecution", "replicate.POST", "replicate.GET"} <= set(calls)
    kills: list[tuple[int, When]] = [(number, when) for number in range(1, len(calls) + 1) for when in MOMENTS]
    for kill in kills:
        world = cancelled(begin, [kill])
        history = check(world)
        assert len(world.chokepoint.killed) == 1, history.told
        # Replicate cannot stop what it has begun, and says later what it cost.
        assert history.cast.status == "cancelled", history.told
        assert history.cast.cost_usd == COSTS["openai"] + COSTS["replicate"], history.told
        # Unless its result was faster than the repeat of what died.
        step = history.latest[f"{history.cast.cast_id}.1.1"]
        assert world.providers.cancelled or step.status == "completed", history.told
    defends(ALL, "a process dies during a cancel", f"each of {len(calls)} calls × 2, real functions, a late bill")


def resumed(begin: Callable[[], Aws], kills: Kills) -> Aws:
    """The deployment after a cast whose second step has failed, and which is resumed; calls are counted from there."""
    world = begin()
    world.add_spell(STEPS)
    world.providers.failing.add("prediction-0")
    body = json.loads(world.request("POST", "/v1/casts", {"spell": SPELL}, key="order-1")["body"])
    world.run()
    world.chokepoint.arm(kills)
    assert world.request("POST", f"/v1/casts/{body['castId']}/resume", key="resume-1")["statusCode"] == 202
    world.run()
    return world


def test_a_crash_at_any_call_of_a_resume_and_of_what_follows(begin: Callable[[], Aws], defends: Defends) -> None:
    attempts = {"openai": (1,), "replicate": (1, 2), "comfyui": (2,)}
    calls = list(resumed(begin, []).chokepoint.calls)
    kills: list[tuple[int, When]] = [(number, when) for number in range(1, len(calls) + 1) for when in MOMENTS]
    some = kills if LONG else random.Random(SEED).sample(kills, 40)
    completed = 0
    for kill in some:
        world = resumed(begin, [kill])
        history = check(world, attempts)
        told = history.told
        assert next(record.status for record in history.casts if record.is_terminal) == "failed", told
        assert world.providers.asked.count("openai") == 1, told
        if history.cast.status == "completed":
            assert history.cast.cost_usd == TOTAL, told
            completed += 1
        else:
            assert history.cast.failure is not None and history.cast.failure.code in UNAVOIDABLE, told
    whole = f"{len(some)} of {len(kills)} moments, real functions; {completed} completed"
    defends(ALL, "a process dies during a resume", whole)


SHAPES = [(tools, derived, draws, False) for tools, derived, draws in killed_run.SPELLS.values()]
# Whose first provider begins nothing.
SHAPES += [
    (tools, True, False, True) for tools in (("called",), ("polled",), ("paid", "called"), ("paid", "polled", "called"))
]


def test_two_crashes_are_no_worse(defends: Defends) -> None:
    chance = random.Random(SEED)
    runs = 0
    for tools, derived, draws, falls_back in SHAPES:
        calls = Run(tools, derived, draws, falls_back=falls_back).chokepoint.calls
        pairs = [
            ((first, one), (second, other))
            for first, second in combinations(range(1, len(calls) + 8), 2)
            for one, other in product(MOMENTS, repeat=2)
        ]
        for pair in pairs if LONG else chance.sample(pairs, 80):
            Run(tools, derived, draws, pair, falls_back=falls_back).check(tools)
            runs += 1
    sampled = "all" if LONG else "sampled"
    defends(ALL, "two processes die at a call each", f"{runs:,} pairs, {sampled}, nine spells, the use cases on fakes")
