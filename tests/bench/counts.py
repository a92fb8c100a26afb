"""What one cast makes AWS bill, counted by the embedded cloud, and the list price that follows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.bench.prices import Billed
from tests.bench.shapes import Shape
from tests.cloud import Cloud, Document

_PREFIX = "spellcast-local-"
_PATIENCE = 120.0


@dataclass(frozen=True)
class Counted(Billed):
    """One cast's counts; `transitions` are of both machines, `reads` the requests behind the read units."""

    name: str
    delivery: str
    steps: int
    segments: int
    jobs: int
    polls: int
    poll_transitions: int
    machine_invocations: int
    generation_writes: int
    generation_units: float
    cast_writes: int
    cast_units: float
    reads: int
    largest_payload: int
    seconds: float

    @property
    def cast_transitions(self) -> int:
        """Of the cast's own machine."""
        return self.transitions - self.poll_transitions

    @property
    def completions(self) -> int:
        """How often a job was heard of."""
        return self.calls.get("complete_job", 0)


def count(cloud: Cloud, shape: Shape, warm: bool = True) -> Counted:
    """Runs one cast of such a spell on an otherwise idle cloud; `warm` runs another one before it."""
    spell = cloud.spell(*shape.steps)
    if warm:
        cloud.reset_counts()
        cloud.cast(spell)
        _settle(cloud)
    cloud.reset_counts()
    began = time.perf_counter()
    cast = cloud.cast(spell)
    counts = _settle(cloud)
    seconds = time.perf_counter() - began
    ended = cloud.get_cast(cast)
    assert ended["status"] == "completed", ended
    states, callers = counts["statesEntered"], counts["invocations"]
    writes = counts["writesByEntity"]
    poll_transitions = int(states.get("spellcast-poll-local", 0))
    return Counted(
        transitions=int(states["spellcast-cast-local"]) + poll_transitions,
        calls={name.removeprefix(_PREFIX): int(sum(by.values())) for name, by in sorted(callers.items())},
        write_units=sum(entity["units"] for entity in writes.values()),
        read_units=counts["readUnits"],
        events=int(counts["putEvents"]),
        http=int(sum(by.get("http", 0) for by in callers.values())),
        name=shape.name,
        delivery=shape.delivery,
        steps=len(shape.steps),
        segments=shape.segments,
        jobs=shape.jobs,
        polls=int(callers.get(f"{_PREFIX}poll_job", {}).get("machine", 0)),
        poll_transitions=poll_transitions,
        machine_invocations=int(
            sum(by.get("machine", 0) for function, by in callers.items() if not function.endswith("poll_job"))
        ),
        generation_writes=int(writes["GENERATION"]["requests"]),
        generation_units=writes["GENERATION"]["units"],
        cast_writes=int(sum(writes[entity]["requests"] for entity in ("CAST", "SPELL") if entity in writes)),
        cast_units=writes["CAST"]["units"],
        reads=int(counts["readRequests"]),
        largest_payload=int(max(size for sizes in counts["payloadBytes"].values() for size in sizes.values())),
        seconds=seconds,
    )


@contextmanager
def undisturbed(cloud: Cloud, waits: float = 0.1) -> Iterator[None]:
    """No sweeps, and the machines wait that part of the seconds that they are told to: as many polls in less time."""
    events = cloud.aws("events")
    rules = [rule["Name"] for rule in events.list_rules()["Rules"] if rule.get("ScheduleExpression")]
    assert rules
    for rule in rules:
        events.disable_rule(Name=rule)
    _set_waits(cloud, waits)
    try:
        yield
    finally:
        _set_waits(cloud, 1)
        for rule in rules:
            events.enable_rule(Name=rule)


def _set_waits(cloud: Cloud, part: float) -> None:
    address = f"{cloud.outputs['endpointUrl']}/_ministack/config"
    answer = httpx.post(address, json={"stepfunctions._SFN_WAIT_SCALE": part}).raise_for_status()
    assert answer.json()["applied"], answer.text


def _settle(cloud: Cloud) -> Document:
    """The counts once nothing moves any more: the stream's last revisions are announced after the cast has ended."""
    deadline = time.monotonic() + _PATIENCE
    before: Any = None
    while time.monotonic() < deadline:
        counts = cloud.counts()
        done = counts["statesEnteredByState"].get("spellcast-cast-local", {}).get("Cast completed")
        if done and counts == before:
            return counts
        before = counts
        time.sleep(0.3)
    raise AssertionError("the cloud did not come to rest")
