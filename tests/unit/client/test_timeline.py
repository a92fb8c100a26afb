"""A cast as it is shown: its times as bars, what happens as lines and as a table."""

from __future__ import annotations

import io
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from rich.console import Console

from spellcast.domain.casts import Cast as CastRecord
from spellcast.domain.generations import Generation
from spellcast.domain.graphs import cast_timeline
from spellcast.domain.resources import cast_resource
from spellcast_client.cli.board import Board, shown_live, told
from spellcast_client.cli.tables import PlainConsole
from spellcast_client.cli.timeline import shown, spans
from spellcast_client.live import Message
from spellcast_client.models import Cast
from tests.fakes.clock import START
from tests.fakes.records import a_cast, a_generation, in_seconds

ENDS = {"completed": "completedAt", "failed": "failedAt", "cancelled": "cancelledAt"}


def at(second: float) -> str:
    return (START + timedelta(seconds=second)).isoformat()


def step(
    index: int, begun: float, answered: float | None = None, ran: float | None = None, **more: Any
) -> dict[str, Any]:
    known = {
        "generationId": f"c.{index}.{more.get('attempt', 1)}",
        "castId": "c",
        "spellId": "s",
        "stepIndex": index,
        "stepId": f"n{index}",
        "attempt": 1,
        "toolId": f"tool-{index}",
        "toolDisplayName": f"Tool {index}",
        "serviceName": "fake",
        "status": "processing" if answered is None else "completed",
        "revision": 1,
        "costUsd": "0.0004",
        "pointsSpent": 1,
        "requestTimestamp": at(begun),
        "deliveryStrategy": "spell_step",
        "deliveryStatus": "pending",
        "durationMs": None if ran is None else round(ran * 1000),
    }
    return {**known, **({} if answered is None else {"responseTimestamp": at(answered)}), **more}


def cast(*steps: dict[str, Any], status: str = "completed", ended: float = 20, **more: Any) -> Cast:
    known = {
        "castId": "c",
        "spellId": "s",
        "spellSlug": "a-cat",
        "spellName": "A cat",
        "version": 1,
        "status": status,
        "revision": 1,
        "stepCount": 2,
        "stepGenerationIds": [],
        "costUsd": "0.0008",
        "pointsSpent": 2,
        "startedAt": at(0),
        "updatedAt": at(ended),
        **({ENDS[status]: at(ended)} if status in ENDS else {}),
    }
    return Cast.model_validate({**known, "generations": list(steps), **more})


def record(index: int, asked: float, answered: float | None = None, **changes: Any) -> Generation:
    known: dict[str, Any] = {"step_index": index, "step_id": f"n{index}", "request_timestamp": in_seconds(asked)}
    if answered is not None:
        known |= {"status": "completed", "response_timestamp": in_seconds(answered)}
    return a_generation(**{**known, **changes})


def over(end: float, status: str = "completed", **changes: Any) -> CastRecord:
    return a_cast(status=status, updated_at=in_seconds(end + 3), **{f"{status}_at": in_seconds(end)}, **changes)


TIMELINES = {
    "both steps": (over(20), [record(0, 1, 5, duration_ms=4000), record(1, 6, 18, duration_ms=12000)]),
    "the provider's queue": (over(20), [record(0, 1, 9, duration_ms=3000), record(1, 10, 18, duration_ms=2000)]),
    "more than there was": (over(20), [record(0, 1, 5, duration_ms=60000)]),
    "a step runs": (a_cast(), [record(0, 1, 5), record(1, 6, status="processing")]),
    "a job is queued": (a_cast(), [record(0, 1, 5), record(1, 6, status="pending")]),
    "a step in place is pending": (a_cast(), [record(0, 1, status="pending", delivery_mode="immediate")]),
    "a step failed": (over(20, "failed"), [record(0, 1, 5, status="failed")]),
    "a cast was cancelled": (over(20, "cancelled"), [record(0, 1, 5), record(1, 6, 7, status="cancelled")]),
    "resumed an hour later": (
        over(3613, resumed_at=in_seconds(3609), attempt=2),
        [record(0, 1, 5), record(1, 6, 7, status="failed"), record(1, 3610, 3612, attempt=2)],
    ),
    "all of it again": (
        over(100, resumed_at=in_seconds(50), attempt=2),
        [record(0, 1, 5), record(1, 6, 7), record(0, 51, 60, attempt=2), record(1, 61, 99, attempt=2)],
    ),
    "a clock that is behind": (a_cast(), [record(0, -1, status="processing")]),
    "an answer that came after the end": (over(4, "cancelled"), [record(0, 1, 5, status="cancelled")]),
    "nothing has begun": (a_cast(), []),
}


