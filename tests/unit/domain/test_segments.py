from __future__ import annotations

from itertools import zip_longest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain.segments import (
    CAST_MARGIN_SECONDS,
    IMMEDIATE_SECONDS_PER_SEGMENT,
    OUTPUT_SECONDS,
    SEGMENT_MARGIN_SECONDS,
    Segment,
    cast_seconds,
    plan_rest,
    plan_segments,
    waiting_ends,
)
from spellcast.domain.tools import Tool, parse_tool
from tests.fakes.clock import START
from tests.fakes.records import a_generation, in_seconds, tool_document


def tool(mode: str, seconds: int | None = None) -> Tool:
    return parse_tool(tool_document(deliveryMode=mode, deadlineSeconds=seconds))


NOW, JOB, HOOK = tool("immediate"), tool("async"), tool("webhook")


def now(seconds: int) -> Tool:
    return tool("immediate", seconds)


@pytest.mark.parametrize(
    ("tools", "segments"),
    [
        pytest.param([], [], id="no step"),
        pytest.param([NOW], [(0, 0, 1, 75)], id="one immediate step"),
        pytest.param([NOW, NOW, NOW], [(0, 2, 1, 195)], id="a run of immediate steps is one segment"),
        pytest.param([JOB], [(0, 0, 1, 915)], id="one job"),
        pytest.param([HOOK, HOOK], [(0, 0, 1, 915), (1, 1, 1, 915)], id="every job ends its segment"),
        pytest.param([NOW, NOW, JOB], [(0, 2, 1, 1035)], id="immediate steps ride along before a job"),
        pytest.param([JOB, NOW, NOW], [(0, 0, 1, 915), (1, 2, 1, 135)], id="those behind the last job are a segment"),
        pytest.param(
            [NOW, JOB, NOW, HOOK, NOW], [(0, 1, 1, 975), (2, 3, 1, 975), (4, 4, 1, 75)], id="the mixture of both"
        ),
        pytest.param([NOW] * 12, [(0, 11, 1, 735)], id="twelve minutes fit"),
        pytest.param([NOW] * 13, [(0, 11, 1, 735), (12, 12, 1, 75)], id="more than twelve minutes do not"),
        pytest.param([now(720), now(1)], [(0, 0, 1, 735), (1, 1, 1, 16)], id="the limit is of the sum"),
        pytest.param([NOW] * 12 + [JOB], [(0, 12, 1, 1635)], id="a job's deadline does not count for the limit"),
        pytest.param([tool("async", 3600)], [(0, 0, 1, 3615)], id="a tool may have a deadline of its own"),
    ],
)
def test_a_cast_is_planned_in_segments(tools: list[Tool], segments: list[tuple[int, int, int, int]]) -> None:
    assert plan_segments(tools) == [Segment(*segment) for segment in segments]


def test_a_resumed_cast_is_planned_from_its_failed_step() -> None:
    assert plan_segments([NOW, JOB, NOW, JOB], attempt=2, first=2) == [Segment(2, 3, 2, 975)]


@pytest.mark.parametrize(
    ("tools", "count"),
    [
        ([NOW], 1),
        ([NOW] * 10, 1),
        ([HOOK] * 3, 3),
        ([JOB] * 3, 3),
        ([HOOK] * 3 + [NOW], 4),
        ([NOW, HOOK, NOW, HOOK], 2),
    ],
)
def test_the_number_of_segments_is_the_one_that_the_budgets_count_with(tools: list[Tool], count: int) -> None:
    assert len(plan_segments(tools)) == count


TOOLS = st.builds(tool, st.sampled_from(["immediate", "async", "webhook"]), st.integers(1, 720))


@given(st.lists(TOOLS, min_size=1, max_size=30), st.integers(0, 5), st.integers(1, 3))
def test_segments_hold_every_step_once_in_order_and_a_job_only_at_the_end(
    tools: list[Tool], first: int, attempt: int
) -> None:
    segments = plan_segments(tools, attempt=attempt, first=first)
    assert [position for segment in segments for position in range(segment.first, segment.last + 1)] == list(
        range(first, len(tools))
    )
    for segment, following in zip_longest(segments, segments[1:]):
        own = tools[segment.first : segment.last + 1]
        immediate = sum(tool.deadline_seconds for tool in own if tool.is_immediate)
        assert all(tool.is_immediate for tool in own[:-1])
        assert immediate <= IMMEDIATE_SECONDS_PER_SEGMENT
        assert segment.timeout_seconds == sum(tool.deadline_seconds for tool in own) + SEGMENT_MARGIN_SECONDS
        assert segment.attempt == attempt
        if following is not None and own[-1].is_immediate:
            after = tools[following.first]
            assert after.is_immediate
            assert immediate + after.deadline_seconds > IMMEDIATE_SECONDS_PER_SEGMENT


@given(st.lists(TOOLS, max_size=30))
def test_a_cast_may_take_its_segments_deadlines_and_five_minutes(tools: list[Tool]) -> None:
    segments = plan_segments(tools)
    assert (
        cast_seconds(segments)
        == sum(segment.timeout_seconds + OUTPUT_SECONDS for segment in segments) + CAST_MARGIN_SECONDS
    )
    assert CAST_MARGIN_SECONDS == OUTPUT_SECONDS == 300


def test_no_segment_of_immediate_steps_outlasts_the_function_that_runs_it() -> None:
    assert all(segment.timeout_seconds <= 900 for segment in plan_segments([now(86_400)]))


@pytest.mark.parametrize(("before", "seconds"), [(0, 240), (60.5, 300.5), (915, 1155)])
def test_a_step_may_wait_for_four_minutes_and_for_what_those_before_it_did_not_need(
    before: float, seconds: float
) -> None:
    assert waiting_ends(START, before) == in_seconds(seconds)


@pytest.mark.parametrize(
    ("statuses", "attempt", "segments"),
    [
        pytest.param([], 1, [(0, 1, 1), (2, 2, 1)], id="nothing has begun"),
        pytest.param(["completed"], 1, [(1, 1, 1), (2, 2, 1)], id="the first step is done"),
        pytest.param(["completed", "processing"], 1, [(1, 1, 1), (2, 2, 1)], id="its job is taken up"),
        pytest.param(["completed", "failed"], 1, [(1, 1, 1), (2, 2, 1)], id="what failed is not retried"),
        pytest.param(["completed", "pending"], 2, [(1, 1, 2), (2, 2, 2)], id="a further attempt is taken up"),
        pytest.param(["completed", "completed"], 2, [(2, 2, 2)], id="later steps are under it"),
        pytest.param(["completed"] * 3, 1, [], id="nothing is left"),
    ],
)
def test_the_rest_of_a_cast_begins_with_its_first_step_that_is_not_completed(
    statuses: list[str], attempt: int, segments: list[tuple[int, int, int]]
) -> None:
    current = {index: a_generation(step_index=index, status=status) for index, status in enumerate(statuses)}
    assert [segment[:3] for segment in plan_rest([NOW, HOOK, NOW], current, attempt)] == segments
