"""Random lives of casts, over the real use cases, beside a plain model of what should come of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from itertools import cycle
from typing import Any, ClassVar, TypeVar

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from spellcast.application.cast_spell import CastOrder
from spellcast.application.finalize_cost import interruption_of
from spellcast.application.notify import Notify
from spellcast.application.resume_cast import ResumeOrder
from spellcast.domain import callback_tokens, money
from spellcast.domain.budgets import day_of
from spellcast.domain.casts import Cast
from spellcast.domain.errors import (
    CastEnded,
    CastRunning,
    GenerationSuperseded,
    IdempotencyKeyReused,
    InvalidCallbackToken,
    InvalidSignature,
    SpellcastError,
    StepEndedInFailure,
)
from spellcast.domain.generations import Generation
from spellcast.domain.identifiers import parse_generation_id
from spellcast.domain.ledger import balances
from spellcast.domain.polling import Polling
from spellcast.domain.pricing import PricingPolicy
from spellcast.domain.results import Failure
from spellcast.domain.segments import Segment
from spellcast.ports.announcer import Event
from spellcast.ports.machine import Execution
from tests.chaos.bank import Asked, Bank, BankJob, as_result
from tests.chaos.conftest import Defends
from tests.chaos.plain import JOBS, LOST, PRICES, TIMED_OUT, ZERO, Answer, Plain, Step
from tests.chaos.sizes import LONG, SEED, size
from tests.fakes.crash import Crash
from tests.fakes.crashes import Chokepoint, When
from tests.fakes.world import ACCOUNT, World, make_tool

Value = TypeVar("Value")
MOST_CASTS = 3
STEPS = 40
PICK = st.integers(0, 11)
NAMED = [None, None, Decimal("0.0000001"), Decimal("0.0300007"), Decimal("1.25"), ZERO]
BILLS = st.sampled_from(NAMED)
GOOD, BAD = ([Answer(ok, bill) for bill in NAMED] for ok in (True, False))
ENDS = st.sampled_from([*GOOD, *GOOD, *BAD])
ANSWERS = st.tuples(st.sampled_from([*GOOD, *GOOD, *GOOD, *BAD, LOST, LOST]), st.sampled_from(GOOD))
TOOLS = st.lists(st.sampled_from(sorted(PRICES)), min_size=1, max_size=4)
BUDGETS = st.sampled_from([None, None, Decimal("0.03"), Decimal("1.05"), Decimal(6)])


def _of_what_runs(advance: Callable[..., None], transitions: st.SearchStrategy[int]) -> Callable[..., None]:
    """A rule for as many transitions of an execution."""
    decorated: Callable[..., None] = rule(pick=PICK, transitions=transitions, answers=ANSWERS)(advance)
    return precondition(lambda self: self._live())(decorated)


@dataclass
class Run:
    """One execution of the machine: where it stands."""

    cast_id: str
    name: str
    number: int
    remaining: list[Segment]
    token: str | None = None
    waits_until: float = 0.0
    timeouts: int = 0
    interruption: Failure | None = None
    settles: bool = False
    done: bool = False


@dataclass
class Order:
    """How a cast was ordered, or resumed."""

    order: Any
    ask: Callable[[Any], object]


class Casts(RuleBasedStateMachine):
    """Every rule does one thing to the real casts, then says of the plain ones what should have come of it.

    Where a process was killed in the middle, what came of it is read from the records; all invariants hold of that too.
    """

    # What was done, over all examples.
    done: ClassVar[Counter[str]] = Counter()

    @initialize(
        most=st.sampled_from([None, Decimal("1.5"), Decimal(100)]),
        refund=st.booleans(),
        heeds=st.booleans(),
        on_cancel=BILLS,
        first=TOOLS,
    )
    def begin(
        self, most: Decimal | None, refund: bool, heeds: bool, on_cancel: Decimal | None, first: list[str]
    ) -> None:
        self.chokepoint = Chokepoint()
        self.most = most
        self.bank = Bank(heeds=heeds, on_cancel=on_cancel)
        tools = [make_tool(name, JOBS.get(name, "immediate"), str(price)) for name, price in PRICES.items()]
        self.world = World(
            *tools,
            through=self.chokepoint,
            pricing=PricingPolicy(refund_failed=refund),
            daily_budget_usd=most,
            adapter=self.bank,
        )
        # What is expected stays what the definition says.
        self.world.finalize_cost = replace(self.world.finalize_cost, history=None)
        self.notify_of = Notify(self.world.announcer, self.world.links, self.world.clock)
        self.casts: dict[str, Plain] = {}
        self.orders: dict[str, list[Order]] = {}
        self.runs: dict[str, Run] = {}
        self.versions: dict[tuple[str, int], list[str]] = {}
        self.spells: dict[str, str] = {}
        self.seen = 0
        self.known: dict[str, Cast | Generation] = {}
        self.closed: Counter[str] = Counter()
        self.unannounced: list[Cast | Generation] = []
        self.announced: set[tuple[str, int]] = set()
        self.tokens = 0
        self.requests = 0
        self.doomed: list[tuple[int, When]] = []
        self.killed = False
        self.cast(first, None, True, True)

    # --- the caster ---

    @precondition(lambda self: len(self.casts) < MOST_CASTS)
    @rule(tools=TOOLS, budget=BUDGETS, keyed=st.booleans(), webhook=st.booleans())
    def cast(self, tools: list[str], budget: Decimal | None, keyed: bool, webhook: bool) -> None:
        number = len(self.casts)
        spell, version, _ = self.world.create_spell(ACCOUNT, f"spell {number}", "private", _steps(tools))
        order = CastOrder(
            spell=spell.spell_id,
            fingerprint="f",
            budget_usd=budget,
            idempotency_key=f"key {number}" if keyed else None,
            webhook_url="https://me.example/hook" if webhook else None,
        )
        cast, is_new = self.world.cast_spell(ACCOUNT, order)
        assert is_new
        self.spells[cast.cast_id] = spell.spell_id
        self.versions[spell.spell_id, version.version] = tools
        self.casts[cast.cast_id] = Plain(tools, budget, self._today())
        self.orders[cast.cast_id] = [Order(order, lambda again: self.world.cast_spell(ACCOUNT, again))]

    @precondition(lambda self: self.casts)
    @rule(pick=PICK, same=st.booleans())
    def repeat_the_cast(self, pick: int, same: bool) -> None:
        cast_id, _ = self._pick(pick)
        order = self.orders[cast_id][0].order
        if order.idempotency_key is None:
            return
        if same:
            found = self._do(lambda: self.world.cast_spell(ACCOUNT, order))
            assert (found[0].cast_id, found[1]) == (cast_id, False)
            if self.killed:
                self._hear_of_the_end_late()
            self._took_up(cast_id)
        else:
            other = replace(order, fingerprint="another")
            self._refused(IdempotencyKeyReused, lambda: self.world.cast_spell(ACCOUNT, other))

    @precondition(lambda self: self.casts)
    @rule(pick=PICK, really=st.sampled_from([False, True]))
    def cancel(self, pick: int, really: bool) -> None:
        if not really:
            return
        cast_id, plain = self._pick(pick)
        if plain.status in ("completed", "failed"):
            self._refused(CastEnded, lambda: self.world.cancel_cast(ACCOUNT, cast_id))
            return
        self._do(lambda: self.world.cancel_cast(ACCOUNT, cast_id))
        if plain.is_running and not self.killed:
            plain.is_cancelling = True

    @precondition(lambda self: self.casts)
    @rule(pick=PICK, budget=BUDGETS, newer=st.one_of(st.none(), TOOLS), repeat=st.booleans())
    def resume(self, pick: int, budget: Decimal | None, newer: list[str] | None, repeat: bool) -> None:
        cast_id, plain = self._pick(pick)
        first = plain.unfinished()
        version = None
        if newer is not None and plain.status in ("failed", "cancelled"):
            tools = [*plain.tools[:first], *newer]
            version = self._new_version(cast_id, tools)
        order = self._resume_order(budget, version)

        def ask(again: ResumeOrder) -> Cast:
            return self.world.resume_cast(ACCOUNT, cast_id, again)

        if plain.is_running:
            self._refused(CastRunning, lambda: ask(order))
            return
        if plain.status == "completed":
            self._refused(CastEnded, lambda: ask(order))
            return
        self._do(lambda: ask(order))
        tools = list(plain.tools) if version is None else self.versions[self.spells[cast_id], version]
        if not self.killed:
            plain.reopen(first, tools, plain.budget if budget is None else budget, self._today())
        if repeat and plain.is_running:
            self._do(lambda: ask(order))

    @precondition(lambda self: self.casts)
    @rule(pick=PICK, which=PICK, text=st.sampled_from(["another", None]))
    def retry(self, pick: int, which: int, text: str | None) -> None:
        cast_id, plain = self._pick(pick)
        if not plain.steps:
            return
        key = sorted(plain.steps)[which % len(plain.steps)]
        position, attempt = key
        inputs = {} if plain.steps[key].tool == "free" else {"text": text}
        order = self._resume_order(None, None)

        def ask() -> Cast:
            return self.world.retry_step(ACCOUNT, f"{cast_id}.{position}.{attempt}", inputs, order)

        if plain.is_running:
            self._refused(CastRunning, ask)
        elif plain.current().get(position) is not plain.steps[key] or position >= len(plain.tools):
            self._refused(GenerationSuperseded, ask)
        else:
            self._do(ask)
            if not self.killed:
                plain.reopen(position, plain.tools, plain.budget, self._today())

    # --- the machine ---

    def advance(self, pick: int, transitions: int, answers: tuple[Answer, ...]) -> None:
        live = self._live()
        run = live[pick % len(live)]
        self.bank.answers = cycle(answers)
        for _ in range(transitions):
            if run.done or not self._transition(run):
                return

    # More often than anything else, so that casts get somewhere.
    goes_on = _of_what_runs(advance, st.just(1))
    goes_further = _of_what_runs(advance, st.integers(2, 4))
    goes_far = _of_what_runs(advance, st.just(12))

    @precondition(lambda self: self._live())
    @rule(pick=PICK, how=st.sampled_from(["", "", "cut off", "ended", "never begun"]))
    def lose_an_execution(self, pick: int, how: str) -> None:
        live = self._live()
        run = live[pick % len(live)]
        if not how or run.name in self.world.machine.ended:
            return
        if how == "never begun":
            if run.token is not None or run.settles or run.number != self.casts[run.cast_id].execution:
                return
            del self.world.machine.casts[run.name], self.runs[run.name]
            return
        code = "States.ServiceRestart" if how == "cut off" else "States.Runtime"
        self.world.machine.ended[run.name] = Execution(False, code, was_cut_off=how == "cut off")
        run.done = True

    @precondition(lambda self: self.casts)
    @rule(pick=PICK)
    def invoke_late(self, pick: int) -> None:
        """An earlier execution's invocation comes when another has taken over, or its cast is closed."""
        cast_id, plain = self._pick(pick)
        number = plain.execution if not plain.is_running else plain.execution - 1
        if number >= 1:
            name = cast_id if number == 1 else f"{cast_id}-{number}"
            segment = Segment(0, len(plain.tools) - 1, plain.attempt, 100)
            before = len(self.bank.asked)
            self._do(lambda: self.world.execute_step(cast_id, segment, "late", name))
            assert len(self.bank.asked) == before

    @precondition(lambda self: self.casts)
    @rule()
    def sweep(self) -> None:
        ended, now = self._ends(), self.world.clock.now()
        records = {cast_id: self._record(cast_id) for cast_id in self.casts}
        due = {
            cast_id: (self.world.machine.find_execution(record.execution_name), record.deadline_at <= now)
            for cast_id, record in records.items()
            if record.started_at < now - timedelta(minutes=2)
        }
        overdue = {
            cast_id: {key: self._generation(cast_id, key) for key in self.casts[cast_id].steps} for cast_id in due
        }
        left = {cast_id: self._left(cast_id) for cast_id in due}
        report = self._do(lambda: self.world.sweep(is_time_left=lambda: True))
        assert report.left == 0
        if self.killed:
            self._hear_of_the_end_late()
            return
        for cast_id, (execution, is_overdue) in due.items():
            plain = self.casts[cast_id]
            is_due = is_overdue or execution is None or not execution.is_running
            if not plain.is_running or not is_due:
                continue
            if plain.is_cancelling:
                self._close(plain, left[cast_id])
            elif is_overdue:
                for key, step in plain.steps.items():
                    if step.status == "open" and step.tool in JOBS:
                        run_id = overdue[cast_id][key].run_id
                        plain.tell(step, ended.get(run_id or "") or (self._given_up() if run_id else LOST))
                plain.close()
            elif execution is None:
                self._took_up(cast_id)
            elif execution.was_cut_off:
                if plain.unfinished() == len(plain.tools):
                    plain.close()
                else:
                    plain.execution += 1
            else:
                self._close(plain, left[cast_id])

    @rule(seconds=st.sampled_from([1, 1, 30, 30, 130, 130, 700, 2_000, 90_000]))
    def wait(self, seconds: int) -> None:
        self.world.clock.advance(seconds)

    @precondition(lambda self: self.casts)
    @rule(number=st.integers(1, 12), when=st.sampled_from(["before", "after"]))
    def doom(self, number: int, when: When) -> None:
        """The process of a rule to come dies at one of its calls, and is called again."""
        self.doomed = [(number, when)]

    # --- the provider ---

    @precondition(lambda self: self.bank.jobs)
    @rule(pick=PICK, end=ENDS, is_told=st.booleans())
    def a_job_ends(self, pick: int, end: Answer, is_told: bool) -> None:
        job = self._job(pick)
        if job.end is None:
            job.end = end
        if is_told and job.request.tool.delivery_mode == "webhook":
            self.call_back(pick, 0, 1, True)
        elif is_told and job.request.generation_id in self.world.machine.polling:
            self.poll(self.world.machine.polling.index(job.request.generation_id))

    @precondition(lambda self: self.bank.jobs)
    @rule(pick=PICK, other=PICK, copies=st.integers(1, 2), good=st.booleans())
    def call_back(self, pick: int, other: int, copies: int, good: bool) -> None:
        """As often as it likes, when it likes; or to another generation's address, or with another's signature."""
        run_id = list(self.bank.jobs)[pick % len(self.bank.jobs)]
        job = self.bank.jobs[run_id]
        token, body = job.request.callback_url.rpartition("/")[2], self.bank.callback(run_id)
        headers = {"x-signature": "good"}
        if not good:
            wrong = list(self.bank.jobs)[other % len(self.bank.jobs)]
            if wrong == run_id or self._found(job.request.generation_id).run_id is None:
                headers = {"x-signature": "bad"}
            else:
                body = self.bank.callback(wrong)
        if self._has_expired(job):
            self._refused(InvalidCallbackToken, lambda: self.world.receive_callback(token, headers, body))
            return
        if not good:
            self._refused(InvalidSignature, lambda: self.world.receive_callback(token, headers, body))
            return
        for _ in range(copies):
            self._do(lambda: self.world.receive_callback(token, headers, body))
            if job.end is not None:
                self._tell(job.request.generation_id, job.end)

    @precondition(lambda self: any(plain.steps for plain in self.casts.values()))
    @rule(pick=PICK, answer=ENDS)
    def complete_by_event(self, pick: int, answer: Answer) -> None:
        """What somebody puts on the bus: an end, a repeat, a contradiction or a late bill."""
        known = [
            f"{cast_id}.{position}.{attempt}"
            for cast_id, plain in self.casts.items()
            for position, attempt in plain.steps
        ]
        generation_id = known[pick % len(known)]
        self._do(lambda: self.world.complete_job(generation_id, as_result(answer)))
        self._tell(generation_id, answer)

    @precondition(lambda self: self.world.machine.polling)
    @rule(pick=PICK)
    def poll(self, pick: int) -> None:
        polling = self.world.machine.polling
        generation_id = polling[pick % len(polling)]
        before, ended = self._found(generation_id), self._ends()
        self._do(lambda: self.world.poll_job(Polling(generation_id)))
        _, step = self._step(generation_id)
        if not self.killed and step.status == "open" and before.run_id is not None:
            if end := ended.get(before.run_id):
                self._tell(generation_id, end)
            elif before.is_overdue(self.world.clock.now()):
                self._tell(generation_id, self._given_up())

    # --- the stream ---

    @precondition(lambda self: self.unannounced)
    @rule(count=st.integers(1, 12), twice=st.booleans())
    def notify(self, count: int, twice: bool) -> None:
        batch, self.unannounced = self.unannounced[:count], self.unannounced[count:]
        for record in [*batch, *(batch if twice else [])]:
            self._announce(record)

    # --- what always holds ---

    @invariant()
    def everything_holds(self) -> None:
        self.every_write_is_lawful()
        self.nobody_is_asked_twice()
        self.the_records_are_as_the_plain_casts()
        self.the_money_adds_up()

    def every_write_is_lawful(self) -> None:
        """I3, I4, I7: nothing but a late bill changes what has ended, revisions only grow, an end is one revision."""
        for record in self.world.store.writes[self.seen :]:
            name = record.generation_id if isinstance(record, Generation) else record.cast_id
            before = self.known.get(name)
            if before is not None:
                assert record.revision > before.revision, name
            if isinstance(record, Generation):
                assert before is None or isinstance(before, Generation)
                _check_generation(before, record)
            else:
                assert before is None or isinstance(before, Cast)
                self.closed[name] += _closes(before, record)
            self.known[name] = record
            self.unannounced.append(record)
        self.seen = len(self.world.store.writes)
        for cast_id, count in self.closed.items():
            record = self.known[cast_id]
            assert isinstance(record, Cast)
            assert len(record.closings) == count, f"{cast_id} was closed {count} times"

    def nobody_is_asked_twice(self) -> None:
        """I1. What is known to cost nothing may be run again after a kill."""
        asked = Counter(asked.generation_id for asked in self.bank.asked if PRICES[asked.tool_id] > 0)
        assert not asked or max(asked.values()) == 1, asked

    def the_records_are_as_the_plain_casts(self) -> None:
        self._see_new_runs()
        for cast_id, plain in self.casts.items():
            record, generations = self._load(cast_id)
            assert (record.status, record.is_cancelling, record.execution, record.attempt, record.first_step) == (
                plain.status,
                plain.is_cancelling,
                plain.execution,
                plain.attempt,
                plain.first_step,
            )
            assert {_key(item): (_state(item), item.cost_usd, item.tool_id) for item in generations} == {
                key: (step.status, step.cost, step.tool) for key, step in plain.steps.items()
            }
            if record.is_terminal:
                assert record.cost_usd == plain.cost, "I5"
                assert record.points_spent == sum(item.points_spent for item in generations)

    def the_money_adds_up(self) -> None:
        rows = list(self.world.store.all_rows(ACCOUNT, start="2000", end=None))
        booked = balances(rows)
        assert booked.spent_usd == sum((plain.booked for plain in self.casts.values()), ZERO)
        for plain_day in {step.day for plain in self.casts.values() for step in plain.steps.values() if step.day}:
            day = self.world.store.get_day(ACCOUNT, plain_day)
            assert day.total_usd == self._counted(plain_day), plain_day
            held = {holder for holder, amount in day.held.items() if amount}
            running = {cast_id for cast_id, plain in self.casts.items() if plain.is_running}
            assert {holder.partition(".")[0] for holder in held} <= running
        for row in rows:
            moved: Counter[tuple[str | None, str]] = Counter()
            for entry in row.entries:
                moved[entry.generation_id, entry.kind] += entry.amount_usd  # type: ignore[assignment]
            for holder, kind in list(moved):
                if kind == "reserve":
                    assert moved[holder, kind] == moved[holder, "settle"] + moved[holder, "release"]

    def teardown(self) -> None:
        """I2, I6, I7: whatever has happened, it comes to an end, and everybody has been told."""
        if not hasattr(self, "world"):
            return
        Casts.done["examples"] += 1
        self.doomed = []
        for _ in range(3):
            self.world.clock.advance(30 * 24 * 3600)
            self.sweep()
            self.notify(len(self.unannounced), False) if self.unannounced else None
            self.everything_holds()
        assert all(not plain.is_running for plain in self.casts.values()), "I2"
        while self.unannounced:
            self.notify(len(self.unannounced), False)
            self.every_write_is_lawful()
        written = {
            (record.generation_id if isinstance(record, Generation) else record.cast_id, record.revision)
            for record in self.world.store.writes
        }
        assert written == self.announced, "I7"
        self._check_ends()
        for job in self.bank.jobs.values():
            generation = self._found(job.request.generation_id)
            assert generation.is_terminal, "I6"
            assert generation.run_id is not None or not job.was_named or generation.result or generation.failure, "I6"
        for day in self.world.store._days.values():
            assert day.held_usd == 0
        Casts.done["casts"] += len(self.casts)
        Casts.done["writes"] += len(written)
        Casts.done["closings"] += sum(self.closed.values())

    # --- how the plain casts follow ---

    def _transition(self, run: Run) -> bool:
        """One state of the machine; False where it waits."""
        world, plain = self.world, self.casts[run.cast_id]
        ended = world.machine.ended.get(run.name)
        if ended is not None:
            # The rule on machines that were stopped.
            run.done = True
            self._finalize(run, interruption_of(ended.code or "", ""))
            return True
        if run.settles or not run.remaining:
            run.done = True
            self._finalize(run, run.interruption)
            world.machine.ended.setdefault(run.name, Execution(False))
            return True
        segment = run.remaining[0]
        if run.token is None:
            self.tokens += 1
            token = run.token = f"token {self.tokens}"
            self._enter(run, segment, token)
            run.waits_until = world.clock.now().timestamp() + segment.timeout_seconds
            return True
        answer = world.machine.answers.get(run.token)
        if isinstance(answer, Failure):
            run.interruption, run.settles = interruption_of(answer.code, answer.message), True
            return True
        if answer is not None:
            self._process(run, plain, segment)
            return True
        if world.clock.now().timestamp() < run.waits_until:
            return False
        run.timeouts += 1
        run.token = None
        if run.timeouts == 2:
            run.interruption, run.settles = interruption_of("States.Timeout", ""), True
        return True

    def _enter(self, run: Run, segment: Segment, token: str) -> None:
        world, plain = self.world, self.casts[run.cast_id]
        before, ended = len(self.bank.asked), self._ends()
        self._do(lambda: world.execute_step(run.cast_id, segment, token, run.name))
        if self.killed:
            return
        asked = iter(self.bank.asked[before:])
        if plain.is_running and not plain.is_cancelling and run.number == plain.execution:
            self._enter_plain(run.cast_id, plain, segment, asked, ended)
        assert next(asked, None) is None, "somebody was asked who should not be"

    def _enter_plain(
        self, cast_id: str, plain: Plain, segment: Segment, asked: Iterator[Asked], ended: dict[str, Answer]
    ) -> None:
        for position in range(segment.first, segment.last + 1):
            key, is_last = (position, segment.attempt), position == segment.last
            step = plain.steps.get(key)
            if step is None:
                step = plain.steps[key] = Step(plain.tools[position], plain.execution)
                self._ask_plain(f"{cast_id}.{position}.{segment.attempt}", plain, step, asked)
            elif step.status == "open" and is_last and step.tool in JOBS:
                if step.job and step.job in ended:
                    plain.tell(step, ended[step.job])
                elif self._generation(cast_id, key).is_overdue(self.world.clock.now()):
                    plain.tell(step, self._given_up() if step.job else LOST)
            elif step.status == "open":
                # An earlier invocation was killed after it had reserved the step: nobody knows whether it was asked.
                plain.tell(step, LOST)
            if not is_last and step.status == "told":
                step.finish()
            if not is_last and step.status != "completed":
                return

    def _ask_plain(self, generation_id: str, plain: Plain, step: Step, asked: Iterator[Asked]) -> None:
        expected = PRICES[step.tool]
        if expected > 0:
            over = plain.budget is not None and plain.cost + expected > plain.budget
            if plain.day and self.most is not None and self._counted(plain.day) + expected > self.most:
                over = True
            if over:
                step.status, step.answer = "told", Answer(False, None, "BUDGET_EXCEEDED")
                if step.tool in JOBS:
                    step.status = "failed"
                return
            if plain.day:
                step.day, step.counts = plain.day, expected
        request = next(asked)
        assert request.generation_id == generation_id
        if step.tool not in JOBS:
            plain.tell(step, request.answer)
        elif request.run_id is not None:
            step.job = request.run_id
        elif request.answer.code == LOST.code and JOBS[step.tool] == "webhook":
            pass  # Its callback may still come.
        else:
            plain.tell(step, Answer(False, None, request.answer.code))

    def _process(self, run: Run, plain: Plain, segment: Segment) -> None:
        key = (segment.last, segment.attempt)
        step = plain.steps[key]
        try:
            left = self._do(lambda: self.world.process_output(run.cast_id, run.remaining))
            run.remaining, run.token, run.timeouts = list(left), None, 0
        except StepEndedInFailure as error:
            run.interruption, run.settles = interruption_of(type(error).__name__, error.message), True
        if self.killed:
            return
        if step.status == "told":
            step.finish()
        assert run.settles == (step.status != "completed")

    def _finalize(self, run: Run, interruption: Failure | None) -> None:
        plain, left = self.casts[run.cast_id], self._left(run.cast_id)
        self._do(lambda: self.world.finalize_cost(run.cast_id, interruption, run.name))
        if run.number == plain.execution:
            self._close(plain, left)

    def _close(self, plain: Plain, left: Sequence[Step] = ()) -> None:
        """Jobs are stopped first, and each looked up once; also those that were `left` by who may ask nobody."""
        if self.killed:
            return
        ended = self._ends()
        for step in [*left, *plain.waiting()]:
            if step.job and step.job in ended:
                plain.tell(step, ended[step.job])
        if plain.is_running:
            plain.close()

    def _left(self, cast_id: str) -> list[Step]:
        plain = self.casts[cast_id]
        return [plain.steps[_key(item)] for item in self._load(cast_id)[1] if item.may_run_on]

    def _given_up(self) -> Answer:
        """What comes of a job at its deadline: what it cost until then, where it stops and says so."""
        return TIMED_OUT._replace(bill=self.bank.on_cancel if self.bank.heeds else None)

    def _tell(self, generation_id: str, answer: Answer) -> None:
        plain, step = self._step(generation_id)
        if not self.killed:
            plain.tell(step, answer)

    def _took_up(self, cast_id: str) -> None:
        """A start that was lost is mended; where all steps were completed, the cast is closed."""
        plain = self.casts[cast_id]
        if plain.is_running and not plain.is_cancelling and plain.unfinished() == len(plain.tools):
            self._close(plain)

    def _announce(self, record: Cast | Generation) -> None:
        published = self.world.announcer.published
        published.clear()
        self.notify_of(record)
        [event] = published
        detail = event.detail
        name = detail["generationId"] if isinstance(record, Generation) else detail["castId"]
        self.announced.add((name, detail["revision"]))
        if isinstance(record, Cast):
            assert detail["webhookDue"] == (record.has_just_ended and record.tells_its_end)
            if detail["cancelDue"]:
                self._stop(event)

    def _stop(self, event: Event) -> None:
        cast_id, execution = event.detail["castId"], event.detail["execution"]
        plain = self.casts[cast_id]
        is_current = self._record(cast_id).execution_name == execution
        left = self._left(cast_id)
        self._do(lambda: self.world.finalize_cost(cast_id, None, execution))
        if is_current:
            self._close(plain, left)
        self.every_write_is_lawful()

    def _check_ends(self) -> None:
        """I7: of the revisions of each closing, one is its end, and only of that one a webhook is called."""
        ends: Counter[str] = Counter()
        for record in self.world.store.writes:
            if isinstance(record, Cast) and record.is_terminal and record.has_just_ended:
                ends[record.cast_id] += 1
        assert ends == self.closed

    # --- what is done, and found ---

    def _do(self, operation: Callable[[], Value]) -> Value:
        """Whatever is killed is done again by who waits for it."""
        kills, self.doomed, self.killed = self.doomed, [], False
        self.chokepoint.arm(kills)
        try:
            return operation()
        except Crash:
            self.killed = True
            Casts.done["kills"] += 1
            self.chokepoint.arm([])
            try:
                return operation()
            finally:
                self._adopt()
        finally:
            self.chokepoint.arm([])

    def _hear_of_the_end_late(self) -> None:
        """The rule on machines that ended, for casts that somebody else was closing when he was killed."""
        for cast_id, plain in self.casts.items():
            if not plain.is_running:
                self.world.finalize_cost(cast_id, None, self._record(cast_id).execution_name)
        self._adopt()

    def _refused(self, error: type[SpellcastError], operation: Callable[[], object]) -> None:
        writes = len(self.world.store.writes)
        try:
            self._do(operation)
        except error:
            assert len(self.world.store.writes) == writes, "what is refused changes nothing"
            return
        raise AssertionError(f"{error.__name__} is missing")

    def _adopt(self) -> None:
        """The plain casts become what the records say, after a kill of which it is not known what it left."""
        for cast_id, plain in self.casts.items():
            record, generations = self._load(cast_id)
            plain.tools = self.versions[record.spell_id, record.version]
            plain.budget = record.budget_usd
            plain.day = record.daily_budget.day if record.daily_budget else None
            plain.status, plain.is_cancelling = record.status, record.is_cancelling
            plain.execution, plain.attempt, plain.first_step = record.execution, record.attempt, record.first_step
            plain.closings = [closing.execution for closing in record.closings]
            plain.steps = {_key(item): self._adopted(plain, item) for item in generations}

    def _adopted(self, plain: Plain, item: Generation) -> Step:
        result, reservation = item.result, item.reservation
        answer = None
        if result is not None:
            code = result.failure.code if result.failure else ""
            answer = Answer(result.status == "succeeded", result.cost_usd, code)
        step = Step(item.tool_id, item.execution, _state(item), answer, item.run_id, item.cost_usd, item.billed_late)  # type: ignore[arg-type]
        if reservation is not None:
            held = self.world.store.get_day(ACCOUNT, reservation.day).held
            step.day, step.counts = reservation.day, held.get(item.generation_id, item.cost_usd)
        return step

    def _see_new_runs(self) -> None:
        for name, segments in self.world.machine.casts.items():
            if name not in self.runs:
                cast_id, _, number = name.partition("-")
                self.runs[name] = Run(cast_id, name, int(number or 1), list(segments))

    def _live(self) -> list[Run]:
        return [run for run in self.runs.values() if not run.done]

    def _pick(self, pick: int) -> tuple[str, Plain]:
        cast_id = list(self.casts)[pick % len(self.casts)]
        return cast_id, self.casts[cast_id]

    def _job(self, pick: int) -> BankJob:
        return list(self.bank.jobs.values())[pick % len(self.bank.jobs)]

    def _ends(self) -> dict[str, Answer]:
        return {run_id: job.end for run_id, job in self.bank.jobs.items() if job.end is not None}

    def _step(self, generation_id: str) -> tuple[Plain, Step]:
        key = parse_generation_id(generation_id)
        assert key is not None
        plain = self.casts[key.cast_id]
        return plain, plain.steps[key.step_index, key.attempt]

    def _found(self, generation_id: str) -> Generation:
        found = self.world.store.get_generation(generation_id)
        assert found is not None
        return found

    def _generation(self, cast_id: str, key: tuple[int, int]) -> Generation:
        return self._found(f"{cast_id}.{key[0]}.{key[1]}")

    def _load(self, cast_id: str) -> tuple[Cast, list[Generation]]:
        loaded = self.world.store.load_cast(cast_id)
        assert loaded is not None
        return loaded

    def _record(self, cast_id: str) -> Cast:
        return self._load(cast_id)[0]

    def _today(self) -> str | None:
        return None if self.most is None else day_of(self.world.clock.now())

    def _counted(self, day: str) -> Decimal:
        steps = (step for plain in self.casts.values() for step in plain.steps.values())
        return money.total(step.counts for step in steps if step.day == day)

    def _has_expired(self, job: BankJob) -> bool:
        deadline = self._found(job.request.generation_id).deadline_at
        expires = (deadline + callback_tokens.VALID_AFTER_DEADLINE).timestamp()
        return self.world.clock.now().timestamp() >= int(expires)

    def _new_version(self, cast_id: str, tools: list[str]) -> int:
        spell_id = self.spells[cast_id]
        _, version, _ = self.world.update_spell(ACCOUNT, spell_id, "changed", "private", _steps(tools))
        self.versions[spell_id, version.version] = tools
        return version.version

    def _resume_order(self, budget: Decimal | None, version: int | None) -> ResumeOrder:
        self.requests += 1
        return ResumeOrder(fingerprint=f"request {self.requests}", budget_usd=budget, version=version)


