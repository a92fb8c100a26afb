"""A cast as it is shown: when each step waited, ran and was processed, what it made, what it cost, why it failed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise, zip_longest
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.style import Style
from rich.text import Text

from spellcast_client.cli.tables import PlainTable, facts, moment, money, seconds, shortened, status, table
from spellcast_client.models import Cast, Generation

_MARKS = (("waiting", "░", "dim"), ("running", "█", "cyan"), ("processing", "▒", "magenta"))
_NARROWEST, _WIDEST, _WIDEST_NAME = 8, 60, 24
_SHOWN_CHARACTERS = 2_000
# Failures after which the same inputs fail again, and what their messages tell of inputs and of US dollars.
_OF_INPUTS = ("INVALID_INPUT", "INVALID_STEP_INPUT", "MISSING_INPUTS", "ADDRESS_REFUSED")
_MISSING = re.compile(r"has no value for: ([^ ,]+(?:, [^ ,]+)*)\.$")
_SPENT = re.compile(
    r"^\$([0-9.]+) of the budget of \$[0-9.]+ are spent, .* expected to cost \$([0-9]+(?:\.[0-9]+)?)\.$"
)


@dataclass(frozen=True, slots=True)
class Span:
    """One attempt at a step: it waits (for its machine, for a place, in the provider's queue), runs, is processed."""

    generation: Generation
    begins: datetime
    runs: datetime
    answers: datetime
    ends: datetime

    @property
    def duration(self) -> float:
        """Seconds, all three together."""
        return (self.ends - self.begins).total_seconds()


def over_at(cast: Cast, now: datetime) -> datetime:
    """When it ended, or now; what its webhook does afterwards is no part of it."""
    ended = cast.completed_at or cast.failed_at or cast.cancelled_at
    return now if cast.status == "running" or ended is None else ended


def spans(cast: Cast, now: datetime) -> list[Span]:
    """Every attempt, in the order in which they began; the phases are those of the API's own pictures.

    A provider that says how long it ran leaves the rest of the time until its answer for its queue. What follows an
    answer until the next step begins, or until the cast has ended, is the work on it; when a cast that was resumed had
    ended before is not known.
    """
    generations = sorted(cast.generations or (), key=lambda item: (item.attempt, item.step_index))
    found: list[Span] = []
    for generation, following in zip_longest(generations, generations[1:]):
        asked, answered = generation.request_timestamp, generation.response_timestamp
        answers = answered or max(now, asked)
        if generation.duration_ms is not None:
            runs = max(asked, answers - timedelta(milliseconds=generation.duration_ms))
        else:
            runs = answers if _is_queued(generation) else asked
        ends = answers
        if answered and following is None:
            ends = over_at(cast, now)
        elif answered and following.attempt == generation.attempt:
            ends = following.request_timestamp
        begins = asked if found else min(cast.started_at, asked)
        found.append(Span(generation, begins, runs, answers, max(ends, answers)))
    return found


def _is_queued(generation: Generation) -> bool:
    """Whether its provider was asked and has not accepted it yet; a step in place is no job, and has no submission."""
    is_job = generation.metadata is not None and "submission" in (generation.metadata.model_extra or {})
    return generation.status == "pending" and is_job


def _counting(cast: Cast) -> list[Generation]:
    """The attempt that counts of each step, in their order: what stands before it is run again with all after it."""
    found: list[Generation] = []
    latest = 0
    for generation in sorted(cast.generations or (), key=lambda item: (item.step_index, -item.attempt)):
        if generation.attempt >= latest and all(item.step_index != generation.step_index for item in found):
            found.append(generation)
            latest = generation.attempt
    return found


@dataclass(frozen=True)
class Bar:
    """A span on the cast's time, as wide as there is room."""

    span: Span
    begins: datetime
    whole: float

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(_NARROWEST, _WIDEST)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        moments = (self.span.begins, self.span.runs, self.span.answers, self.span.ends)
        cells = [round((at - self.begins).total_seconds() / self.whole * width) for at in moments]
        if cells[0] == cells[3]:  # Whatever was, is seen.
            cells = [min(cells[0], width - 1)] * 2 + [min(cells[0], width - 1) + 1] * 2
        text = Text(" " * cells[0], no_wrap=True)
        for (_, mark, style), (left, right) in zip(_MARKS, pairwise(cells), strict=True):
            text.append(mark * (right - left), style)
        yield text


def shown(cast: Cast, now: datetime | None = None) -> Group:
    """All that a person wants to know of a cast."""
    parts: list[Any] = [_facts(cast), "", _timeline(cast, now or datetime.now(UTC)), ""]
    if outputs := list(_outputs(cast)):
        made = table(show_header=False)
        made.add_column(style="bold", no_wrap=True)
        made.add_column(overflow="fold")
        for step, output in outputs:
            made.add_row(step, _openable(output))
        parts += [Text("Outputs", style="bold"), made, ""]
    return Group(*parts, *_next_steps(cast))


def _facts(cast: Cast) -> PlainTable:
    return facts(
        spell=f"{cast.spell_name} ({cast.spell_slug}), version {cast.version}",
        cast=cast.cast_id,
        status=status("cancelling" if cast.status == "running" and cast.cancel_requested_at else cast.status),
        started=moment(cast.started_at),
        resumed=moment(cast.resumed_at),
        cost=f"{money(cast.cost_usd)} ({cast.points_spent} points)",
        budget=None if cast.budget_usd is None else money(cast.budget_usd),
        webhook=cast.delivery and cast.delivery.delivery_status,
        whole=cast.whole_url,
    )


def _timeline(cast: Cast, now: datetime) -> Group:
    attempts = spans(cast, now)
    over = over_at(cast, now)
    took = seconds(max((over - cast.started_at).total_seconds(), 0))
    last = max([over, *(span.ends for span in attempts)])
    whole = max((last - cast.started_at).total_seconds(), 0.001)
    rows = table("", "step", f"{took} in all", "took", "status", "cost")
    for column in (rows.columns[1], *rows.columns[3:]):
        column.no_wrap, column.overflow = True, "ellipsis"  # where there is little room, the bars give way
    rows.columns[1].max_width = _WIDEST_NAME
    for span in attempts:
        step = span.generation
        again = f" (attempt {step.attempt})" if step.attempt > 1 else ""
        rows.add_row(
            str(step.step_index + 1),
            shortened(step.tool_display_name, _WIDEST_NAME - len(again)) + again,
            Bar(span, cast.started_at, whole),
            seconds(span.duration),
            status(step.status),
            money(step.cost_usd),
        )
    begun = {span.generation.step_index for span in attempts}
    for index in sorted(set(range(cast.step_count)) - begun):
        rows.add_row(str(index + 1), Text("not begun", style="dim"))
    rows.add_row("", Text("total", style="bold"), "", took, "", Text(money(cast.cost_usd), style="bold"))
    legend = Text("   ").join(Text.assemble((mark, style), f" {name}") for name, mark, style in _MARKS)
    return Group(rows, legend)


def _outputs(cast: Cast) -> Iterator[tuple[str, str]]:
    for generation in _counting(cast):
        made = generation.outputs if isinstance(generation.outputs, list) else [generation.outputs or {}]
        for part in made:
            for output in _texts(part):
                yield f"{generation.step_index + 1} {generation.step_id}", output
        if generation.truncated:
            yield f"{generation.step_index + 1} {generation.step_id}", "too large to be shown here"


def _texts(part: dict[str, Any]) -> Iterator[str]:
    for name, value in part.items():
        files = value if isinstance(value, list) else [value]
        links = [file["url"] for file in files if isinstance(file, dict) and isinstance(file.get("url"), str)]
        if links:
            yield from links
            continue
        text = value if isinstance(value, str) else f"{name}: {json.dumps(value, ensure_ascii=False)}"
        yield shortened(text, _SHOWN_CHARACTERS)


def _openable(output: str) -> Text:
    """Terminals open an address whole, over however many lines it is broken."""
    is_address = output.startswith(("https://", "http://")) and output.isprintable() and " " not in output
    return Text(output, Style(link=output) if is_address else "")


def _next_steps(cast: Cast) -> Iterator[Text]:
    failure = cast.failure
    if failure:
        step = "" if failure.step_index is None else f" in step {failure.step_index + 1} ({failure.step_id})"
        yield Text(f"It failed{step}: {failure.message} [{failure.code}]", style="red")
    failed = _failed(cast)
    if cast.status == "failed" and failed and failed.error and failed.error.retryable:
        yield Text("The same may succeed later.")
    if cast.status in ("failed", "cancelled"):
        yield from _ways_on(cast, failed)
    elif cast.status == "running":
        yield Text(f"Watch it: spellcast show {cast.cast_id} --watch   Stop it: spellcast cancel {cast.cast_id}")


def _failed(cast: Cast) -> Generation | None:
    """The record that the cast failed with."""
    candidates = [item for item in _counting(cast) if item.error and item.status == "failed"]
    named = cast.failure.generation_id if cast.failure else None
    return next((item for item in candidates if item.generation_id == named), candidates[-1] if candidates else None)


def _ways_on(cast: Cast, failed: Generation | None) -> Iterator[Text]:
    """What can help: to go on without a change fails again where an input or the budget was the cause."""
    resume = f"spellcast resume {cast.cast_id}"
    error = (failed and failed.error) or cast.failure
    code, message = (error.code, error.message) if error else ("", "")
    if code in _OF_INPUTS:
        missing = _MISSING.search(message)
        inputs = " ".join(f"--input {name}=TEXT" for name in (missing[1].split(", ") if missing else ["NAME"]))
        if failed:
            yield Text(f"With other inputs:     spellcast retry {failed.generation_id} {inputs} --watch")
        else:
            yield Text(f"Cast it anew:          spellcast cast {cast.spell_slug} --input NAME=TEXT --watch")
    elif code == "BUDGET_EXCEEDED":
        if found := _SPENT.search(message):
            needed = f"{Decimal(found[1]) + Decimal(found[2]):f}"
            yield Text(f"With a larger budget:  {resume} --budget {needed} --watch   (later steps may need more)")
        elif cast.budget_usd is not None and "account's budget" not in message:
            yield Text(f"With a larger budget:  {resume} --budget USD --watch")
        else:
            yield Text(f"On another day (UTC), or with a larger budget of the account: {resume} --watch")
    else:
        yield Text(f"Go on with it:         {resume} --watch")
        if failed:
            yield Text(f"With other inputs:     spellcast retry {failed.generation_id} --input NAME=TEXT --watch")
