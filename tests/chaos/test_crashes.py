"""A cast of three steps, killed at every call that its functions make: the real handlers, around them `aws.py`.

One step draws at once, one has a provider that calls back, one is polled; the account has a daily budget, a WebSocket
is open, and the caster has a webhook.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Iterator
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
Kills = Collection[tuple[int, When]]


@pytest.fixture(scope="module")
def begin() -> Iterator[Callable[[], Aws]]:
    with aws() as begin:
        yield begin


def cast(begin: Callable[[], Aws], kills: Kills) -> Aws:
    """The deployment after one cast under these kills."""
    world = begin()
    world.add_spell(STEPS)
    world.chokepoint.arm(kills)
    webhook = {"webhookUrl": f"{ADDRESSES['caster']}/hook", "webhookSecret": WEBHOOK_SECRET}
    answer = world.request("POST", "/v1/casts", {"spell": SPELL, **webhook}, key="order-1")
    assert answer["statusCode"] in (200, 202), answer
    world.run()
    return world


def history_of(world: Aws) -> History:
    """What is left of the deployment's one cast."""
    written = list(world.written())
    casts = [record for record in written if isinstance(record, Cast)]
    generations = [record for record in written if isinstance(record, Generation)]
    found = casts[-1]
    asked = Counter(f"{found.cast_id}.{SERVICES.index(service)}.1" for service in world.providers.asked)
    day = world.days.get_day(ACCOUNT, world.start.strftime("%Y-%m-%d"))
    return History(
        casts=casts,
        generations=generations,
        asked=asked,
        jobs={f"{found.cast_id}.{SERVICES.index(job.service)}.1": name for name, job in world.providers.jobs.items()},
        announced=world.announced(),
        ledger=list(world.ledger.all_rows(ACCOUNT, start="0", end=None)),
        held=day.held,
        day_usd=day.total_usd,
        told=f"killed: {world.chokepoint.killed}",
    )


def check(world: Aws) -> History:
    """The invariants, and what else nobody may have left open or undone."""
    history = history_of(world)
    told = history.told
    assert len({record.cast_id for record in history.casts}) == 1, told
    invariants.check(history)
    invariants.ended_in_time(history)
    for generation in history.latest.values():
        is_completed = generation.status == "completed"
        assert generation.cost_usd == (COSTS[generation.service_name] if is_completed else 0), told
        if is_completed and generation.result is not None:
            for _, item in media_items(generation.result.payload):
                assert item["url"].startswith("s3:"), told
    if history.cast.status == "completed":
        assert history.cast.cost_usd == TOTAL, told
    else:
        assert history.cast.failure is not None and history.cast.failure.code in UNAVOIDABLE, (told, history.cast)
    # The caster was told, always under the one id, and the record knows it.
    assert len({message_id for message_id, _ in world.providers.told}) == 1, told
    assert {body["status"] for _, body in world.providers.told} == {history.cast.status}, told
    assert history.cast.delivery is not None and history.cast.delivery.status == "sent", told
    assert not world.dead_letters, told
    assert {execution.status for execution in world.executions.known.values()} <= {"SUCCEEDED", "FAILED"}, told
    held = world.leases.get_leases("comfyui#jobs").held
    assert all(expiry <= world.clock.now() for expiry in held.values()), told
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
    history = check(world)
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
        history = check(world)
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


def test_two_crashes_of_the_real_functions_are_no_worse(begin: Callable[[], Aws], defends: Defends) -> None:
    chance = random.Random(SEED)
    calls = cast(begin, []).chokepoint.calls
    # A cold start more makes the run a few calls longer.
    pairs = [sorted(chance.sample(range(1, len(calls) + 8), 2)) for _ in range(size(40, 1_000))]
    for pair in pairs:
        check(cast(begin, [(number, chance.choice(MOMENTS)) for number in pair]))
    defends(ALL, "two processes die at a call each", f"{len(pairs)} sampled pairs, real functions")


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