@pytest.mark.parametrize("named", TIMELINES)
def test_the_phases_are_those_of_the_apis_pictures(named: str) -> None:
    cast, generations = TIMELINES[named]
    now = in_seconds(30)
    wanted = [
        (bar.generation_id, list(bar.phases)) for bars in cast_timeline(cast, generations, now).attempts for bar in bars
    ]
    shown = []
    for span in spans(Cast.model_validate(cast_resource(cast, reversed(generations))), now):
        points = pairwise((span.begins, span.runs, span.answers, span.ends))
        phases = [(name, *ends) for name, ends in zip(("waiting", "running", "processing"), points, strict=True)]
        shown.append((span.generation.generation_id, [phase for phase in phases if phase[1] < phase[2]]))
    assert shown == wanted


def test_what_the_webhook_does_afterwards_takes_no_time() -> None:
    said = text(cast(step(0, 1, 5, 4), step(1, 6, 18, 12), updatedAt=at(500)))
    assert said.count("20.00 s") == 2


def text(found: Cast, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(shown(found, START + timedelta(seconds=20)))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [30, 60, 100, 200])
def test_the_bars_lie_where_their_times_are(width: int) -> None:
    said = text(cast(step(0, 1, 9, 3), step(1, 10, 18, 8)), width)
    assert all(mark in said for mark in "░█▒")
    assert max(map(len, said.splitlines())) <= width


def test_costs_are_shown_to_the_last_digit() -> None:
    said = text(cast(step(0, 1, 5, 4), step(1, 6, 18, 12)))
    assert said.count("$0.0004") == 2
    assert "$0.0008" in said


def test_outputs_are_texts_and_links() -> None:
    outputs = {"images": [{"url": "https://x.example/a.png"}], "text": "[bold]hello", "n": 3}
    said = text(cast(step(0, 1, 5, 4, outputs=outputs), step(1, 6, 18, 12, truncated=True)))
    assert "https://x.example/a.png" in said
    assert "[bold]hello" in said
    assert "n: 3" in said
    assert "too large" in said


@pytest.mark.parametrize(
    ("output", "is_opened"),
    [
        ("https://x.example/" + "a" * 200, True),
        ("https://x.example/a.png is a picture", False),
        ("https://x.example/\x1b]8;;https://y.example", False),
        ("a cat", False),
    ],
)
def test_a_terminal_opens_an_address_that_is_broken_over_lines(output: str, is_opened: bool) -> None:
    console = Console(file=io.StringIO(), width=60, force_terminal=True, highlight=False)
    console.print(shown(cast(step(0, 1, 5, 4, outputs={"text": output})), START))
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert (f";{output}\x1b\\" in said) is is_opened


