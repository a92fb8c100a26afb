"""Planning a cast: which steps run together in one wait of the state machine.

Nothing else knows that a spell is a list; branches, conditions, maps and nested spells would enter here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from spellcast.domain.generations import Generation
from spellcast.domain.tools import Tool

# `execute_step` has 15 minutes (Lambda's limit); the immediate steps of one segment get 12 of them.
IMMEDIATE_SECONDS_PER_SEGMENT = 12 * 60
# The job's own deadline passes first, so that whoever looks after the machine's timeout finds it overdue.
SEGMENT_MARGIN_SECONDS = 15
# `process_output` copies what the segment's last step made.
OUTPUT_SECONDS = 5 * 60
CAST_MARGIN_SECONDS = 5 * 60
# Of these five minutes; the rest is for the machine's own retries.
WAITING_SECONDS = 4 * 60


class Segment(NamedTuple):
    """A run of immediate steps and at most one job step at its end; both positions included."""

    first: int
    last: int
    attempt: int
    timeout_seconds: int


def plan_segments(tools: Sequence[Tool], *, attempt: int = 1, first: int = 0) -> list[Segment]:
    """The segments of a cast whose steps use these tools, in order, from step `first` on."""
    segments: list[Segment] = []
    start, seconds = first, 0
    for position in range(first, len(tools)):
        tool = tools[position]
        deadline = tool.deadline_seconds
        if tool.is_immediate:
            deadline = min(deadline, IMMEDIATE_SECONDS_PER_SEGMENT)
            if seconds + deadline > IMMEDIATE_SECONDS_PER_SEGMENT:
                segments.append(Segment(start, position - 1, attempt, seconds + SEGMENT_MARGIN_SECONDS))
                start, seconds = position, 0
        seconds += deadline
        if not tool.is_immediate or position == len(tools) - 1:
            segments.append(Segment(start, position, attempt, seconds + SEGMENT_MARGIN_SECONDS))
            start, seconds = position + 1, 0
    return segments


def plan_rest(tools: Sequence[Tool], current: Mapping[int, Generation], attempt: int) -> list[Segment]:
    """What is left of a cast that was run in part: from its first step that is not completed, under its attempt.

    `current` are the generations that count, by their steps.

    Nothing is tried anew by it: a step that has begun is taken up, one that has failed fails its cast.
    """
    first = next((at for at in range(len(tools)) if at not in current or current[at].status != "completed"), len(tools))
    return plan_segments(tools, attempt=attempt, first=first)


def waiting_ends(started_at: datetime, seconds_before: float) -> datetime:
    """Until when a step may wait for its turn, so that its cast ends by its deadline.

    `seconds_before` is the time that the steps before it were given; what they did not need is for waiting, too.
    """
    return started_at + timedelta(seconds=seconds_before + WAITING_SECONDS)


def cast_seconds(segments: Sequence[Segment]) -> int:
    """How long a cast of these segments may take: their deadlines, the copying of outputs, and five minutes."""
    return sum(segment.timeout_seconds + OUTPUT_SECONDS for segment in segments) + CAST_MARGIN_SECONDS
