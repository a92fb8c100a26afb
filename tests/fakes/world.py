"""Every use case over the fakes, and a caster who drives the state machine by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from spellcast.api.bodies import read_draft
from spellcast.application.adopt_spell import AdoptSpell
from spellcast.application.budgets import Budgets
from spellcast.application.cancel_cast import CancelCast
from spellcast.application.cast_in_context import CastInContext
from spellcast.application.cast_spell import CastOrder, CastSpell
from spellcast.application.complete_generation import CompleteGeneration
from spellcast.application.complete_job import CompleteJob
from spellcast.application.create_spell import CreateSpell
from spellcast.application.delete_spell import DeleteSpell
from spellcast.application.execute_spell import ExecuteSpell
from spellcast.application.execute_step import ExecuteStep
from spellcast.application.finalize_cost import FinalizeCost
from spellcast.application.find_casts import FindCasts
from spellcast.application.find_ledger import FindLedger
from spellcast.application.find_spells import FindSpells
from spellcast.application.find_tools import FindTools
from spellcast.application.give_up_job import GiveUpJob
from spellcast.application.grant_permission import GrantPermission
from spellcast.application.interrupt_cast import InterruptCast
from spellcast.application.keep_accounts import KeepAccounts
from spellcast.application.keep_outputs import KeepOutputs
from spellcast.application.lint_spell import LintSpell
from spellcast.application.media_links import MediaLinks
from spellcast.application.poll_job import PollJob
from spellcast.application.process_output import ProcessOutput
from spellcast.application.quote_spell import QuoteSpell
from spellcast.application.receive_callback import ReceiveCallback
from spellcast.application.restart_cast import RestartCast
from spellcast.application.resume_cast import ResumeCast
from spellcast.application.retry_step import RetryStep
from spellcast.application.revoke_permission import RevokePermission
from spellcast.application.slots import Slots
from spellcast.application.start_job import StartJob
from spellcast.application.stop_cast import StopCast
from spellcast.application.submit import Submit
from spellcast.application.sweep import Sweep
from spellcast.application.update_spell import UpdateSpell
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.errors import StepEndedInFailure
from spellcast.domain.generations import Generation
from spellcast.domain.pricing import PricingPolicy
from spellcast.domain.results import Failure
from spellcast.domain.segments import Segment
from spellcast.domain.tools import Tool, parse_tool
from tests.fakes.adapters import FakeAdapter, FakeAdapters
from tests.fakes.announcer import FakeAnnouncer
from tests.fakes.breaker import FakeBreaker
from tests.fakes.clock import FakeClock
from tests.fakes.machine import FakeMachine
from tests.fakes.media import FakeMediaSource, FakeMediaStore
from tests.fakes.queue import FakeQueue
from tests.fakes.store import FakeStore

ACCOUNT = "alice"
SIGNING_KEY = "a signing key for tests"
INTERNAL_KEY = "an internal key for tests"
ORIGINAL_PRICES = PricingPolicy()


def make_tool(tool_id: str, mode: str = "immediate", amount: str = "0", unit: str = "run", **more: Any) -> Tool:
    """A tool of the service `fake` that takes an optional `prompt` and `text`."""
    definition: Document = {
        "toolId": tool_id,
        "service": "fake",
        "displayName": tool_id.title(),
        "deliveryMode": mode,
        "inputSchema": {
            "prompt": {"type": "string", "required": False},
            "text": {"type": "string", "required": False},
        },
        "costingModel": {"rateSource": "static", "staticCost": {"amount": amount, "unit": unit}},
        **more,
    }
    return parse_tool(definition)


class FakeSecrets:
    """Implements `ports.secrets.Secrets`."""

    def callback_signing_key(self) -> str:
        return SIGNING_KEY

    def internal_key(self) -> str:
        return INTERNAL_KEY


class World:
    """One account, one provider (`adapter`), and the tools free, paid, polled and called.

    Tools of the service `other` have a second provider.

    `through` is given every port before the use cases are, so that a test can stand in between.
    """

    def __init__(
        self,
        *more_tools: Tool,
        through: Callable[[Any], Any] = lambda port: port,
        pricing: PricingPolicy = ORIGINAL_PRICES,
        daily_budget_usd: Decimal | None = None,
        adapter: FakeAdapter | None = None,
    ) -> None:
        tools = [
            make_tool("free"),
            make_tool("paid", amount="0.01"),
            make_tool("polled", mode="async", amount="0.02"),
            make_tool("called", mode="webhook", amount="0.03"),
            *more_tools,
        ]
        self.store = FakeStore(tools)
        self.clock = FakeClock()
        self.machine = FakeMachine()
        self.announcer = FakeAnnouncer()
        self.adapter, self.other = adapter or FakeAdapter(), FakeAdapter()
        self.media = FakeMediaStore()
        self.media_source = FakeMediaSource()
        store, machine, announcer = through(self.store), through(self.machine), through(self.announcer)
        secrets = through(FakeSecrets())
        self.adapters = adapters = FakeAdapters({"fake": through(self.adapter), "other": through(self.other)})
        self.breaker = FakeBreaker()
        self.slept: list[float] = []
        self.on_sleep: Callable[[], object] = lambda: None
        self.draw: Callable[[], float] = lambda: 0.0
        slots = Slots(store, adapters, self.clock)
        submit = Submit(self.breaker, self.clock, self._sleep, lambda: self.draw())
        media, media_source = through(self.media), through(self.media_source)
        # A link is signed by ourselves: no call to the outside.
        self.links = MediaLinks(self.media)
        self.keep_outputs = KeepOutputs(
            media, lambda: media_source, adapters, store, self.clock, wait=self.clock.advance
        )
        self.find_tools = FindTools(store)
        self.find_spells = FindSpells(store)
        self.find_casts = FindCasts(store, store, self.links)
        self.quote_spell = QuoteSpell(self.find_spells, self.find_tools, store, pricing, store)
        self.find_ledger = FindLedger(store, store, store, self.clock, daily_budget_usd)
        self.lint_spell = LintSpell(self.find_tools)
        self.create_spell = CreateSpell(store, self.lint_spell, self.clock)
        self.update_spell = UpdateSpell(store, self.find_spells, self.lint_spell, self.clock)
        self.delete_spell = DeleteSpell(store, self.find_spells)
        self.grant_permission = GrantPermission(store, self.find_spells, self.clock)
        self.revoke_permission = RevokePermission(store, self.find_spells)
        self.budgets = budgets = Budgets(store, store)
        self.process_output = ProcessOutput(store, store, self.keep_outputs, pricing, budgets, self.clock)
        keep_accounts = KeepAccounts(store, store, store, pricing)
        finalize_cost = FinalizeCost(store, self.process_output, slots, keep_accounts, self.clock)
        # As in the composition root: only the function of this name writes the history, and stops jobs.
        stop_cast = StopCast(store, adapters, machine)
        self.finalize_cost = replace(finalize_cost, history=store, stop_cast=stop_cast)
        self.cancel_cast = CancelCast(store, self.find_casts, self.clock)
        self.restart_cast = RestartCast(store, store, self.find_tools, machine, finalize_cost, self.clock)
        self.resume_cast = ResumeCast(
            store,
            self.find_casts,
            self.find_spells,
            self.find_tools,
            self.restart_cast,
            self.clock,
            store,
            daily_budget_usd,
        )
        self.retry_step = RetryStep(self.resume_cast, store, self.find_tools)
        self.complete_job = CompleteJob(store, machine, finalize_cost, self.keep_outputs, slots, self.clock)
        self.cast_spell = CastSpell(
            store,
            self.find_spells,
            self.find_tools,
            machine,
            finalize_cost,
            self.clock,
            lambda url: None,
            store,
            daily_budget_usd,
        )
        self.adopt_spell = AdoptSpell(store, self.find_spells, self.find_tools, self.lint_spell, self.clock, read_draft)
        self.cast_in_context = CastInContext(store, self.cast_spell)
        self.execute_spell = ExecuteSpell(self.adopt_spell, self.cast_in_context)
        self.complete_generation = CompleteGeneration(store, self.complete_job)
        give_up_job = GiveUpJob(store, adapters, self.complete_job)
        self.execute_step = ExecuteStep(
            casts=store,
            spells=store,
            tools=store,
            adapters=adapters,
            machine=machine,
            process_output=self.process_output,
            keep_outputs=self.keep_outputs,
            links=self.links,
            complete_job=self.complete_job,
            start_job=StartJob(
                casts=store,
                adapters=adapters,
                machine=machine,
                secrets=secrets,
                complete_job=self.complete_job,
                give_up_job=give_up_job,
                links=self.links,
                submit=submit,
                clock=self.clock,
                callback_base_url="https://api.example",
            ),
            submit=submit,
            slots=slots,
            budgets=budgets,
            clock=self.clock,
        )
        self.poll_job = PollJob(store, store, adapters, announcer, self.complete_job, give_up_job, self.clock)
        self.receive_callback = ReceiveCallback(
            store, store, adapters, announcer, self.complete_job, secrets, self.clock, {"fake"}
        )
        self.interrupt_cast = InterruptCast(
            store, store, adapters, self.complete_job, give_up_job, finalize_cost, machine
        )
        self.queue = FakeQueue(self.clock)
        self.sweep = Sweep(
            casts=store,
            machine=machine,
            queue=through(self.queue),
            finalize_cost=replace(finalize_cost, stop_cast=stop_cast),
            interrupt_cast=self.interrupt_cast,
            restart_cast=self.restart_cast,
            clock=self.clock,
            shuffle=lambda due: None,
        )

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)
        self.on_sleep()

    def cast(self, *tool_ids: str, inputs: Document | None = None) -> Cast:
        """A cast of a spell whose steps `n0`, `n1`, … use these tools; its machine has been started."""
        steps = [{"id": f"n{position}", "toolIdentifier": tool_id} for position, tool_id in enumerate(tool_ids)]
        return self.cast_steps("-".join(tool_ids), steps, inputs)

    def cast_steps(self, name: str, steps: list[Document], inputs: Document | None = None) -> Cast:
        """A cast of a spell of this name with these steps."""
        spell, _, _ = self.create_spell(ACCOUNT, name, "private", {"steps": steps})
        order = CastOrder(spell=spell.spell_id, fingerprint="f", inputs=inputs or {})
        return self.cast_spell(ACCOUNT, order)[0]

    def segments(self, cast: Cast) -> list[Segment]:
        return self.machine.casts[cast.execution_name]

    def execute(self, cast: Cast, number: int = 0, token: str = "token") -> None:
        """Enters *Execute the step* for one of the cast's segments."""
        self.execute_step(cast.cast_id, self.segments(cast)[number], token, cast.execution_name)

    def process(self, cast: Cast, number: int = 0) -> Cast:
        """Enters *Process the output*, and what follows a failure there."""
        try:
            self.process_output(cast.cast_id, self.segments(cast)[number:])
        except StepEndedInFailure:
            self.finalize_cost(cast.cast_id, execution=cast.execution_name)
        return self.cast_of(cast)

    def settle(self, cast: Cast, failure: Failure | None = None) -> Cast:
        """Enters *Finalize the cost*, or *Settle the failed cast*."""
        return self.finalize_cost(cast.cast_id, failure, cast.execution_name)

    def cast_of(self, cast: Cast) -> Cast:
        found = self.store.get_cast(cast.cast_id)
        assert found is not None
        return found

    def generation(self, cast: Cast, position: int, attempt: int = 1) -> Generation:
        found = self.store.get_generation(f"{cast.cast_id}.{position}.{attempt}")
        assert found is not None
        return found
