"""A cast as one would tell it to somebody: what was asked, what was answered, what it cost. No store, no revisions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, NamedTuple

ZERO = Decimal(0)
# What a run of a tool costs, as far as its provider does not say otherwise; the jobs among them.
PRICES = {
    "free": ZERO,
    "tiny": Decimal("0.0000001"),
    "paid": Decimal("0.01"),
    "dear": Decimal("1.00"),
    "polled": Decimal("0.02"),
    "called": Decimal("0.03"),
    "slow": Decimal("0.70"),
}
JOBS = {"polled": "async", "called": "webhook", "slow": "async"}


class Answer(NamedTuple):
    """What a provider says of a run: whether it went well, what it billed where it says so, and why it did not."""

    ok: bool
    bill: Decimal | None = None
    code: str = ""


TIMED_OUT = Answer(False, None, "TIMED_OUT")
LOST = Answer(False, None, "OUTCOME_UNKNOWN")
STOPPED = ("JOB_CANCELLED", "CAST_CANCELLED")


@dataclass
class Step:
    """One attempt at a step. `counts` is what of it stands in its account's day, where anything was held for it."""

    tool: str
    execution: int
    status: Literal["open", "told", "completed", "failed", "cancelled"] = "open"
    answer: Answer | None = None
    job: str | None = None
    cost: Decimal = ZERO
    billed_late: bool = False
    day: str | None = None
    counts: Decimal = ZERO

    @property
    def is_over(self) -> bool:
        return self.status not in ("open", "told")

    def price(self, answer: Answer) -> Decimal:
        """Whoever failed costs what was billed, and nothing where nobody says so."""
        return answer.bill if answer.bill is not None else PRICES[self.tool] if answer.ok else ZERO

    def finish(self, is_cancelled: bool = False) -> None:
        """Its end, by what it was told."""
        assert self.answer is not None
        self.status = "completed" if self.answer.ok else "failed"
        if is_cancelled and self.answer.code in STOPPED:
            self.status = "cancelled"
        self.cost = self.counts = self.price(self.answer)


@dataclass
class Plain:
    """One cast. `steps` are all attempts, by position and attempt; `closings` the executions at which it was closed."""

    tools: Sequence[str]
    budget: Decimal | None
    day: str | None
    status: Literal["running", "completed", "failed", "cancelled"] = "running"
    is_cancelling: bool = False
    execution: int = 1
    attempt: int = 1
    first_step: int = 0
    steps: dict[tuple[int, int], Step] = field(default_factory=dict)
    closings: list[int] = field(default_factory=list)

    @property
    def is_running(self) -> bool:
        return self.status == "running"

    @property
    def cost(self) -> Decimal:
        return sum((step.cost for step in self.steps.values()), ZERO)

    @property
    def booked(self) -> Decimal:
        """What of it has been closed."""
        return sum((step.cost for step in self.steps.values() if self._is_closed(step)), ZERO)

    def current(self) -> dict[int, Step]:
        """The steps that count."""
        latest: dict[int, Step] = {}
        for (position, attempt), step in sorted(self.steps.items()):
            if position < self.first_step or attempt >= self.attempt:
                latest[position] = step
        return latest

    def unfinished(self) -> int:
        """The first position that is not completed."""
        current = self.current()
        done = [position in current and current[position].status == "completed" for position in range(len(self.tools))]
        return done.index(False) if False in done else len(done)

    def waiting(self) -> Iterator[Step]:
        """The jobs of which no end is known."""
        return (step for step in self.steps.values() if step.status == "open" and step.tool in JOBS)

    def tell(self, step: Step, answer: Answer) -> None:
        """The first word decides; after a failure that named no price, the next that has one is the bill. Once."""
        price = step.price(answer)
        if step.status == "open":
            step.status, step.answer = "told", answer
        elif step.status == "told":
            assert step.answer is not None
            if not step.answer.ok and step.answer.bill is None and price > 0:
                step.answer = step.answer._replace(bill=price)
        elif step.status != "completed" and step.cost == 0 and not step.billed_late and price > 0:
            step.cost, step.billed_late = price, True
            if self._is_closed(step):
                step.counts = price

    def close(self) -> None:
        """The end of the cast, by what is known."""
        for step in self.steps.values():
            if step.status == "told":
                step.finish(self.is_cancelling)
            elif step.status == "open":
                step.status = "cancelled" if self.is_cancelling else "failed"
            step.counts = step.cost
        self.status = "failed" if self.unfinished() < len(self.tools) else "completed"
        if self.is_cancelling:
            self.status = "cancelled"
        self.is_cancelling = False
        self.closings.append(self.execution)

    def reopen(self, first_step: int, tools: Sequence[str], budget: Decimal | None, day: str | None) -> None:
        """It runs again, from this step on; where none is left it is completed at once."""
        self.tools, self.budget, self.day, self.first_step = tools, budget, day, first_step
        self.status = "running"
        self.execution += 1
        self.attempt += 1
        if self.unfinished() == len(tools):
            self.close()

    def _is_closed(self, step: Step) -> bool:
        return bool(self.closings) and step.execution <= self.closings[-1]
