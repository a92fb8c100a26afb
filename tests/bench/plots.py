"""Lines in a plot, as SVG that is read in light and in dark."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import log10

_WIDTH, _HEIGHT = 760, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 560, 44, 346
_LABELS_APART = 16
_STYLE = """
svg{font:13px system-ui,sans-serif}text{fill:#1c2230}.soft{fill:#59627a}.grid{stroke:#c9cfdd;stroke-width:1}
.title{font-weight:600;font-size:15px}.line{fill:none;stroke-width:2.2}
.c0{stroke:#3b49d1}.c1{stroke:#b4530a}.c2{stroke:#1a7f4b}.c3{stroke:#a3267f}.c4{stroke:#59627a}.c5{stroke:#0b7285}
.d0{fill:#3b49d1}.d1{fill:#b4530a}.d2{fill:#1a7f4b}.d3{fill:#a3267f}.d4{fill:#59627a}.d5{fill:#0b7285}
@media(prefers-color-scheme:dark){text{fill:#e7eaf3}.soft{fill:#a3adc4}.grid{stroke:#3a4359}
.c0{stroke:#8f99ff}.c1{stroke:#ffa94d}.c2{stroke:#4cc38a}.c3{stroke:#f783c8}.c4{stroke:#a3adc4}.c5{stroke:#4dd0e1}
.d0{fill:#8f99ff}.d1{fill:#ffa94d}.d2{fill:#4cc38a}.d3{fill:#f783c8}.d4{fill:#a3adc4}.d5{fill:#4dd0e1}}
""".replace("\n", "")


@dataclass(frozen=True)
class Axis:
    """A scale between its first and its last tick; logarithmic ones begin above 0."""

    label: str
    ticks: Sequence[float]
    is_log: bool = False

    def place(self, value: float) -> float:
        """From 0 to 1."""
        scale: Callable[[float], float] = log10 if self.is_log else float
        first, last = scale(self.ticks[0]), scale(self.ticks[-1])
        return (scale(value) - first) / (last - first)


@dataclass(frozen=True)
class Series:
    """Points that a line joins; dots show those that were measured."""

    name: str
    points: Sequence[tuple[float, float]]
    has_dots: bool = True
    is_dashed: bool = False


@dataclass(frozen=True)
class Plot:
    """Up to six lines."""

    title: str
    x: Axis
    y: Axis
    series: Sequence[Series]


def drawn(plot: Plot) -> str:
    """The same text for the same plot."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img">',
        f"<title>{escape(plot.title)}</title><style>{_STYLE}</style>",
        _text(_LEFT, 24, plot.title, "title"),
        *_axes(plot),
        *(part for number, series in enumerate(plot.series) for part in _line(plot, number, series)),
        *_labels(plot),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def nice_ticks(most: float) -> list[float]:
    """From 0 in five or fewer equal parts to what is not less than `most`."""
    size = 10 ** int(log10(most) // 1)
    step = next(step for step in (size / 5, size / 2, size, 2 * size) if step * 5 >= most)
    ticks = [0.0]
    while ticks[-1] < most:
        ticks.append(ticks[-1] + step)
    return ticks


def _axes(plot: Plot) -> Iterator[str]:
    for tick in plot.y.ticks:
        y = _at_y(plot, tick)
        yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{_RIGHT}"/>'
        yield _text(_LEFT - 8, y + 4, f"{tick:,g}", "soft", "end")
    for tick in plot.x.ticks:
        x = _at_x(plot, tick)
        yield f'<path class="grid" d="M{x:.1f} {_BOTTOM}v5"/>'
        yield _text(x, _BOTTOM + 20, f"{tick:,g}", "soft", "middle")
    yield _text((_LEFT + _RIGHT) / 2, _HEIGHT - 12, plot.x.label, "soft", "middle")
    middle = (_TOP + _BOTTOM) / 2
    yield (
        f'<text class="soft" text-anchor="middle" transform="translate(16 {middle:.1f}) rotate(-90)">'
        f"{escape(plot.y.label)}</text>"
    )


def _line(plot: Plot, number: int, series: Series) -> Iterator[str]:
    points = [(_at_x(plot, x), _at_y(plot, y)) for x, y in series.points]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dashes = ' stroke-dasharray="7 4"' if series.is_dashed else ""
    yield f'<path class="line c{number}"{dashes} d="M{path}"/>'
    if series.has_dots:
        for x, y in points:
            yield f'<circle class="d{number}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'


def _labels(plot: Plot) -> Iterator[str]:
    """Each at the end of its line, and apart from the others."""
    ends = sorted((_at_y(plot, series.points[-1][1]), number) for number, series in enumerate(plot.series))
    lowest = float(_TOP)
    for left, (y, number) in zip(range(len(ends), 0, -1), ends, strict=True):
        # Those below need their room, too.
        lowest = max(lowest, min(y, _BOTTOM - (left - 1) * _LABELS_APART))
        series = plot.series[number]
        x = _at_x(plot, series.points[-1][0])
        yield f'<path class="grid" d="M{x + 5:.1f} {y:.1f}L{_RIGHT + 10} {lowest:.1f}"/>'
        yield f'<text class="d{number}" x="{_RIGHT + 14}" y="{lowest + 4:.1f}">{escape(series.name)}</text>'
        lowest += _LABELS_APART


def _text(x: float, y: float, text: str, style: str, anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _at_x(plot: Plot, value: float) -> float:
    return _LEFT + plot.x.place(value) * (_RIGHT - _LEFT)


def _at_y(plot: Plot, value: float) -> float:
    return _BOTTOM - plot.y.place(value) * (_BOTTOM - _TOP)
