"""A step's fallback tool: asked once, in the same attempt, and only where its own tool certainly began nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from spellcast.application.cast_spell import CastOrder
from spellcast.domain import documents, results
from spellcast.domain.account_settings import AccountSettings
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.errors import (
    AdapterFault,
    InvalidSignature,
    InvalidStepInput,
    JobFailed,
    OutcomeUnknown,
    ProviderNotConfigured,
    ProviderRefused,
    ProviderUnavailable,
    StepFailed,
)
from spellcast.domain.generations import Generation
from spellcast.domain.limits import Limits
from spellcast.domain.resources import generation_resource
from spellcast.domain.results import Failure, Job, ToolResult
from spellcast.ports.adapter import Request
from tests.fakes.crash import Crash
from tests.fakes.records import text_result
from tests.fakes.world import ACCOUNT, World, make_tool

TOOLS = ["free", "paid", "polled", "called"]
PAID, JOBS = TOOLS[1:], TOOLS[2:]
MODES = {"free": "immediate", "paid": "immediate", "polled": "async", "called": "webhook"}
RATE = {"free": "0", "paid": "0.05", "polled": "0.07", "called": "0.09"}
BUSY = "No more at the moment (429)"


@pytest.fixture
def world() -> World:
    """`<tool>-b` is the other provider's tool for each of the first one's, under inputs of its own."""
    own = {"prompt": {"type": "string", "required": False}, "style": {"type": "string", "default": "oil"}}
    others = (
        make_tool(f"{name}-b", mode, RATE[name], service="other", inputSchema=own) for name, mode in MODES.items()
    )
    return World(*others)


def busy() -> ProviderUnavailable:
    return ProviderUnavailable(BUSY, nothing_started=True)


def raising(error: BaseException) -> Callable[[Request], Any]:
    def ask(request: Request) -> Any:
        raise error

    return ask


def failing(world: World, error: Exception) -> None:
    """The first provider answers nothing but this."""
    world.adapter.on_execute = world.adapter.on_start = raising(error)


def cast_of(world: World, tool: str, **more: Any) -> Cast:
    return world.cast_steps(tool, [{"id": "n0", "toolIdentifier": tool, "fallbackTool": f"{tool}-b", **more}])


def asked(world: World) -> tuple[int, int]:
    first, second = world.adapter, world.other
    return len(first.executed + first.started), len(second.executed + second.started)


def ended(world: World, cast: Cast) -> Cast:
    """The cast at its end, its job done if it has one."""
    generation = world.generation(cast, 0)
    if generation.result is None and not generation.is_terminal:
        world.complete_job(generation.generation_id, text_result())
    if not world.generation(cast, 0).is_terminal:
        world.process(cast)
    return world.settle(cast)


def revisions(world: World) -> list[Generation]:
    return [item for item in world.store.writes if isinstance(item, Generation)]


def held(world: World) -> dict[str, set[str]]:
    now = world.clock.now()
    found = {
        scope: {holder for holder, expiry in leases.held.items() if expiry > now}
        for scope, leases in world.store.leases.items()
    }
    return {scope: holders for scope, holders in found.items() if holders}


# --- when it is asked ---


def refused_to_the_end(world: World) -> None:
    failing(world, busy())


def with_its_circuit_open(world: World) -> None:
    world.breaker.open.add("fake")


def not_configured(world: World) -> None:
    world.adapters.forget("fake")


def without_a_key(world: World) -> None:
    failing(world, ProviderNotConfigured("There is no key."))


def full_for_too_long(world: World) -> None:
    world.adapters.configured_for["fake"] = Limits(jobs=1, requests=1)
    for kind in ("jobs", "requests"):
        leases = world.store.get_leases(f"fake#{kind}")
        taken = leases.taken("somebody", 1, world.clock.now() + timedelta(days=1), world.clock.now())
        assert taken is not None
        world.store.save_leases(taken)
    # The cast has had its time to wait.
    world.clock.advance(4 * 60)


REASONS = [
    (refused_to_the_end, "PROVIDER_UNAVAILABLE", 4),
    (with_its_circuit_open, "PROVIDER_UNAVAILABLE", 0),
    (not_configured, "PROVIDER_NOT_CONFIGURED", 0),
    (without_a_key, "PROVIDER_NOT_CONFIGURED", 1),
    (full_for_too_long, "LIMIT_REACHED", 0),
]


@pytest.mark.parametrize(("happens", "code", "first"), REASONS)
@pytest.mark.parametrize("tool", TOOLS)
def test_the_fallback_does_the_step_in_the_same_attempt(
    world: World, tool: str, happens: Callable[[World], None], code: str, first: int
) -> None:
    cast = cast_of(world, tool)
    happens(world)
    world.execute(cast)
    assert asked(world) == (first, 1)
    closed = ended(world, cast)
    assert (closed.status, closed.failure, closed.cost_usd) == ("completed", None, Decimal(RATE[tool]))
    generation = world.generation(cast, 0)
    assert (generation.tool_id, generation.service_name, generation.attempt) == (f"{tool}-b", "other", 1)
    shown = generation_resource(generation)["metadata"]
    assert shown["fallbackFrom"] == generation.fallback_from
    assert {"toolId": tool, "code": code}.items() <= shown["fallbackFrom"].items()
    assert shown["fallbackFrom"]["message"]
    assert generation.submission == (None if tool in ("free", "paid") else "submitted")
    written = [item.revision for item in revisions(world)]
    assert written == sorted(set(written))
    assert "somebody" not in str(generation)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(OutcomeUnknown("Lost."), id="the answer was lost"),
        pytest.param(OutcomeUnknown("Lost.", "r1"), id="the answer of a job with an id of ours was lost"),
        pytest.param(ProviderUnavailable("Somewhere."), id="unavailable, and nothing is proved"),
        pytest.param(ProviderRefused("No credit."), id="refused"),
        pytest.param(InvalidStepInput("No."), id="a wrong input"),
        pytest.param(JobFailed("No."), id="it failed"),
        pytest.param(AdapterFault("Oh."), id="a fault of the adapter"),
        pytest.param(KeyError("oh"), id="a defect of the adapter"),
    ],
)
@pytest.mark.parametrize("tool", TOOLS)
def test_after_nothing_else(world: World, tool: str, error: Exception) -> None:
    failing(world, error)
    cast = cast_of(world, tool)
    world.execute(cast)
    assert asked(world) == (1, 0)
    assert world.generation(cast, 0).tool_id == tool


@pytest.mark.parametrize("tool", TOOLS)
def test_nor_after_a_lost_answer_that_followed_a_refusal(world: World, tool: str) -> None:
    answers: list[StepFailed] = [busy(), OutcomeUnknown("Lost.")]

    def answer(request: Request) -> Any:
        raise answers.pop(0)

    world.adapter.on_execute = world.adapter.on_start = answer
    world.execute(cast_of(world, tool))
    assert asked(world) == (2, 0)


def test_nor_after_a_job_that_failed(world: World) -> None:
    cast = cast_of(world, "called")
    world.execute(cast)
    world.complete_job(f"{cast.cast_id}.0.1", ToolResult("failed", failure=Failure("JOB_FAILED", "No.")))
    world.process(cast)
    assert (asked(world), world.cast_of(cast).status) == ((1, 0), "failed")


@pytest.mark.parametrize("tool", TOOLS)
def test_a_step_whose_tool_works_does_without_it_and_writes_no_more(world: World, tool: str) -> None:
    cast, plain = cast_of(world, tool), world.cast(tool)
    for one in (cast, plain):
        world.execute(one)
        assert ended(world, one).status == "completed"
    own, others = ([item for item in revisions(world) if item.cast_id == one.cast_id] for one in (cast, plain))
    assert [item.revision for item in own] == [item.revision for item in others]
    assert (asked(world), world.generation(cast, 0).fallback_from) == ((2, 0), {})
    assert "fallbackFrom" not in generation_resource(world.generation(cast, 0))["metadata"]


@pytest.mark.parametrize("tool", PAID)
def test_one_conditional_write_makes_the_record_the_fallbacks(world: World, tool: str) -> None:
    failing(world, busy())
    cast = cast_of(world, tool)
    seen: list[Generation] = []

    def look(request: Request) -> Any:
        seen.append(world.generation(cast, 0))
        return text_result() if request.tool.is_immediate else Job("job-b", calls_back=False)

    world.other.on_execute = world.other.on_start = look
    world.execute(cast)
    [found] = seen
    assert (found.tool_id, found.status, found.revision) == (f"{tool}-b", "pending", 2)
    assert found.submission == (None if tool == "paid" else "submitting")
    assert [(item.tool_id, item.revision) for item in revisions(world)][:2] == [(tool, 1), (f"{tool}-b", 2)]


# --- what it is given ---


@pytest.mark.parametrize("tool", TOOLS)
def test_its_inputs_are_resolved_anew(world: World, tool: str) -> None:
    failing(world, busy())
    steps: list[Document] = [
        {
            "id": "n0",
            "toolIdentifier": tool,
            "fallbackTool": f"{tool.title()}-B",
            "parameterOverrides": {"prompt": "a cat"},
        }
    ]
    spell, _, _ = world.create_spell(ACCOUNT, "s", "private", {"steps": steps})
    world.store.put_settings(ACCOUNT, AccountSettings({f"{tool}-b": {"style": "ink"}}))
    cast, _ = world.cast_spell(ACCOUNT, CastOrder(spell=spell.spell_id, fingerprint="f"))
    world.execute(cast)
    [request] = world.other.executed + world.other.started
    assert request.inputs == {"prompt": "a cat", "style": "ink"}
    assert world.generation(cast, 0).request_payload == request.inputs


def test_its_time_is_what_is_left_of_the_steps(world: World) -> None:
    failing(world, busy())
    cast = cast_of(world, "called")
    begun = world.clock.now()
    world.execute(cast)
    generation = world.generation(cast, 0)
    waited = timedelta(seconds=sum(world.slept))
    assert waited
    # What the first provider took of the step's time is no part of the run.
    assert generation.request_timestamp == begun + waited
    assert begun + timedelta(minutes=15, seconds=-1) < generation.deadline_at <= begun + timedelta(minutes=15)
    assert world.other.started[0].tool.deadline_seconds == 898


def test_there_is_none_when_the_steps_time_is_over(world: World) -> None:
    def slow(request: Request) -> Any:
        world.clock.advance(60)
        raise busy()

    world.adapter.on_execute = slow
    cast = cast_of(world, "paid")
    world.execute(cast)
    assert (asked(world), world.generation(cast, 0).tool_id) == ((1, 0), "paid")


@pytest.mark.parametrize("tool", PAID)
def test_a_fallback_beyond_the_budget_is_not_asked(world: World, tool: str) -> None:
    failing(world, busy())
    steps: list[Document] = [{"id": "n0", "toolIdentifier": tool, "fallbackTool": f"{tool}-b"}]
    spell, _, _ = world.create_spell(ACCOUNT, "s", "private", {"steps": steps})
    order = CastOrder(spell=spell.spell_id, fingerprint="f", budget_usd=Decimal("0.04"))
    cast, _ = world.cast_spell(ACCOUNT, order)
    world.execute(cast)
    closed = ended(world, cast) if world.generation(cast, 0).result else world.settle(cast)
    assert asked(world) == (4, 0)
    assert closed.failure is not None
    assert (closed.failure.code, closed.cost_usd) == ("BUDGET_EXCEEDED", Decimal(0))
    generation = world.generation(cast, 0)
    assert (generation.tool_id, generation.fallback_from["code"]) == (f"{tool}-b", "PROVIDER_UNAVAILABLE")
    assert generation.submission == (None if tool == "paid" else "notStarted")


@pytest.mark.parametrize("tool", TOOLS)
def test_where_it_fails_too_its_reason_counts(world: World, tool: str) -> None:
    failing(world, busy())
    world.other.on_execute = world.other.on_start = raising(ProviderUnavailable("Nor here.", nothing_started=True))
    cast = cast_of(world, tool)
    world.execute(cast)
    closed = ended(world, cast)
    assert asked(world) == (4, 4)
    assert closed.failure is not None
    assert (closed.failure.code, closed.failure.message) == ("PROVIDER_UNAVAILABLE", "Nor here.")
    assert world.generation(cast, 0).fallback_from == {"toolId": tool, "code": "PROVIDER_UNAVAILABLE", "message": BUSY}
    assert world.breaker.failed == {"fake": 1, "other": 1}


@pytest.mark.parametrize("made_anew", [None, "async"])
@pytest.mark.parametrize("tool", ["free", "paid"])
def test_a_fallback_that_is_gone_or_of_another_kind_by_now_is_none(
    world: World, tool: str, made_anew: str | None
) -> None:
    failing(world, busy())
    world.store.create_tool(ACCOUNT, make_tool("mine", service="other"))
    cast = cast_of(world, tool, fallbackTool="mine")
    world.store.delete_tool(ACCOUNT, "mine")
    if made_anew:
        world.store.create_tool(ACCOUNT, make_tool("mine", made_anew, service="other"))
    world.execute(cast)
    closed = ended(world, cast)
    assert closed.failure is not None
    assert (asked(world), closed.failure.message) == ((4, 0), BUSY)


def test_a_job_whose_fallback_is_gone_fails_with_the_first_reason(world: World) -> None:
    failing(world, busy())
    world.store.create_tool(ACCOUNT, make_tool("mine", "async", service="other"))
    cast = cast_of(world, "polled", fallbackTool="mine")
    world.store.delete_tool(ACCOUNT, "mine")
    world.execute(cast)
    generation = world.generation(cast, 0)
    assert generation.failure == Failure("PROVIDER_UNAVAILABLE", BUSY, retryable=True)
    assert (generation.submission, generation.tool_id) == ("notStarted", "polled")
    assert world.machine.answers["token"] == generation.failure


# --- places under a limit ---


@pytest.mark.parametrize("tool", JOBS)
def test_the_first_place_is_given_back_and_the_fallbacks_taken(world: World, tool: str) -> None:
    world.adapters.configured = Limits(jobs=1, account_jobs=1)
    failing(world, busy())
    cast = cast_of(world, tool)
    world.execute(cast)
    generation = world.generation(cast, 0)
    assert generation.slots == ("other#jobs", "other#jobs#alice")
    assert held(world) == {scope: {generation.generation_id} for scope in generation.slots}
    ended(world, cast)
    assert held(world) == {}


@pytest.mark.parametrize("tool", JOBS)
def test_two_tools_of_one_provider_need_one_place(world: World, tool: str) -> None:
    world.adapters.configured = Limits(jobs=1)
    second = make_tool("second", MODES[tool])
    world.store.create_tool(ACCOUNT, second)

    def answer(request: Request) -> Job:
        if request.tool.tool_id == tool:
            raise busy()
        return Job("job", calls_back=False)

    world.adapter.on_start = answer
    cast = cast_of(world, tool, fallbackTool="second")
    world.execute(cast)
    assert held(world) == {"fake#jobs": {f"{cast.cast_id}.0.1"}}


@pytest.mark.parametrize("tool", PAID)
def test_a_fallback_without_a_place_is_not_waited_for_once_the_step_is_reserved(world: World, tool: str) -> None:
    failing(world, busy())
    cast, kind = cast_of(world, tool), "requests" if tool == "paid" else "jobs"
    world.adapters.configured_for["other"] = Limits(jobs=1, requests=1)
    now = world.clock.now()
    leases = world.store.get_leases(f"other#{kind}").taken("somebody", 1, now + timedelta(days=1), now)
    assert leases is not None
    world.store.save_leases(leases)
    world.execute(cast)
    closed = ended(world, cast)
    assert closed.failure is not None
    assert (asked(world), closed.failure.code) == ((4, 0), "LIMIT_REACHED")
    assert held(world) == {f"other#{kind}": {"somebody"}}


@pytest.mark.parametrize("tool", TOOLS)
def test_one_that_was_never_reserved_waits_for_the_fallbacks_place(world: World, tool: str) -> None:
    cast = cast_of(world, tool)
    not_configured(world)
    world.adapters.configured_for["other"] = Limits(jobs=1, requests=1)
    now = world.clock.now()
    for kind in ("jobs", "requests"):
        leases = world.store.get_leases(f"other#{kind}").taken("somebody", 1, now + timedelta(minutes=1), now)
        assert leases is not None
        world.store.save_leases(leases)
    world.execute(cast, token="t1")
    told = world.machine.answers["t1"]
    assert isinstance(told, Failure)
    assert (told.code, revisions(world)) == ("NO_FREE_SLOT", [])
    world.clock.advance(61)
    world.execute(cast, token="t2")
    assert (asked(world), world.generation(cast, 0).tool_id) == ((0, 1), f"{tool}-b")


# --- others who write meanwhile ---


@pytest.mark.parametrize("tool", JOBS)
def test_a_later_invocation_takes_up_the_fallbacks_job_and_asks_nobody(world: World, tool: str) -> None:
    failing(world, busy())
    cast = cast_of(world, tool)
    world.execute(cast, token="t1")
    world.other.on_poll = lambda run_id: text_result()
    world.execute(cast, token="t2")
    assert (asked(world), world.other.polled, world.adapter.polled) == ((4, 1), ["job-1"], [])
    assert world.machine.answers["t2"] == f"{cast.cast_id}.0.1"


@pytest.mark.parametrize("tool", JOBS)
def test_a_token_that_was_stored_in_between_is_told_that_nothing_was_begun(world: World, tool: str) -> None:
    cast = cast_of(world, tool)
    failing(world, busy())
    world.on_sleep = lambda: world.execute(cast, token="t2") if len(world.slept) == 1 else None
    world.execute(cast, token="t1")
    generation = world.generation(cast, 0)
    assert (asked(world), generation.tool_id, generation.submission) == ((4, 0), tool, "notStarted")
    assert world.machine.answers["t2"] == generation.generation_id
    closed = ended(world, cast)
    assert closed.failure is not None
    assert closed.failure.message == BUSY


@pytest.mark.parametrize("tool", JOBS)
def test_a_record_that_falls_back_while_it_is_taken_up_is_looked_up_as_the_fallbacks(world: World, tool: str) -> None:
    world.adapter.derives_run_ids = world.other.derives_run_ids = True
    world.adapter.on_start = raising(Crash("killed"))
    cast = cast_of(world, tool)
    with pytest.raises(Crash):
        world.execute(cast, token="t1")
    first, second = world.generation(cast, 0), world.store.get_tool(ACCOUNT, f"{tool}-b")
    assert second is not None
    falling = replace(first, tool_id=second.tool_id, service_name=second.service)
    fallen = falling.instead_of(first, Failure("PROVIDER_UNAVAILABLE", BUSY))
    world.store.meanwhile.append(lambda: world.store.save_generation(fallen, first))
    world.execute(cast, token="t2")
    assert world.adapter.polled == []
    assert [used.tool_id for used in world.other.polled_with] == [second.tool_id]
    assert world.generation(cast, 0).task_token == "t2"


@pytest.mark.parametrize("tool", JOBS)
def test_a_cast_that_is_closed_meanwhile_asks_no_fallback(world: World, tool: str) -> None:
    cast = cast_of(world, tool)

    def refuse(request: Request) -> Any:
        if len(world.adapter.started) == 4:
            world.settle(cast, Failure("CAST_INTERRUPTED", "Stopped."))
        raise busy()

    world.adapter.on_start = refuse
    world.execute(cast)
    assert (asked(world), world.cast_of(cast).status) == ((4, 0), "failed")
    assert world.generation(cast, 0).tool_id == tool


# --- callbacks ---


def callback(text: str) -> bytes:
    return documents.to_text({"status": "succeeded", "output": {"text": text}}).encode()


def test_the_first_providers_signature_completes_nothing(world: World) -> None:
    failing(world, busy())
    world.other.signature = "other"
    cast = cast_of(world, "called")
    world.execute(cast)
    first, second = world.adapter.started[0], world.other.started[0]
    for request in (first, second):
        with pytest.raises(InvalidSignature):
            world.receive_callback(request.callback_url.rpartition("/")[2], {"x-signature": "good"}, callback("a"))
    assert world.generation(cast, 0).result is None
    world.receive_callback(second.callback_url.rpartition("/")[2], {"x-signature": "other"}, callback("b"))
    assert ended(world, cast).outputs == {"text": "b"}


# --- quotes and history ---


def test_a_step_is_quoted_by_its_first_tool_and_remembered_as_what_ran(world: World) -> None:
    cast = cast_of(world, "paid")
    quote = world.quote_spell(ACCOUNT, cast.spell_id, {})
    assert [(step.tool_id, step.cost_usd) for step in quote.breakdown] == [("paid", Decimal("0.01"))]
    failing(world, busy())
    world.execute(cast)
    ended(world, cast)
    runs = world.store.list_runs(ACCOUNT, {"paid", "paid-b"})
    assert {tool: [run.cost_usd for run in found] for tool, found in runs.items() if found} == {
        "paid-b": [Decimal("0.05")]
    }


def test_the_next_step_goes_on_from_what_the_fallback_made(world: World) -> None:
    failing(world, busy())
    world.adapter.on_execute = lambda request: results.succeeded("text", {"text": f"<{request.inputs['prompt']}>"})
    world.other.on_start = lambda request: Job("job-b", calls_back=False)
    wire = {"type": "nodeOutput", "nodeId": "n0", "outputKey": "text"}
    steps: list[Document] = [
        {"id": "n0", "toolIdentifier": "polled", "fallbackTool": "polled-b"},
        {"id": "n1", "toolIdentifier": "free", "parameterMappings": {"prompt": wire}},
    ]
    cast = world.cast_steps("two", steps)
    world.execute(cast)
    world.complete_job(f"{cast.cast_id}.0.1", text_result())
    world.process(cast)
    world.execute(cast, 1)
    world.process(cast, 1)
    closed = world.settle(cast)
    assert (closed.status, closed.cost_usd) == ("completed", Decimal("0.07"))
    text = text_result().payload[0]["data"]["text"]
    assert closed.outputs == {"text": f"<{text}>"}
