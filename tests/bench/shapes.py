"""The spells that are counted, and how many segments each has (S of the budgets)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from spellcast.catalog import built_in_tools
from spellcast.domain.segments import plan_segments
from tests.cloud import Document, called, drawn, words

STEPS = (1, 3, 10, 50)
DELIVERIES: dict[str, Callable[..., Document]] = {"immediate": words, "webhook": called, "polled": drawn}
_SHORTEST = 0.05  # seconds of a job: what is counted does not depend on it


@dataclass(frozen=True)
class Shape:
    """A spell; `delivery` is that of its steps, `mixed` where they differ."""

    delivery: str
    steps: tuple[Document, ...]

    @property
    def name(self) -> str:
        """As the tables have it."""
        return self.delivery if self.delivery == "mixed" else f"{len(self.steps)} {self.delivery}"

    @property
    def segments(self) -> int:
        """As they are planned: immediate steps ride along until their deadlines come to twelve minutes."""
        return len(plan_segments([built_in_tools()[step["toolIdentifier"]] for step in self.steps]))

    @property
    def jobs(self) -> int:
        """How many of the steps are jobs."""
        return sum(not built_in_tools()[step["toolIdentifier"]].is_immediate for step in self.steps)


def shape(delivery: str, steps: int, seconds: float = _SHORTEST) -> Shape:
    """A spell of equal steps; `seconds` is how long each job runs."""
    mark = f"[seconds:{seconds}]"
    return Shape(delivery, tuple(DELIVERIES[delivery](mark, node=f"n{number}") for number in range(steps)))


def shapes() -> dict[str, Shape]:
    """By name: every delivery in every length, and a spell of all kinds."""
    found = [shape(delivery, steps) for delivery in DELIVERIES for steps in STEPS]
    mixed = (words(), *shape("polled", 1).steps, called(f"[seconds:{_SHORTEST}]"), words(node="last"))
    return {each.name: each for each in (*found, Shape("mixed", mixed))}
