"""A cast that is watched: a table that changes on a terminal, a line for each message elsewhere."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from spellcast_client.cli.tables import PlainTable, money, seconds, shortened, status, table
from spellcast_client.live import Message

_BAR = 30


def shown_live(console: Console, messages: Iterable[Message]) -> Message:
    """Shows messages until there are no more, and answers with the last. One that says nothing new is no line."""
    board = Board()
    if not console.is_terminal:
        said = ""
        for message in messages:
            board.hear(message)
            if (line := told(message)) != said:
                console.print(Text(f"{board.since_start(message.at):>10}  {line}"))
            said = line
        return message
    with Live(board, console=console, refresh_per_second=10, transient=True):
        for message in messages:
            board.hear(message)
    return message


def told(message: Message) -> str:
    """What a message says, in one line."""
    payload = message.payload
    step = f"step {payload['stepIndex'] + 1}  " if "stepIndex" in payload else ""
    match message.type:
        case "generationProgress":
            return f"{step}{payload['toolId']}  {progress_label(payload)}"
        case "generationUpdate":
            return f"{step}{payload['toolId']}  {payload['status']}" + (
                f": {payload['error']}" if payload.get("error") else ""
            )
        case "tool-response":
            return f"{payload['toolId']}  {shortened(json.dumps(payload.get('output'), ensure_ascii=False), 60)}"
        case _:
            reason = payload.get("failureReason")
            return f"the cast is {payload['status']}" + (f": {reason}" if reason else "")


def progress_label(payload: dict[str, Any]) -> str:
    """`Sampling… 47%`, and no percentage where the provider says none."""
    state = payload.get("liveStatus") or ("Queued…" if payload.get("status") == "queued" else "Running…")
    progress = payload.get("progress")
    return state if progress is None else f"{state} {math.floor(progress * 100 + 0.5)}%"


class Board:
    """The steps of one cast, as the last messages say."""

    def __init__(self) -> None:
        self._cast: dict[str, Any] = {}
        self._steps: dict[int, dict[str, Any]] = {}
        self._progress: dict[str, dict[str, Any]] = {}

    def hear(self, message: Message) -> None:
        """Takes a message in."""
        payload = message.payload
        match message.type:
            case "castSnapshot" | "castUpdate":
                self._cast.update(payload)
                for generation in payload.get("generations") or ():
                    self._hear_step(generation)
            case "generationUpdate":
                self._hear_step(payload)
            case "generationProgress":
                self._progress[payload["generationId"]] = payload

    def since_start(self, at: datetime) -> str:
        """For how long the cast runs."""
        started = datetime.fromisoformat(self._cast["startedAt"]) if "startedAt" in self._cast else at
        return seconds(max((at - started).total_seconds(), 0))

    def __rich__(self) -> PlainTable:
        shown = table("", "step", "", "", "cost", show_header=False)
        for index in range(self._cast.get("stepCount", 0)):
            step = self._steps.get(index)
            if step is None:
                shown.add_row(str(index + 1), Text("not begun", style="dim"))
                continue
            shown.add_row(str(index + 1), step.get("toolDisplayName") or step["toolId"], *self._state(step))
        cost = sum(map(_cost, self._steps.values()), Decimal(0))
        shown.add_row("", self.since_start(datetime.now(UTC)), "", status(self._cast.get("status", "")), money(cost))
        return shown

    def _state(self, step: dict[str, Any]) -> tuple[Any, Any, str]:
        if step["status"] not in ("pending", "processing"):
            return "", status(step["status"]), money(_cost(step))
        progress = self._progress.get(step["generationId"])
        done = progress.get("progress") if progress else None
        bar = ProgressBar(total=None if done is None else 1.0, completed=done or 0, width=_BAR, pulse=done is None)
        return bar, Text(progress_label(progress) if progress else step["status"], style="cyan"), ""

    def _hear_step(self, generation: dict[str, Any]) -> None:
        known = self._steps.get(generation["stepIndex"], {})
        if known.get("generationId") == generation["generationId"]:
            generation = {**known, **generation}
        if _attempt(generation) >= _attempt(known):
            self._steps[generation["stepIndex"]] = generation


def _attempt(generation: dict[str, Any]) -> int:
    return int(generation["generationId"].rpartition(".")[2]) if generation else 0


def _cost(generation: dict[str, Any]) -> Decimal:
    return Decimal(generation.get("costUsd") or 0)
