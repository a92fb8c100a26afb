"""What no crash, order or fault may break (contract §7), said of records, of what providers were asked, of messages.

Whoever has run a cast, by whatever means, says in a `History` what is known of it in the end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

from spellcast.domain.casts import Cast
from spellcast.domain.generations import Generation
from spellcast.domain.ledger import LedgerRow, balances

# A sweep a minute, of which one may die, and what it mends is closed by the next.
LATENESS = timedelta(minutes=5)
# What a late bill and a webhook's delivery may change of a cast that has ended.
_CHANGES_AFTER_THE_END = ("cost_usd", "points_spent", "delivery", "updated_at", "revision", "unread")


@dataclass(frozen=True, kw_only=True)
class History:
    """All of one cast. What is None is not known, and not checked.

    `casts` and `generations` are every revision that was written, each record's in its order. `asked` counts the
    requests that may cost money, and `jobs` names the provider's jobs, by generation. `announced` are ids and
    revisions. `ledger` is what the caster's account was booked, `held` what the day still holds for the cast, `day_usd`
    its total.
    """

    casts: Sequence[Cast]
    generations: Sequence[Generation]
    asked: Mapping[str, int]
    jobs: Mapping[str, str] = field(default_factory=dict)
    announced: Collection[tuple[str, int]] | None = None
    ledger: Sequence[LedgerRow] | None = None
    held: Mapping[str, Decimal] | None = None
    day_usd: Decimal | None = None
    told: str = ""

    @property
    def cast(self) -> Cast:
        """As it is now."""
        return self.casts[-1]

    @property
    def latest(self) -> dict[str, Generation]:
        """Every generation as it is now."""
        return {generation.generation_id: generation for generation in self.generations}


def check(history: History) -> None:
    """I1 to I7, and that nothing is left open. Raises AssertionError with what was `told` of the run."""
    asked_once(history)
    ended(history)
    absorbed(history)
    applied_once(history)
    summed(history)
    attached(history)
    announced(history)
    reconciled(history)


def asked_once(history: History) -> None:
    """I1."""
    often = {generation_id: count for generation_id, count in history.asked.items() if count > 1}
    assert not often, f"asked more than once: {often}; {history.told}"


def ended(history: History) -> None:
    """I2: the cast and all of its steps, as nothing that has ended can have an open part."""
    assert history.cast.is_terminal, f"{history.cast.status}; {history.told}"
    unfinished = [key for key, generation in history.latest.items() if not generation.is_terminal]
    assert not unfinished, f"open: {unfinished}; {history.told}"


def ended_in_time(history: History) -> None:
    """I2, where there was somebody who sweeps."""
    cast = history.cast
    assert cast.ended_at is not None, history.told
    assert cast.ended_at <= cast.deadline_at + LATENESS, f"{cast.ended_at - cast.deadline_at} late; {history.told}"


def absorbed(history: History) -> None:
    """I3, I7: one end for each time that it was run, after which only a bill and the webhook's delivery come."""
    for before, after in pairwise(history.casts):
        assert after.revision == before.revision + 1, f"{before.revision}, {after.revision}; {history.told}"
        if before.is_terminal and after.is_terminal:
            changed = _changed(before, after) - set(_CHANGES_AFTER_THE_END)
            assert not changed, f"changed after the end: {changed}; {history.told}"
        elif before.is_terminal:
            assert after.attempt == before.attempt + 1, f"{before.status} has become {after.status}; {history.told}"
    assert ends(history.casts) == history.cast.attempt, f"{ends(history.casts)} ends; {history.told}"
    for generation_id, revisions in _by_generation(history.generations).items():
        for earlier, later in pairwise(revisions):
            assert later.revision > earlier.revision, f"{generation_id}; {history.told}"
            assert not earlier.is_terminal or later.status == earlier.status, f"{generation_id}; {history.told}"
        assert ends(revisions) <= 1, f"{generation_id} has ended more than once; {history.told}"


def applied_once(history: History) -> None:
    """I4: the first result stays; what it cost may still be learnt."""
    for generation_id, revisions in _by_generation(history.generations).items():
        stored = [generation.result for generation in revisions if generation.result is not None]
        for before, after in pairwise(stored):
            same = (before.status, before.failure) == (after.status, after.failure)
            assert same, f"{generation_id} has two results; {history.told}"


def summed(history: History) -> None:
    """I5: to the last digit."""
    total = sum((generation.cost_usd for generation in history.latest.values()), Decimal(0))
    assert history.cast.cost_usd == total, f"{history.cast.cost_usd} is not {total}; {history.told}"


def attached(history: History) -> None:
    """I6: the record names the job, or says that nobody knows."""
    for generation_id, job in history.jobs.items():
        generation = history.latest.get(generation_id)
        assert generation is not None, f"{job} belongs to nothing; {history.told}"
        is_reported = generation.failure is not None and generation.run_id is None
        is_told = generation.result is not None and generation.result.run_id in (None, job)
        assert generation.run_id == job or is_reported or is_told, f"{job} is lost; {history.told}"


def announced(history: History) -> None:
    """I7: every revision that was written, under its number."""
    if history.announced is None:
        return
    written = {(cast.cast_id, cast.revision) for cast in history.casts}
    written |= {(generation.generation_id, generation.revision) for generation in history.generations}
    silent = written - set(history.announced)
    assert not silent, f"not announced: {sorted(silent)}; {history.told}"


def reconciled(history: History) -> None:
    """The money: the ledger says what the cast says, and of the day nothing is held any more."""
    if history.ledger is not None:
        assert balances(history.ledger).spent_usd == history.cast.cost_usd, history.told
        assert balances(history.ledger).points_spent == history.cast.points_spent, history.told
    assert not history.held, f"still held: {history.held}; {history.told}"
    if history.day_usd is not None:
        assert history.day_usd == history.cast.cost_usd, history.told


def ends(revisions: Sequence[Cast] | Sequence[Generation]) -> int:
    """How often the record has become terminal."""
    states = [False, *(revision.is_terminal for revision in revisions)]
    return sum(after and not before for before, after in pairwise(states))


def _by_generation(generations: Iterable[Generation]) -> dict[str, list[Generation]]:
    found: dict[str, list[Generation]] = {}
    for generation in generations:
        found.setdefault(generation.generation_id, []).append(generation)
    return found


def _changed(before: Cast, after: Cast) -> set[str]:
    return {name for name in Cast.__slots__ if getattr(before, name) != getattr(after, name)}