def _steps(tools: list[str]) -> dict[str, Any]:
    return {"steps": [{"id": f"n{position}", "toolIdentifier": tool} for position, tool in enumerate(tools)]}


def _key(generation: Generation) -> tuple[int, int]:
    return generation.step_index, generation.attempt


def _state(generation: Generation) -> str:
    if generation.is_terminal:
        return generation.status
    return "open" if generation.result is None else "told"


def _check_generation(before: Generation | None, after: Generation) -> None:
    name = after.generation_id
    if before is None:
        return
    if before.is_terminal:
        assert after == replace(
            before,
            cost_usd=after.cost_usd,
            points_spent=after.points_spent,
            billed_late=True,
            billed_at=after.billed_at,
            revision=after.revision,
        ), f"I3: {name} has ended"
        assert not before.billed_late and before.cost_usd == 0 < after.cost_usd, f"I3: {name} was billed"
    elif before.result is not None:
        assert after.result is not None
        assert replace(after.result, cost_usd=before.result.cost_usd) == before.result, f"I4: {name} had its result"


def _closes(before: Cast | None, after: Cast) -> bool:
    """Whether this revision closes the cast; an end is changed by nothing but money, delivery and a resume."""
    if before is None or not before.is_terminal:
        return after.is_terminal
    if after.is_terminal:
        same = {"cost_usd", "points_spent", "updated_at", "revision", "delivery"}
        assert after == replace(before, **{name: getattr(after, name) for name in same}), "I3: a cast that has ended"
        assert not after.has_just_ended
    else:
        assert (after.execution, after.attempt) == (before.execution + 1, before.attempt + 1)
    return False


def test_random_lives_of_casts(defends: Defends) -> None:
    examples, batch, began = size(1_500, 40_000), size(1_500, 1_000), time.monotonic()
    Casts.done.clear()
    for number in range(examples // batch):
        # The long form ends after twenty minutes, whatever the machine makes of them.
        if LONG and time.monotonic() - began > 20 * 60:
            break
        try:
            run_state_machine_as_test(
                seed(SEED + number)(Casts),
                settings=settings(
                    max_examples=batch,
                    stateful_step_count=STEPS,
                    deadline=None,
                    database=None,
                    print_blob=True,
                    report_multiple_bugs=False,
                    suppress_health_check=list(HealthCheck),
                ),
                _min_steps=STEPS,
            )
        except BaseException as failure:
            failure.add_note(f"found with the seed {SEED + number}")
            raise
    done = Casts.done
    size_done = (
        f"{done['examples']:,} lives of up to {STEPS} rules: {done['casts']:,} casts, {done['writes']:,} writes, "
    )
    defends(
        "I1–I7", "any order of events, kills among them, against a plain model", size_done + f"{done['kills']:,} kills"
    )
