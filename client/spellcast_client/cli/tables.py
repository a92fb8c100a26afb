"""Tables and texts as they are shown; what came from elsewhere is shown as it is, and is never markup."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from spellcast_client.cli.controls import without_controls

STYLES = {"completed": "green", "failed": "red", "cancelled": "yellow", "running": "cyan", "processing": "cyan"}


class PlainConsole(Console):
    """Shows texts, whatever they hold; only what it does itself controls the terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The parts of what is shown."""
        for part in super().render(renderable, options):
            yield part if part.control else Segment(without_controls(part.text), part.style)


class PlainTable(Table):
    """Cells are text."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        """A row; a cell that is a text is taken literally."""
        super().add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells), **options)


def table(*columns: str, **options: Any) -> PlainTable:
    """With a heading for each column, and no lines."""
    made = PlainTable(box=None, pad_edge=False, header_style="bold", **options)
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def facts(**known: Any) -> PlainTable:
    """One fact a line, without those that are not known."""
    made = table(show_header=False)
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in known.items():
        if value not in (None, "", [], {}):
            made.add_row(name.replace("_", " "), value if isinstance(value, Text) else str(value))
    return made


def status(name: str) -> Text:
    """A status in its colour."""
    return Text(name, style=STYLES.get(name, ""))


def money(amount: Decimal) -> str:
    """To the last digit, without an exponent."""
    return f"${amount:f}"


def shortened(text: str, most: int) -> str:
    """The text, or as much of it as there is room for."""
    return text if len(text) <= most else text[: most - 1] + "…"


def moment(at: datetime | None) -> str:
    """In the time of the reader."""
    return "" if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def seconds(duration: float) -> str:
    """`0.42 s`, `3 min 05 s`, `2 h 07 min`."""
    if duration < 100:
        return f"{duration:.2f} s"
    minutes, rest = divmod(round(duration), 60)
    if minutes < 100:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"
