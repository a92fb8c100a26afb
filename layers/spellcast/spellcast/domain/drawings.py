"""Graphs and timelines as Mermaid and as SVG. Names come from users: none of them is ever markup."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from math import ceil, floor, log10

from spellcast.domain.graphs import CASTER, Bar, Edge, Graph, Node, Timeline

MOST_CHARACTERS = 200
_NARROW, _WIDE, _LEFT, _BOX_WIDTH, _BOX_HEIGHT, _DISTANCE, _MARGIN = 400, 600, 35, 330, 62, 104, 24
_MIDDLE, _RIGHT = _LEFT + _BOX_WIDTH // 2, _LEFT + _BOX_WIDTH
_ROW, _LABELS, _BARS, _TICKS = 28, 210, 620, 6
# What XML cannot hold, and what would change the direction or the lines of the text after it.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
_SHAPES = {CASTER: ('(["', '"])')}
_MARKS = {"completed": "done, ", "failed": "crit, ", "processing": "active, ", "pending": "active, "}
_COLOURS = """
svg{font:13px system-ui,sans-serif}text{fill:#1c2230}.soft{fill:#59627a}.box{fill:#fff;stroke:#aab2c5;stroke-width:1.5}
.edge{fill:none;stroke:#7b859d;stroke-width:1.5}.next{stroke-dasharray:3 5}.head{fill:#7b859d}.grid{stroke:#d9deea}
.completed{stroke:#1a7f4b}.failed{stroke:#c0293b}.cancelled,.skipped{stroke:#8a6d1a}.processing,.pending{stroke:#4a55d8}
.phase-waiting{fill:#c3cadb}.phase-running{fill:#5b66e0}.phase-processing{fill:#2a9d8f}.bad .phase-running{fill:#d0394b}
@media(prefers-color-scheme:dark){text{fill:#e7eaf3}.soft{fill:#a3adc4}.box{fill:#1d2231;stroke:#566079}.grid{stroke:#333b50}
.completed{stroke:#4cc38a}.failed{stroke:#ff7b88}.cancelled,.skipped{stroke:#d9b24c}.processing,.pending{stroke:#8f99ff}
.phase-waiting{fill:#59627a}.phase-running{fill:#8f99ff}.phase-processing{fill:#4fc3b5}
.bad .phase-running{fill:#ff7b88}}
""".replace("\n", "")


def graph_to_mermaid(graph: Graph) -> str:
    """A flowchart, from top to bottom."""
    lines = ["flowchart TB"]
    for position, node in enumerate(graph.nodes):
        before, after = _SHAPES.get(node.title, ('["', '"]'))
        texts = [_in_mermaid(text) for text in (node.title, node.caption, _told(node)) if text]
        lines.append(
            f"    n{position}{before}{'<br/>'.join(texts)}{after}" + (f":::{node.status}" if node.status else "")
        )
    for edge in graph.edges:
        arrow = f'-- "{_in_mermaid(edge.label)}" -->' if edge.label else "-.->"
        lines.append(f"    n{edge.start} {arrow} n{edge.end}")
    lines += [
        f"    classDef {name} stroke:{colour},stroke-width:2px"
        for name, colour in (("completed", "#1a7f4b"), ("failed", "#c0293b"), ("processing", "#4a55d8"))
        if any(node.status == name for node in graph.nodes)
    ]
    return "\n".join(lines) + "\n"


def timeline_to_mermaid(timeline: Timeline) -> str:
    """A Gantt chart in milliseconds, a section for each time that steps were run."""
    lines = ["gantt", f"    title {_in_mermaid(timeline.title)}", "    dateFormat x", "    axisFormat %H:%M:%S"]
    for number, bars in enumerate(timeline.attempts, 1):
        lines.append(f"    section Attempt {number}")
        for bar in bars:
            for name, begin, end in bar.phases:
                mark = _MARKS.get(bar.status, "") if name == "running" else ""
                length = max(1, round((end - begin).total_seconds() * 1000))
                lines.append(f"    {_in_mermaid(bar.title)}, {name} :{mark}{_milliseconds(begin)}, {length}ms")
    return "\n".join(lines) + "\n"


def graph_to_svg(graph: Graph) -> str:
    """Boxes one below the other; wires that pass a step by run on the right."""
    height = 2 * _MARGIN + _DISTANCE * max(len(graph.nodes) - 1, 0) + _BOX_HEIGHT
    parts = [*map(_edge, graph.edges)]
    for position, node in enumerate(graph.nodes):
        parts.append(_box(position, node))
    passes_by = any(edge.end - edge.start > 1 for edge in graph.edges)
    return _svg(graph.title, _WIDE if passes_by else _NARROW, height, parts)


def timeline_to_svg(timeline: Timeline) -> str:
    """A row for every attempt at a step; each time that steps were run begins on the left."""
    longest = max((_length(bars) for bars in timeline.attempts if bars), default=0.0) or 1.0
    parts: list[str] = []
    top = _MARGIN
    for number, bars in enumerate(timeline.attempts, 1):
        if len(timeline.attempts) > 1:
            parts.append(f'<text class="soft" x="{_MARGIN}" y="{top + 18}">Attempt {number}</text>')
            top += _ROW
        begin = _begin(bars)
        for bar in bars:
            parts.append(_row(bar, begin, longest, top))
            top += _ROW
    step = _tick(longest)
    grid = []
    for count in range(floor(longest / step) + 1):
        x = _LABELS + count * step / longest * _BARS
        grid.append(f'<path class="grid" d="M{x:.1f} {_MARGIN}V{top}"/>')
        grid.append(f'<text class="soft" text-anchor="middle" x="{x:.1f}" y="{top + 18}">{count * step:g} s</text>')
    return _svg(timeline.title, _LABELS + _BARS + 90, top + 36, [*grid, *parts])


def _svg(title: str, width: int, height: int, parts: Sequence[str]) -> str:
    label = _in_xml(_cropped(title, MOST_CHARACTERS))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' role="img" aria-label="{label}"><style>{_COLOURS}</style>{"".join(parts)}</svg>\n'
    )


def _box(position: int, node: Node) -> str:
    y = _MARGIN + position * _DISTANCE
    captions = (_cropped(node.caption, 16 if node.status else 36), _cropped(_told(node), 40))
    told = " · ".join(text for text in captions if text)
    round_ = _BOX_HEIGHT // 2 if node.title == CASTER and not node.caption else 10
    title = _in_xml(_cropped(node.title, 34))
    whole = _cropped(f"{node.title} {node.caption}", MOST_CHARACTERS)
    first = y + (26 if told else 36)
    second = (
        f'<text class="soft" text-anchor="middle" x="{_MIDDLE}" y="{y + 46}">{_in_xml(told)}</text>' if told else ""
    )
    return (
        f"<g><title>{_in_xml(whole)}</title>"
        f'<rect class="box {node.status}" x="{_LEFT}" y="{y}"'
        f' width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="{round_}"/>'
        f'<text text-anchor="middle" font-weight="600" x="{_MIDDLE}" y="{first}">{title}</text>'
        f"{second if told else ''}</g>"
    )


def _edge(edge: Edge) -> str:
    start, end = (_MARGIN + position * _DISTANCE for position in (edge.start, edge.end))
    kind = "edge" if edge.label else "edge next"
    label = _in_xml(_cropped(edge.label, 28))
    if edge.end == edge.start + 1:
        y = start + _BOX_HEIGHT
        head = f"M{_MIDDLE - 5} {end - 9}l5 9l5 -9z"
        text = f'<text class="soft" x="{_MIDDLE + 12}" y="{(y + end) // 2 + 4}">{label}</text>' if label else ""
        return f'<path class="{kind}" d="M{_MIDDLE} {y}V{end - 6}"/><path class="head" d="{head}"/>{text}'
    # Wires that pass by are apart from each other by what they pass.
    bulge = _RIGHT + min(30 + 14 * (edge.end - edge.start), 150)
    begin, into = start + _BOX_HEIGHT * 3 // 4, end + _BOX_HEIGHT // 4
    head = f"M{_RIGHT + 9} {into - 5}l-9 5l9 5z"
    text = f'<text class="soft" text-anchor="end" x="{_WIDE - 4}" y="{end - 8}">{label}</text>'
    return (
        f'<path class="{kind}" d="M{_RIGHT} {begin}C{bulge} {begin} {bulge} {into} {_RIGHT + 6} {into}"/>'
        f'<path class="head" d="{head}"/>{text}'
    )


def _row(bar: Bar, begin: datetime, longest: float, top: int) -> str:
    def at(moment: datetime) -> float:
        return _LABELS + (moment - begin).total_seconds() / longest * _BARS

    label = _in_xml(_cropped(bar.title, 28))
    told = "".join(f"{name} {_seconds((end - start).total_seconds())} " for name, start, end in bar.phases)
    drawn = "".join(
        f'<rect class="phase-{name}" x="{at(start):.1f}" y="{top + 6}"'
        f' width="{max(at(end) - at(start), 1.5):.1f}" height="16"/>'
        for name, start, end in bar.phases
    )
    right = at(bar.phases[-1][2]) if bar.phases else _LABELS
    bad = ' class="bad"' if bar.status in ("failed", "cancelled") else ""
    return (
        f"<g{bad}><title>{_in_xml(_cropped(bar.title, MOST_CHARACTERS))}: {bar.status}, {told.strip()}</title>"
        f'<text x="{_MARGIN}" y="{top + 18}">{label}</text>{drawn}'
        f'<text class="soft" x="{right + 6:.1f}" y="{top + 18}">{_seconds(bar.seconds)}</text></g>'
    )


def _told(node: Node) -> str:
    return ", ".join(text for text in (node.status, node.note) if text)


def _begin(bars: Sequence[Bar]) -> datetime:
    return min((bar.phases[0][1] for bar in bars if bar.phases), default=datetime.min.replace(tzinfo=UTC))


def _length(bars: Sequence[Bar]) -> float:
    ends = [bar.phases[-1][2] for bar in bars if bar.phases]
    return (max(ends) - _begin(bars)).total_seconds() if ends else 0.0


def _tick(longest: float) -> float:
    """1, 2 or 5 times a power of ten, so that there are at most six of them."""
    rough = longest / _TICKS
    power = 10.0 ** floor(log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 60 else f"{floor(seconds / 60)} min {ceil(seconds % 60)} s"


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _in_mermaid(text: str) -> str:
    """Letters, digits and blanks as they are; everything else as an entity code, so that nothing of it is syntax."""
    return "".join(_mermaid_characters(_cropped(text, MOST_CHARACTERS)))


def _mermaid_characters(text: str) -> Iterator[str]:
    for character in text:
        yield character if character.isalnum() or character in " .,-" else f"#{ord(character)};"


def _in_xml(text: str) -> str:
    return escape(text)


def _cropped(text: str, width: int) -> str:
    """One line of at most so many columns; wide characters have two."""
    text = _UNFIT.sub(" ", text).strip()
    taken = 0
    for number, character in enumerate(text):
        taken += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if taken > width:
            return text[: max(number - 1, 0)].rstrip() + "…"
    return text