def test_an_output_does_nothing_to_the_terminal() -> None:
    console = PlainConsole(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    console.print(shown(cast(step(0, 1, 5, 4, outputs={"text": "a\x1b]0;title\x07b\r\x9bHc\n\td"}))))
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert "a]0;titlebHc" in said and "d" in said
    assert not {"\x1b", "\x07", "\r", "\x9b"} & set(said)


def test_a_failure_says_its_cause_and_what_can_be_done() -> None:
    error = {"code": "PROVIDER_UNAVAILABLE", "message": "It is down.", "retryable": True}
    failure = {"stepIndex": 0, "stepId": "n0", "generationId": "c.0.1", "code": error["code"], "message": "It is down."}
    said = text(cast(step(0, 1, 5, 4, status="failed", error=error), status="failed", failure=failure))
    assert "It failed in step 1 (n0): It is down. [PROVIDER_UNAVAILABLE]" in said
    assert "may succeed later" in said
    assert "spellcast resume c --watch" in said
    assert "spellcast retry c.0.1 --input NAME=TEXT --watch" in said
    assert "not begun" in said


@pytest.mark.parametrize(
    ("code", "message", "more", "hints"),
    [
        (
            "BUDGET_EXCEEDED",
            "$0.0004 of the budget of $0.001 are spent, and Paid ($5.) is expected to cost $0.0105.",
            {"budgetUsd": "0.001"},
            ["resume c --budget 0.0109 --watch"],
        ),
        ("BUDGET_EXCEEDED", "It is too much.", {"budgetUsd": "0.001"}, ["resume c --budget USD --watch"]),
        ("BUDGET_EXCEEDED", "$1 of the account's budget of $1 for …", {}, ["On another day", "resume c --watch"]),
        ("MISSING_INPUTS", "Step 0 (T) has no value for: a.b, c.", {}, ["retry c.0.2 --input a.b=TEXT --input c=TEXT"]),
        ("INVALID_STEP_INPUT", "Step 0 (T) cannot take its inputs: seed is …", {}, ["retry c.0.2 --input NAME=TEXT"]),
        ("JOB_FAILED", "It broke.", {}, ["resume c --watch", "retry c.0.2 --input NAME=TEXT"]),
    ],
)
def test_what_is_advised_can_help(code: str, message: str, more: dict[str, Any], hints: list[str]) -> None:
    error = {"code": code, "message": message, "retryable": False}
    failure = {"stepIndex": 0, "stepId": "n0", "generationId": "c.0.2", "code": code, "message": message}
    again = step(0, 6, 8, 2, attempt=2, generationId="c.0.2", status="failed", error=error)
    first = step(0, 1, 5, 4, status="failed", error={**error, "code": "OTHER"})
    said = text(cast(again, first, status="failed", failure=failure, **more), 200)
    assert all(hint in said for hint in hints)
    assert ("retry" in said) == any("retry" in hint for hint in hints)
    assert ("resume" in said) == any("resume" in hint for hint in hints)


def test_a_cast_without_a_record_of_its_step_is_cast_anew() -> None:
    failure = {"code": "MISSING_INPUTS", "message": "Step 0 (T) has no value for: a."}
    assert "spellcast cast a-cat --input NAME=TEXT" in text(cast(status="failed", failure=failure))


def test_the_attempt_stands_where_the_name_has_no_room() -> None:
    long = {"toolDisplayName": "ComfyUI Text to Image (SDXL)"}
    said = text(cast(step(0, 1, 5, 4, **long), step(0, 6, 18, 12, attempt=2, **long)))
    assert "ComfyUI Tex… (attempt 2)" in said
    assert "ComfyUI Text to Image (…" in said


def test_the_outputs_are_those_of_the_attempt_that_counts() -> None:
    attempts = [
        step(
            index,
            10 * attempt + index,
            10 * attempt + index + 1,
            attempt=attempt,
            outputs={"text": f"{index}.{attempt}"},
        )
        for attempt, index in [(1, 0), (1, 1), (1, 2), (2, 1), (3, 0), (3, 1)]
    ]
    said = text(cast(*attempts, stepCount=3)).partition("Outputs")[2]
    assert [word for word in said.split() if word[1:2] == "."] == ["0.3", "1.3"], "step 3 is to be run again"


def message(kind: str, **payload: Any) -> Message:
    return Message(kind, {"castId": "c", **payload}, START + timedelta(seconds=2))


MESSAGES = [
    (Message("castSnapshot", cast(step(0, 1), status="running").document(), START), "the cast is running"),
    (
        message("generationProgress", generationId="c.0.1", stepIndex=0, toolId="t", status="running", progress=0.475),
        "step 1  t  Running… 48%",
    ),
    (
        message("generationProgress", generationId="c.0.1", stepIndex=0, toolId="t", status="queued", progress=None),
        "step 1  t  Queued…",
    ),
    (
        message("generationUpdate", generationId="c.0.1", stepIndex=0, toolId="t", status="failed", error="It broke."),
        "step 1  t  failed: It broke.",
    ),
    (message("tool-response", generationId="c.0.1", toolId="t", output="a" * 99), f't  "{"a" * 58}…'),
    (message("castUpdate", status="failed", failureReason="It broke."), "the cast is failed: It broke."),
]


@pytest.mark.parametrize(("heard", "line"), MESSAGES)
def test_a_message_is_a_line(heard: Message, line: str) -> None:
    assert told(heard) == line


@pytest.mark.parametrize("is_terminal", [True, False])
def test_what_is_watched_is_a_table_or_lines(is_terminal: bool) -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=is_terminal, highlight=False)
    assert shown_live(console, [heard for heard, _ in MESSAGES]) is MESSAGES[-1][0]
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert ("the cast is failed" in said) != is_terminal
    assert ("Tool 0" in said) == is_terminal


def test_a_revision_that_says_nothing_new_is_no_line() -> None:
    console = Console(file=io.StringIO(), width=100, highlight=False)
    shown_live(console, [MESSAGES[0][0], *[MESSAGES[-1][0]] * 2])
    assert isinstance(console.file, io.StringIO)
    assert [line.split("  ")[-1] for line in console.file.getvalue().splitlines()] == [
        "the cast is running",
        "the cast is failed: It broke.",
    ]


def test_the_table_shows_the_latest_attempt() -> None:
    board = Board()
    board.hear(MESSAGES[0][0])
    later = step(0, 3, attempt=2, toolDisplayName="Other")
    board.hear(Message("castSnapshot", cast(later, step(0, 1, 2, 1), status="running").document(), START))
    console = Console(file=io.StringIO(), width=100)
    console.print(board)
    assert isinstance(console.file, io.StringIO)
    assert "Other" in console.file.getvalue()
    assert "not begun" in console.file.getvalue()
