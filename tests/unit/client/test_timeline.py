"""A cast as it is shown: its times as bars, what happens as lines and as a table."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from spellcast_client.cli.board import Board, shown_live, told
from spellcast_client.cli.tables import PlainConsole
from spellcast_client.cli.timeline import shown, spans
from spellcast_client.live import Message
from spellcast_client.models import Cast

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
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


def times(found: Cast, now: float = 20) -> list[tuple[float, ...]]:
    moment = START + timedelta(seconds=now)
    return [
        tuple((point - START).total_seconds() for point in (span.begins, span.runs, span.answers, span.ends))
        for span in spans(found, moment)
    ]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (cast(step(0, 1, 5, 4), step(1, 6, 18, 12)), [(0, 1, 5, 6), (6, 6, 18, 20)]),
        # The provider's own time leaves the rest for its queue.
        (cast(step(0, 1, 9, 3), step(1, 10, 18, 2)), [(0, 6, 9, 10), (10, 16, 18, 20)]),
        # More than there was.
        (cast(step(0, 1, 5, 60)), [(0, 1, 5, 20)]),
        (cast(step(0, 1, 5, 4), step(1, 6), status="running"), [(0, 1, 5, 6), (6, 6, 20, 20)]),
        (cast(step(0, 1, 5, 4, status="failed"), status="failed"), [(0, 1, 5, 5)]),
        # Resumed an hour later: nobody worked on the first step's answer until then.
        (
            cast(step(1, 3610, 3612, 2), step(0, 1, 5, 4), ended=3613, resumedAt=at(3609)),
            [(0, 1, 5, 5), (3610, 3610, 3612, 3613)],
        ),
        (cast(), []),
    ],
)
def test_each_step_waits_runs_and_is_processed(found: Cast, expected: list[tuple[float, ...]]) -> None:
    assert times(found) == expected


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
