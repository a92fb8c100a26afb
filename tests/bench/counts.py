"""What one cast makes AWS bill, counted by the embedded cloud, and the list price that follows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tests.cloud import Cloud, Document, called, drawn, words

# List prices in us-east-1, US dollars (Lambda: arm64). A call is taken as 60 ms of the function's memory.
TRANSITION = Decimal("0.000025")
INVOCATION = Decimal("0.0000002")
GB_SECOND = Decimal("0.0000133334")
SECONDS_PER_INVOCATION = Decimal("0.06")
WRITE_UNIT = Decimal("0.000000625")
READ_UNIT = Decimal("0.000000125")
EVENT = Decimal("0.000001")
HTTP_REQUEST = Decimal("0.000001")
MEMORY_GB = {"execute_step": Decimal("0.5"), "cast_api": Decimal("0.5")}
_OTHER_MEMORY_GB = Decimal("0.25")
_PREFIX = "spellcast-local-"


@dataclass(frozen=True)
class Counted:
    """One cast's counts; `segments` is S of the budgets."""

    name: str
    segments: int
    polls: int
    transitions: int
    poll_transitions: int
    machine_invocations: int
    invocations: int
    generation_writes: int
    generation_units: float
    cast_writes: int
    cast_units: float
    write_units: float
    read_units: float
    events: int
    largest_payload: int
    usd_per_thousand: Decimal


def shapes() -> dict[str, tuple[list[Document], int]]:
    """Spells by name, and the segments that each has."""
    return {
        "1 immediate": ([words()], 1),
        "3 immediate": ([words(node=f"n{number}") for number in range(3)], 1),
        "10 immediate": ([words(node=f"n{number}") for number in range(10)], 1),
        "1 webhook": ([called()], 1),
        "3 webhook": ([called(node=f"n{number}") for number in range(3)], 3),
        "1 polled": ([drawn()], 1),
        "mixed": ([words(), drawn(), called(), words(node="last")], 3),
    }


def count(cloud: Cloud, name: str, steps: list[Document], segments: int) -> Counted:
    """Runs one cast of such a spell on an otherwise idle cloud."""
    spell = cloud.spell(*steps)
    cloud.reset_counts()
    cloud.cast(spell)
    _settle(cloud)
    cloud.reset_counts()
    cast = cloud.cast(spell)
    counts = _settle(cloud)
    ended = cloud.get_cast(cast)
    assert ended["status"] == "completed", ended
    states, calls = counts["statesEntered"], counts["invocations"]
    writes = counts["writesByEntity"]
    return Counted(
        name=name,
        segments=segments,
        polls=calls.get(f"{_PREFIX}poll_job", {}).get("machine", 0),
        transitions=states["spellcast-cast-local"],
        poll_transitions=states.get("spellcast-poll-local", 0),
        machine_invocations=sum(
            callers.get("machine", 0) for function, callers in calls.items() if not function.endswith("poll_job")
        ),
        invocations=int(sum(sum(callers.values()) for callers in calls.values())),
        generation_writes=writes["GENERATION"]["requests"],
        generation_units=writes["GENERATION"]["units"],
        cast_writes=sum(writes[entity]["requests"] for entity in ("CAST", "SPELL") if entity in writes),
        cast_units=writes["CAST"]["units"],
        write_units=sum(entity["units"] for entity in writes.values()),
        read_units=counts["readUnits"],
        events=counts["putEvents"],
        largest_payload=max(size for sizes in counts["payloadBytes"].values() for size in sizes.values()),
        usd_per_thousand=_price(counts) * 1000,
    )


def _price(counts: Document) -> Decimal:
    transitions = sum(counts["statesEntered"].values())
    calls = {function: sum(callers.values()) for function, callers in counts["invocations"].items()}
    gb_seconds = sum(
        number * MEMORY_GB.get(function.removeprefix(_PREFIX), _OTHER_MEMORY_GB) * SECONDS_PER_INVOCATION
        for function, number in calls.items()
    )
    http = sum(callers.get("http", 0) for callers in counts["invocations"].values())
    units = sum(entity["units"] for entity in counts["writesByEntity"].values())
    price: Decimal = (
        TRANSITION * transitions
        + INVOCATION * sum(calls.values())
        + GB_SECOND * gb_seconds
        + WRITE_UNIT * Decimal(units)
        + READ_UNIT * Decimal(counts["readUnits"])
        + EVENT * int(counts["putEvents"])
        + HTTP_REQUEST * http
    )
    return price


def _settle(cloud: Cloud) -> Document:
    """The counts once nothing moves any more: the stream's last revisions are announced after the cast has ended."""
    deadline = time.monotonic() + 30
    before: Any = None
    while time.monotonic() < deadline:
        counts = cloud.counts()
        done = counts["statesEnteredByState"].get("spellcast-cast-local", {}).get("Cast completed")
        if done and counts == before:
            return counts
        before = counts
        time.sleep(0.3)
    raise AssertionError("the cloud did not come to rest")
