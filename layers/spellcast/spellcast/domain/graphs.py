"""What a picture of a spell or a cast shows: its steps, the wires between them, and how long each of them took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Literal

from spellcast.domain import money
from spellcast.domain.casts import Cast
from spellcast.domain.generations import Generation
from spellcast.domain.spells import SpellVersion, Step

Phase = Literal["waiting", "running", "processing"]
CASTER = "The caster"
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Node:
    """A box: a step, or the caster. `status` and `note` tell of a cast and are empty otherwise."""

    title: str
    caption: str
    status: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """From one node to another, by their positions; one without a label only says which comes next."""

    start: int
    end: int
    label: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in the order of their execution, the caster first where it may set anything."""

    title: str
    nodes: Sequence[Node]
    edges: Sequence[Edge]


@dataclass(frozen=True, slots=True)
class Bar:
    """An attempt at a step: the times between which it waited, ran and was processed. Phases of no length are left out.

    Waiting lasts until the provider works, running until its result is here, processing until the next step is begun.
    """

    generation_id: str
    step_index: int
    title: str
    status: str
    phases: Sequence[tuple[Phase, datetime, datetime]]

    @property
    def seconds(self) -> float:
        """From the first phase to the last."""
        return (self.phases[-1][2] - self.phases[0][1]).total_seconds() if self.phases else 0.0


@dataclass(frozen=True, slots=True)
class Timeline:
    """A cast's bars, in one list for each time that the caster had steps run."""

    title: str
    attempts: Sequence[Sequence[Bar]]


def spell_graph(version: SpellVersion, names: Mapping[str, str]) -> Graph:
    """The steps of a version; `names` has the tools' display names by the identifiers that steps use."""
    steps = version.steps
    nodes = [Node(names.get(step.tool_identifier, step.tool_identifier), step.step_id) for step in steps]
    return _with_edges(version.name, nodes, steps, version.exposed)


def cast_graph(
    cast: Cast, version: SpellVersion | None, generations: Iterable[Generation], names: Mapping[str, str]
) -> Graph:
    """The steps of a cast, with what became of each; without its version they are what their records say."""
    steps = version.steps if version else []
    current = cast.current(generations)
    nodes = []
    for position in range(cast.step_count):
        done = current.get(position)
        if done is not None:
            note = _note(done)
            nodes.append(Node(done.tool_display_name, done.step_id, done.status, note))
        elif position < len(steps):
            step = steps[position]
            nodes.append(Node(names.get(step.tool_identifier, step.tool_identifier), step.step_id, "open"))
        else:
            nodes.append(Node(f"Step {position + 1}", "", "open"))
    return _with_edges(cast.spell_name, nodes, steps, version.exposed if version else {})


def cast_timeline(cast: Cast, generations: Iterable[Generation], now: datetime) -> Timeline:
    """When every attempt waited, ran and was processed; what is not over lasts until now."""
    ordered = sorted(generations, key=lambda item: (item.attempt, item.step_index))
    attempts = [list(group) for _, group in groupby(ordered, key=lambda item: item.attempt)]
    bars = []
    for group in attempts:
        begins = [item.request_timestamp for item in group]
        if group is attempts[0]:
            begins[0] = min(cast.started_at, begins[0])
        # When a cast that was resumed had ended before is not known.
        ends = [*begins[1:], (cast.ended_at or now) if group is attempts[-1] else None]
        bars.append([_bar(item, begin, end, now) for item, begin, end in zip(group, begins, ends, strict=True)])
    return Timeline(cast.spell_name, bars)


def _bar(item: Generation, ready: datetime, following: datetime | None, now: datetime) -> Bar:
    asked, answered = item.request_timestamp, item.response_timestamp or item.received_at
    end = answered or max(now, asked)
    if item.duration_ms is not None:
        # The clock of a provider may run faster than ours.
        begun = max(asked, end - timedelta(milliseconds=item.duration_ms))
    else:
        begun = end if item.status == "pending" and item.delivery_mode != "immediate" else asked
    phases: list[tuple[Phase, datetime, datetime]] = [("waiting", ready, begun), ("running", begun, end)]
    if answered and following:
        phases.append(("processing", answered, following))
    title = f"{item.step_index + 1} {item.tool_display_name}"
    lasting = [phase for phase in phases if phase[1] < phase[2]]
    return Bar(item.generation_id, item.step_index, title, item.status, lasting)


def _note(done: Generation) -> str:
    cost = f"${money.to_text(done.cost_usd)}"
    return cost if done.duration_ms is None else f"{done.duration_ms / 1000:.1f} s · {cost}"


def _with_edges(
    title: str, nodes: list[Node], steps: Sequence[Step], exposed: Mapping[tuple[str, str], object]
) -> Graph:
    """The wires, one edge for all between the same two; a dotted one where a step only comes next."""
    positions = {step.step_id: position for position, step in enumerate(steps)}
    labels: dict[tuple[int, int], list[str]] = {}
    for node_id, parameter in exposed:
        if node_id in positions:
            labels.setdefault((-1, positions[node_id]), []).append(parameter)
    first = 1 if labels else 0
    for end, step in enumerate(steps):
        for parameter, mapping in {**step.parameter_mappings, **step.parameter_overrides}.items():
            if not (isinstance(mapping, dict) and mapping.get("type") == "nodeOutput"):
                continue
            start = positions.get(str(mapping.get("nodeId")), end)
            if start < end:
                labels.setdefault((start, end), []).append(f"{mapping.get('outputKey')} → {parameter}")
    for end in range(1, len(nodes)):
        labels.setdefault((end - 1, end), [])
    edges = [Edge(start + first, end + first, _listed(names)) for (start, end), names in sorted(labels.items())]
    return Graph(title, [*([Node(CASTER, "")] if first else []), *nodes], edges)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
