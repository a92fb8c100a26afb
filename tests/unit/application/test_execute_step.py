from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from spellcast.application.cast_spell import CastOrder
from spellcast.domain import results
from spellcast.domain.account_settings import AccountSettings
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.errors import (
    CastNotFound,
    JobFailed,
    OutcomeUnknown,
    ProviderRefused,
    ProviderUnavailable,
    StepEndedInFailure,
    StepFailed,
    StorageUnavailable,
)
from spellcast.domain.generations import Generation
from spellcast.domain.results import Failure, Job, ToolResult
from spellcast.domain.segments import Segment
from spellcast.domain.tools import Tool
from spellcast.ports.adapter import Request
from tests.fakes.adapters import lost
from tests.fakes.machine import FakeMachine
from tests.fakes.records import text_result
from tests.fakes.store import in_row
from tests.fakes.world import ACCOUNT, World, make_tool


@pytest.fixture
def world() -> World:
    return World()


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*arguments: object) -> Any:
        raise error

    return fail


def needing(tool_id: str, mode: str, amount: str = "0") -> Tool:
    schema = {"prompt": {"type": "string"}, "picture": {"type": "image"}}
    return make_tool(tool_id, mode, amount, inputSchema=schema)


def refusal(world: World, token: str = "token") -> Failure:
    answer = world.machine.answers[token]
    assert isinstance(answer, Failure)
    return answer


def terminal_revisions(world: World, generation_id: str) -> int:
    written = [item for item in world.store.writes if isinstance(item, Generation)]
    return sum(item.is_terminal for item in written if item.generation_id == generation_id)


def test_an_execution_that_another_took_over_from_gets_nothing(world: World) -> None:
    cast = world.cast("paid")
    world.store.save_cast(replace(cast, execution=2, revision=2), cast)
    world.execute(cast)
    assert isinstance(refusal := world.machine.answers["token"], Failure)
    assert (refusal.code, world.adapter.executed) == ("CAST_INTERRUPTED", [])


# --- the happy path of each kind ---


@pytest.mark.parametrize("tool", ["free", "paid"])
def test_an_immediate_step_is_run_and_its_segment_answered(world: World, tool: str) -> None:
    cast = world.cast(tool, inputs={"prompt": "a cat"})
    world.execute(cast)
    generation = world.generation(cast, 0)
    assert (generation.status, generation.result) == ("processing", text_result("<a cat>"))
    assert world.machine.answers == {"token": generation.generation_id}
    assert world.adapter.executed[0].inputs == {"prompt": "a cat"}
    assert world.process(cast).status == "running"
    assert world.generation(cast, 0).status == "completed"
    assert world.settle(cast).status == "completed"


def test_a_run_of_immediate_steps_is_done_in_one_invocation(world: World) -> None:
    cast = world.cast("free", "paid", "free", inputs={"prompt": "a cat"})
    world.execute(cast)
    assert [world.generation(cast, position).status for position in range(3)] == [
        "completed",
        "completed",
        "processing",
    ]
    # Each step finds what the one before it made.
    assert [request.inputs for request in world.adapter.executed] == [
        {"prompt": "a cat"},
        {"prompt": "a cat", "text": "<a cat>"},
        {"prompt": "a cat", "text": "<a cat>"},
    ]
    assert world.machine.answers == {"token": f"{cast.cast_id}.2.1"}


def test_a_polled_job_is_started_and_its_polling_too(world: World) -> None:
    cast = world.cast("free", "polled")
    world.execute(cast)
    generation = world.generation(cast, 1)
    assert (generation.status, generation.run_id, generation.task_token) == ("processing", "job-1", "token")
    assert world.machine.polling == [generation.generation_id]
    assert world.machine.answers == {}


def test_a_called_job_is_started_with_its_callback_and_not_polled(world: World) -> None:
    cast = world.cast("called")
    world.execute(cast)
    assert world.machine.polling == []
    (request,) = world.adapter.started
    assert request.callback_url.startswith("https://api.example/v1/completions/")
    token = request.callback_url.rpartition("/")[2]
    body = b'{"status":"succeeded","output":{"text":"t"}}'
    assert world.receive_callback(token, {"x-signature": "good"}, body) == f"{cast.cast_id}.0.1"
    assert world.machine.answers == {"token": f"{cast.cast_id}.0.1"}


def test_the_callback_url_is_not_in_the_requests_representation(world: World) -> None:
    world.execute(world.cast("called"))
    assert "completions" not in repr(world.adapter.started[0])


def test_the_second_segment_finds_the_outputs_of_the_first(world: World) -> None:
    cast = world.cast("polled", "free")
    world.execute(cast, 0, "t1")
    world.complete_job(f"{cast.cast_id}.0.1", text_result("from the job"))
    world.process(cast, 0)
    world.execute(cast, 1, "t2")
    assert world.adapter.executed[0].inputs == {"text": "from the job"}
    assert world.machine.answers["t2"] == f"{cast.cast_id}.1.1"


def test_the_collections_ids_go_with_the_generation(world: World) -> None:
    spell, _, _ = world.create_spell(ACCOUNT, "s", "private", {"steps": [{"toolIdentifier": "free"}]})
    metadata = {"cookId": "k", "collectionId": " ", "note": "n"}
    cast, _ = world.cast_spell(ACCOUNT, CastOrder(spell=spell.spell_id, fingerprint="f", metadata=metadata))
    world.execute(cast)
    assert world.generation(cast, 0).collection == {"cookId": "k"}


# --- invoked again, at every point ---


def test_before_anything_was_written_a_step_is_simply_run(world: World) -> None:
    # The first invocation never came to its first write: the second knows nothing of it.
    cast = world.cast("paid")
    world.execute(cast, token="t2")
    assert world.machine.answers == {"t2": f"{cast.cast_id}.0.1"}


def test_a_reserved_paid_step_is_not_asked_again(world: World) -> None:
    cast = world.cast("paid", "free")
    world.adapter.on_execute = raising(KeyboardInterrupt())  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        world.execute(cast, token="t1")
    assert world.generation(cast, 0).status == "pending"
    world.execute(cast, token="t2")
    assert len(world.adapter.executed) == 1
    generation = world.generation(cast, 0)
    assert generation.failure is not None
    assert (generation.status, generation.failure.code) == ("failed", "OUTCOME_UNKNOWN")
    assert refusal(world, "t2").code == "STEP_FAILED"
    assert refusal(world, "t2").message == "Step 0 ended with OUTCOME_UNKNOWN."
    closed = world.settle(cast)
    assert closed.failure is not None
    assert (closed.status, closed.failure.code, closed.failure.step_index) == ("failed", "OUTCOME_UNKNOWN", 0)


@pytest.mark.parametrize("prompt", ["a cat", "x" * 200_001], ids=["small inputs", "large inputs"])
@pytest.mark.parametrize("tools", [("paid",), ("paid", "free")], ids=["last", "in place"])
def test_i5_a_paid_result_that_the_bucket_does_not_take_is_a_failure_with_its_price(
    world: World, monkeypatch: pytest.MonkeyPatch, tools: tuple[str, ...], prompt: str
) -> None:
    cast = world.cast(*tools, inputs={"prompt": prompt})
    save, is_away = world.store.save_generation, False

    def save_generation(generation: Generation, previous: Generation | None) -> None:
        if is_away and in_row(generation).unread.keys() - generation.unread.keys():
            raise StorageUnavailable("The bucket did not answer.")
        save(generation, previous)

    def answer(request: Request) -> ToolResult:
        nonlocal is_away
        is_away = True
        return replace(text_result("y" * 200_001), cost_usd=Decimal("0.07"))

    monkeypatch.setattr(world.store, "save_generation", save_generation)
    world.adapter.on_execute = answer
    world.execute(cast, token="t1")
    is_away = False
    if len(tools) == 1:
        assert world.machine.answers == {"t1": f"{cast.cast_id}.0.1"}
        world.process(cast)
    else:
        assert refusal(world, "t1").message == "Step 0 ended with STORAGE_UNAVAILABLE."
        world.settle(cast)
    generation, closed = world.generation(cast, 0), world.cast_of(cast)
    assert generation.failure is not None
    assert (generation.status, generation.failure.code) == ("failed", "STORAGE_UNAVAILABLE")
    assert (generation.failure.retryable, generation.request_payload["prompt"]) == (False, prompt)
    assert (closed.status, closed.cost_usd, len(world.adapter.executed)) == ("failed", Decimal("0.07"), 1)


def test_a_free_result_that_the_bucket_does_not_take_is_asked_for_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast = world.cast("free")
    with monkeypatch.context() as away, pytest.raises(StorageUnavailable):
        away.setattr(world.store, "save_generation", raising(StorageUnavailable("The bucket did not answer.")))
        world.execute(cast, token="t1")
    world.execute(cast, token="t2")
    assert world.process(cast).status == "running"
    assert world.generation(cast, 0).status == "completed"


def test_a_reserved_paid_step_at_the_end_of_its_segment_fails_in_the_same_way(world: World) -> None:
    cast = world.cast("paid")
    world.adapter.on_execute = raising(KeyboardInterrupt())  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        world.execute(cast, token="t1")
    world.execute(cast, token="t2")
    assert len(world.adapter.executed) == 1
    assert world.machine.answers == {"t2": f"{cast.cast_id}.0.1"}
    closed = world.process(cast)
    assert closed.failure is not None
    assert (closed.status, closed.failure.code) == ("failed", "OUTCOME_UNKNOWN")


def test_a_free_step_that_changes_something_is_reserved_too(world: World) -> None:
    world.adapter.repeatable = False
    cast = world.cast("free")
    world.adapter.on_execute = raising(KeyboardInterrupt())  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        world.execute(cast, token="t1")
    assert world.generation(cast, 0).status == "pending"
    world.execute(cast, token="t2")
    assert len(world.adapter.executed) == 1


def test_a_paid_step_is_reserved_even_where_its_adapter_could_repeat_it(world: World) -> None:
    seen: list[str] = []
    cast = world.cast("paid")

    def look(request: Request) -> ToolResult:
        seen.append(world.generation(cast, 0).status)
        return text_result()

    world.adapter.on_execute = look
    world.execute(cast)
    assert seen == ["pending"]


def test_a_pure_step_is_run_again(world: World) -> None:
    cast = world.cast("free", "free")
    working, world.adapter.on_execute = world.adapter.on_execute, raising(KeyboardInterrupt())  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        world.execute(cast, token="t1")
    world.adapter.on_execute = working
    world.execute(cast, token="t2")
    assert len(world.adapter.executed) == 3
    assert world.machine.answers == {"t2": f"{cast.cast_id}.1.1"}


def test_steps_that_are_completed_are_not_run_again(world: World) -> None:
    cast = world.cast("paid", "free", "polled")
    world.execute(cast, token="t1")
    world.execute(cast, token="t2")
    assert (len(world.adapter.executed), len(world.adapter.started)) == (2, 1)


@pytest.mark.parametrize("tool", ["free", "paid"])
def test_a_stored_result_is_answered_and_not_asked_for_again(world: World, tool: str) -> None:
    cast = world.cast(tool)
    world.execute(cast, token="t1")
    writes = len(world.store.writes)
    world.execute(cast, token="t2")
    assert world.machine.answers == {"t1": f"{cast.cast_id}.0.1", "t2": f"{cast.cast_id}.0.1"}
    assert (len(world.adapter.executed), len(world.store.writes)) == (1, writes)


@pytest.mark.parametrize("tool", ["free", "paid", "polled", "called"])
def test_a_terminal_step_is_answered_and_not_written_again(world: World, tool: str) -> None:
    cast = world.cast(tool, "free")
    world.execute(cast, token="t1")
    if tool in ("polled", "called"):
        world.complete_job(f"{cast.cast_id}.0.1", text_result())
        world.process(cast)
    writes = len(world.store.writes)
    world.execute(cast, token="t2")
    assert world.machine.answers["t2"] == f"{cast.cast_id}.{0 if tool in ('polled', 'called') else 1}.1"
    assert len(world.store.writes) == writes
    assert len(world.adapter.started) <= 1
    assert len(world.adapter.executed) <= 2


@pytest.mark.parametrize("tool", ["polled", "called"])
@pytest.mark.parametrize("derives", [False, True])
def test_a_reserved_job_is_never_submitted_again(world: World, tool: str, derives: bool) -> None:
    world.adapter.derives_run_ids = derives
    cast = world.cast(tool)
    world.adapter.on_start = raising(KeyboardInterrupt())  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        world.execute(cast, token="t1")
    world.execute(cast, token="t2")
    generation = world.generation(cast, 0)
    assert (len(world.adapter.started), generation.task_token) == (1, "t2")
    # Where the id was chosen here, the job is looked for under it; otherwise only a callback can tell.
    derived = f"derived-{generation.generation_id}" if derives else None
    assert (generation.run_id, world.adapter.polled) == (derived, [derived] if derives else [])
    assert world.machine.polling == ([generation.generation_id] if derives else [])


@pytest.mark.parametrize("tool", ["polled", "called"])
def test_a_submitted_job_waits_under_the_new_token(world: World, tool: str) -> None:
    cast = world.cast(tool)
    world.execute(cast, token="t1")
    world.execute(cast, token="t2")
    assert len(world.adapter.started) == 1
    world.complete_job(f"{cast.cast_id}.0.1", text_result())
    assert world.machine.answers == {"t2": f"{cast.cast_id}.0.1"}


def test_a_polling_that_was_not_started_is_started_by_the_next_invocation(world: World) -> None:
    cast = world.cast("polled")
    world.execute(cast, token="t1")
    world.machine.forget_polling()
    world.execute(cast, token="t2")
    assert world.machine.polling == [f"{cast.cast_id}.0.1"]


def test_a_later_invocation_that_finds_the_job_finished_answers(world: World) -> None:
    cast = world.cast("polled")
    world.execute(cast, token="t1")
    world.adapter.on_poll = lambda run_id: text_result("found")
    world.execute(cast, token="t2")
    assert world.machine.answers == {"t2": f"{cast.cast_id}.0.1"}
    assert world.generation(cast, 0).result == text_result("found")


@pytest.mark.parametrize("tool", ["polled", "called"])
def test_a_result_that_came_before_the_new_token_is_answered_by_the_invocation(world: World, tool: str) -> None:
    cast = world.cast(tool)
    world.execute(cast, token="t1")
    world.complete_job(f"{cast.cast_id}.0.1", text_result())
    world.execute(cast, token="t2")
    assert world.machine.answers == {"t1": f"{cast.cast_id}.0.1", "t2": f"{cast.cast_id}.0.1"}
    assert world.adapter.polled == []


@pytest.mark.parametrize("tool", ["polled", "called"])
def test_a_result_that_comes_while_the_token_is_written_is_answered_under_it(world: World, tool: str) -> None:
    cast = world.cast(tool)
    world.execute(cast, token="t1")
    world.store.meanwhile.append(lambda: world.complete_job(f"{cast.cast_id}.0.1", text_result()))
    world.execute(cast, token="t2")
    assert world.machine.answers["t2"] == f"{cast.cast_id}.0.1"
    assert terminal_revisions(world, f"{cast.cast_id}.0.1") == 0


# --- the submit's answer races with the job itself ---


def test_a_webhook_before_the_submits_answer_completes_the_step(world: World) -> None:
    cast = world.cast("called")

    def start(request: Request) -> Job:
        world.complete_job(request.generation_id, text_result("early"))
        return Job("job-1", calls_back=True)

    world.adapter.on_start = start
    world.execute(cast)
    generation = world.generation(cast, 0)
    assert (generation.status, generation.result) == ("processing", text_result("early"))
    assert world.machine.answers == {"token": generation.generation_id}
    assert world.process(cast).status == "running"
    assert world.settle(cast).cost_usd == Decimal("0.03")


def test_a_webhook_between_answer_and_record_completes_the_step(world: World) -> None:
    cast = world.cast("called")

    def start(request: Request) -> Job:
        world.store.meanwhile.append(lambda: world.complete_job(request.generation_id, text_result("early")))
        return Job("job-1", calls_back=True)

    world.adapter.on_start = start
    world.execute(cast)
    assert world.generation(cast, 0).result == text_result("early")
    assert world.machine.answers == {"token": f"{cast.cast_id}.0.1"}


def test_a_second_invocation_while_the_first_one_submits_takes_the_token_over(world: World) -> None:
    cast = world.cast("called")

    def start(request: Request) -> Job:
        world.execute(cast, token="t2")
        return Job("job-1", calls_back=True)

    world.adapter.on_start = start
    world.execute(cast, token="t1")
    generation = world.generation(cast, 0)
    assert (generation.run_id, generation.task_token, len(world.adapter.started)) == ("job-1", "t2", 1)
    world.complete_job(generation.generation_id, text_result())
    assert world.machine.answers == {"t2": generation.generation_id}


def test_two_first_invocations_at_once_start_one_job(world: World) -> None:
    cast = world.cast("polled")
    world.store.meanwhile.append(lambda: world.execute(cast, token="t2"))
    world.execute(cast, token="t1")
    assert len(world.adapter.started) == 1
    world.complete_job(f"{cast.cast_id}.0.1", text_result())
    assert world.machine.answers == {"t1": f"{cast.cast_id}.0.1"}


def test_two_first_invocations_at_once_pay_once(world: World) -> None:
    cast = world.cast("paid")
    world.store.meanwhile.append(lambda: world.execute(cast, token="t2"))
    world.execute(cast, token="t1")
    assert len(world.adapter.executed) == 1
    assert set(world.machine.answers) == {"t1", "t2"}


# --- after the machine's time-out ---


@pytest.mark.parametrize("tool", ["polled", "called"])
def test_an_overdue_job_is_polled_once_and_answered_with_what_is_found(world: World, tool: str) -> None:
    cast = world.cast(tool)
    world.execute(cast, token="t1")
    world.clock.advance(world.segments(cast)[0].timeout_seconds)
    world.adapter.on_poll = lambda run_id: text_result("just in time")
    world.execute(cast, token="t2")
    assert (world.adapter.polled, world.adapter.cancelled, len(world.adapter.started)) == (["job-1"], [], 1)
    assert world.machine.answers == {"t2": f"{cast.cast_id}.0.1"}
    world.process(cast)
    assert world.generation(cast, 0).status == "completed"


@pytest.mark.parametrize("tool", ["polled", "called"])
@pytest.mark.parametrize("poll", ["processing", "unavailable", "lost"])
def test_an_overdue_job_without_a_result_is_cancelled_and_timed_out(world: World, tool: str, poll: str) -> None:
    cast = world.cast(tool)
    world.execute(cast, token="t1")
    world.clock.advance(world.segments(cast)[0].timeout_seconds)
    if poll != "processing":
        world.adapter.on_poll = lost if poll == "lost" else raising(ProviderUnavailable("Down."))
    world.execute(cast, token="t2")
    # Once more after it was asked to stop: what it cost until then.
    assert (world.adapter.polled, world.adapter.cancelled) == (["job-1"] * 2, ["job-1"])
    assert len(world.adapter.started) == 1
    assert world.machine.answers == {"t2": f"{cast.cast_id}.0.1"}
    closed = world.process(cast)
    assert closed.failure is not None
    assert (closed.status, closed.failure.code, closed.failure.message) == (
        "failed",
        "TIMED_OUT",
        "Job did not complete within timeout period",
    )


def test_a_job_whose_polling_could_not_be_started_is_taken_up_by_the_next_invocation(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast = world.cast("polled")
    with monkeypatch.context() as throttled, pytest.raises(TimeoutError):
        throttled.setattr(FakeMachine, "start_polling", raising(TimeoutError("Rate exceeded")))
        world.execute(cast, token="t1")
    world.execute(cast, token="t2")
    assert (len(world.adapter.started), world.machine.polling) == (1, [f"{cast.cast_id}.0.1"])
    world.complete_job(f"{cast.cast_id}.0.1", text_result())
    assert world.machine.answers == {"t2": f"{cast.cast_id}.0.1"}


def test_a_cancellation_that_fails_changes_nothing(world: World) -> None:
    cast = world.cast("polled")
    world.execute(cast, token="t1")
    world.clock.advance(world.segments(cast)[0].timeout_seconds)
    world.adapter.cancel_job = raising(ProviderUnavailable("Down."))  # type: ignore[method-assign]
    world.execute(cast, token="t2")
    failure = world.process(cast).failure
    assert failure is not None
    assert failure.code == "TIMED_OUT"


@pytest.mark.parametrize("tool", ["polled", "called"])
def test_an_overdue_job_of_which_nothing_was_heard_has_an_unknown_outcome(world: World, tool: str) -> None:
    cast = world.cast(tool)
    world.adapter.on_start = raising(KeyboardInterrupt())  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        world.execute(cast, token="t1")
    world.clock.advance(world.segments(cast)[0].timeout_seconds)
    world.execute(cast, token="t2")
    assert (world.adapter.polled, world.adapter.cancelled, len(world.adapter.started)) == ([], [], 1)
    failure = world.process(cast).failure
    assert failure is not None
    assert failure.code == "OUTCOME_UNKNOWN"


def test_the_invocation_after_the_time_out_finds_the_job_overdue(world: World) -> None:
    # The immediate steps before the job took all the time that they may.
    cast = world.cast("free", "free", "polled")
    answer = world.adapter.on_execute

    def slow(request: Request) -> ToolResult:
        world.clock.advance(60)
        return answer(request)

    world.adapter.on_execute = slow
    started = world.clock.now()
    world.execute(cast, token="t1")
    world.clock.advance(world.segments(cast)[0].timeout_seconds - (world.clock.now() - started).total_seconds())
    assert world.generation(cast, 2).is_overdue(world.clock.now())


# --- what fails a step before, or while, the provider is asked ---


@pytest.mark.parametrize(
    ("mode", "amount"), [("immediate", "0"), ("immediate", "0.01"), ("async", "0.01"), ("webhook", "0")]
)
def test_row_6_missing_inputs_fail_the_step_before_a_provider_is_called(mode: str, amount: str) -> None:
    world = World(needing("needy", mode, amount))
    cast = world.cast("free", "needy")
    world.execute(cast)
    # Immediate steps at a segment's end are finished by process_output, all others where they fail.
    closed = world.process(cast) if mode == "immediate" else world.settle(cast, refusal(world))
    assert (world.adapter.started, len(world.adapter.executed)) == ([], 1)
    assert closed.failure is not None
    assert (closed.failure.code, closed.failure.step_index) == ("MISSING_INPUTS", 1)
    assert closed.failure.message == "Step 1 (Needy) has no value for: picture."
    assert terminal_revisions(world, f"{cast.cast_id}.1.1") == 1


@pytest.mark.parametrize("tool", ["polled", "called"])
@pytest.mark.parametrize(
    ("error", "code"),
    [(ProviderRefused("No."), "PROVIDER_REFUSED"), (ProviderUnavailable("Down."), "PROVIDER_UNAVAILABLE")],
)
def test_row_7_a_job_that_cannot_be_started_fails_the_cast(
    world: World, tool: str, error: StepFailed, code: str
) -> None:
    world.adapter.on_start = raising(error)
    cast = world.cast(tool)
    world.execute(cast)
    assert world.machine.answers == {"token": f"{cast.cast_id}.0.1"}
    closed = world.process(cast)
    generation = world.generation(cast, 0)
    assert (generation.status, generation.failure) == ("failed", Failure.of(error))
    assert closed.failure is not None
    assert (closed.status, closed.failure.code, closed.failure.step_index) == ("failed", code, 0)


@pytest.mark.parametrize("tool", ["free", "paid"])
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ProviderRefused("No."), "PROVIDER_REFUSED"),
        (ProviderUnavailable("Down."), "PROVIDER_UNAVAILABLE"),
        (OutcomeUnknown("Lost."), "OUTCOME_UNKNOWN"),
        (ZeroDivisionError("secret prompt"), "ADAPTER_FAULT"),
    ],
)
def test_row_7_an_immediate_step_that_fails_fails_the_cast(
    world: World, tool: str, error: Exception, code: str
) -> None:
    world.adapter.on_execute = raising(error)
    cast = world.cast(tool, "free")
    world.execute(cast)
    assert refusal(world).message == f"Step 0 ended with {code}."
    closed = world.settle(cast, refusal(world))
    assert closed.failure is not None
    assert (closed.status, closed.failure.code, closed.failure.step_index) == ("failed", code, 0)
    assert "secret prompt" not in closed.failure.message
    assert len(world.adapter.executed) == 1


def test_a_defect_of_an_adapter_fails_the_job_and_says_so(world: World) -> None:
    world.adapter.on_start = raising(KeyError("secret prompt"))
    cast = world.cast("polled")
    world.execute(cast)
    world.process(cast)
    assert world.generation(cast, 0).failure == Failure("ADAPTER_FAULT", "The adapter of fake failed: KeyError.")


def test_an_immediate_result_that_failed_fails_the_step_with_the_bill(world: World) -> None:
    world.adapter.on_execute = lambda request: results.failed(JobFailed("No cats."), cost_usd=Decimal("0.002"))
    cast = world.cast("paid", "free")
    world.execute(cast)
    closed = world.settle(cast, refusal(world))
    assert (closed.status, closed.cost_usd) == ("failed", Decimal("0.002"))


@pytest.mark.parametrize("tool", ["polled", "called"])
def test_an_unknown_outcome_of_a_job_that_nobody_will_tell_of_ends_the_step_at_once(world: World, tool: str) -> None:
    world.adapter.can_call_back = False
    world.adapter.on_start = raising(OutcomeUnknown("Lost."))
    cast = world.cast(tool)
    world.execute(cast)
    assert world.machine.answers == {"token": f"{cast.cast_id}.0.1"}
    failure = world.process(cast).failure
    assert failure is not None
    assert failure.code == "OUTCOME_UNKNOWN"


def test_an_unknown_outcome_under_an_id_of_ours_is_looked_up(world: World) -> None:
    world.adapter.on_start = raising(OutcomeUnknown("Lost.", "ours"))
    cast = world.cast("polled")
    world.execute(cast)
    assert world.machine.answers == {}
    assert world.generation(cast, 0).run_id == "ours"
    assert world.machine.polling == [f"{cast.cast_id}.0.1"]


def test_an_unknown_outcome_of_a_called_job_waits_for_its_callback(world: World) -> None:
    world.adapter.on_start = raising(OutcomeUnknown("Lost."))
    cast = world.cast("called")
    world.execute(cast)
    assert (world.machine.answers, world.generation(cast, 0).status) == ({}, "pending")
    world.complete_job(f"{cast.cast_id}.0.1", text_result())
    assert world.machine.answers == {"token": f"{cast.cast_id}.0.1"}


def test_a_service_without_an_adapter_fails_the_step() -> None:
    for mode in ("immediate", "async"):
        world = World(make_tool("foreign", mode, service="elsewhere"))
        cast = world.cast("foreign")
        world.execute(cast)
        answer = world.machine.answers["token"]
        closed = world.settle(cast, answer) if isinstance(answer, Failure) else world.process(cast)
        assert closed.failure is not None
        assert (closed.status, closed.failure.code) == ("failed", "PROVIDER_NOT_CONFIGURED")


@pytest.mark.parametrize("mode", ["immediate", "async"])
def test_a_tool_that_is_gone_when_its_turn_comes_fails_the_cast(world: World, mode: str) -> None:
    world.store.create_tool(ACCOUNT, make_tool("own", mode))
    cast = world.cast("free", "own")
    world.store.forget_tool(ACCOUNT, "own")
    world.execute(cast)
    message = "Tool with name or ID 'own' not found in registry for step 1 of spell \"free-own\"."
    gone = Failure("TOOL_NOT_FOUND", message)
    assert refusal(world) == gone
    closed = world.settle(cast, gone)
    assert closed.failure is not None
    assert (closed.status, closed.failure.code, closed.failure.message) == ("failed", gone.code, gone.message)
    assert (world.adapter.started, len(world.adapter.executed)) == ([], 1)


def test_a_cast_whose_tool_is_gone_names_the_step(world: World) -> None:
    world.store.create_tool(ACCOUNT, make_tool("own"))
    cast = world.cast("free", "own")
    world.store.forget_tool(ACCOUNT, "own")
    world.execute(cast)
    failure = world.settle(cast, refusal(world)).failure
    assert failure is not None
    assert failure.step_index == 1


@pytest.mark.parametrize("mode", ["immediate", "async"])
def test_a_step_runs_with_what_its_caster_had_set_when_the_spell_was_cast(mode: str) -> None:
    world = World(make_tool("sized", mode, inputSchema={"size": {"type": "number", "default": 1}, "prompt": {}}))
    world.store.put_settings(ACCOUNT, AccountSettings({"sized": {"size": 3, "prompt": "a dog"}}))
    cast = world.cast("sized", inputs={"prompt": "a cat"})
    world.store.put_settings(ACCOUNT, AccountSettings({"sized": {"size": 4}}))
    world.execute(cast)
    assert world.generation(cast, 0).request_payload == {"size": 3, "prompt": "a cat"}


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({}, "size is not a number (tools.own.size of the settings)."),
        ({"size": "huge"}, "size is not a number."),
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", ["immediate", "async"])
def test_a_setting_that_fits_no_longer_fails_the_step_and_is_named(
    world: World, mode: str, inputs: Document, told: str
) -> None:
    world.store.create_tool(ACCOUNT, make_tool("own", mode, inputSchema={"size": {"type": "string"}}))
    world.store.put_settings(ACCOUNT, AccountSettings({"own": {"size": "wide"}}))
    cast = world.cast("own", inputs=inputs)
    world.store.delete_tool(ACCOUNT, "own")
    world.store.create_tool(ACCOUNT, make_tool("own", mode, inputSchema={"size": {"type": "number"}}))
    world.execute(cast)
    answer = world.machine.answers["token"]
    closed = world.settle(cast, answer) if isinstance(answer, Failure) else world.process(cast)
    assert closed.failure is not None
    assert (closed.failure.code, closed.failure.message) == (
        "INVALID_STEP_INPUT",
        f"Step 0 (Own) cannot take its inputs: {told}",
    )
    assert (world.adapter.started, world.adapter.executed) == ([], [])


@pytest.mark.parametrize("state", ["none", "pending", "failed"])
def test_a_segment_whose_previous_step_is_not_completed_is_refused(world: World, state: str) -> None:
    cast = world.cast("polled", "paid")
    if state != "none":
        world.execute(cast, 0, "t1")
    if state == "failed":
        world.complete_job(f"{cast.cast_id}.0.1", results.failed(JobFailed("No.")))
        with pytest.raises(StepEndedInFailure):
            world.process_output(cast.cast_id, world.segments(cast))
    world.execute(cast, 1, "t2")
    assert refusal(world, "t2") == Failure("PREVIOUS_STEP_INCOMPLETE", "Step 0 has not been completed.")
    assert world.adapter.executed == []


@pytest.mark.parametrize("failure", [None, Failure("CAST_INTERRUPTED", "Stopped.")])
def test_a_step_of_a_cast_that_has_ended_is_refused(world: World, failure: Failure | None) -> None:
    cast = world.cast("paid")
    world.settle(cast, failure)
    world.execute(cast)
    assert refusal(world).code == "CAST_INTERRUPTED"
    assert world.adapter.executed == []


def test_a_cast_that_does_not_exist_is_an_error_of_the_invocation(world: World) -> None:
    with pytest.raises(CastNotFound):
        world.execute_step("nobody", Segment(0, 0, 1, 60), "token", "nobody")
    assert world.machine.answers == {}


# --- what a later attempt does ---


def test_a_later_attempt_is_a_record_of_its_own(world: World) -> None:
    cast = world.cast("polled")
    world.execute(cast, token="t1")
    world.execute_step(cast.cast_id, Segment(0, 0, 2, 915), "t2", cast.execution_name)
    assert len(world.adapter.started) == 2
    assert world.generation(cast, 0, 2).task_token == "t2"
    assert world.generation(cast, 0, 1).task_token == "t1"


# --- the caster's budget ---


@pytest.mark.parametrize(
    ("tools", "budget", "asked"),
    [
        pytest.param(("paid", "paid"), "0.02", 2, id="what is exactly in the budget is spent"),
        pytest.param(("paid", "paid"), "0.0199999", 1, id="what would pass it is not asked for"),
        pytest.param(("paid", "free"), "0.01", 2, id="what is free is always in it"),
        pytest.param(("paid", "called"), "0.03", 1, id="a job that would pass it is not started"),
        pytest.param(("paid",), "0", 0, id="nothing may be spent"),
    ],
)
def test_no_step_is_asked_for_that_would_pass_the_budget(
    world: World, tools: tuple[str, ...], budget: str, asked: int
) -> None:
    steps = [{"id": f"n{position}", "toolIdentifier": tool} for position, tool in enumerate(tools)]
    spell, _, _ = world.create_spell(ACCOUNT, "spell", "private", {"steps": steps})
    order = CastOrder(spell=spell.spell_id, fingerprint="f", budget_usd=Decimal(budget))
    cast, _ = world.cast_spell(ACCOUNT, order)
    world.execute(cast)
    assert len(world.adapter.executed) + len(world.adapter.started) == asked
    answer = world.machine.answers["token"]
    closed = world.settle(cast, answer) if isinstance(answer, Failure) else world.process(cast)
    if asked < len(tools):
        assert closed.failure is not None
        assert (closed.failure.code, closed.failure.step_index) == ("BUDGET_EXCEEDED", asked)
    closed = world.settle(cast)
    assert closed.cost_usd <= Decimal(budget)
    assert closed.status == ("completed" if asked == len(tools) else "failed")


@pytest.mark.parametrize(("quality", "status"), [("standard", "completed"), ("hd", "failed")])
def test_a_budget_knows_what_the_steps_own_inputs_cost(quality: str, status: str) -> None:
    prices = {"dall-e-3": {"1024x1024": {"standard": "0.04", "hd": "0.08"}}}
    schema = {"quality": {"type": "string"}}
    world = World(make_tool("drawing", inputSchema=schema, metadata={"costTable": prices}))
    steps = [{"id": "n0", "toolIdentifier": "drawing"}]
    spell, _, _ = world.create_spell(ACCOUNT, "spell", "private", {"steps": steps})
    order = CastOrder(spell=spell.spell_id, fingerprint="f", inputs={"quality": quality}, budget_usd=Decimal("0.07"))
    cast, _ = world.cast_spell(ACCOUNT, order)
    world.execute(cast)
    world.process(cast)
    closed = world.settle(cast)
    assert (closed.status, closed.cost_usd) == (status, Decimal("0.04") if status == "completed" else 0)


def test_a_tool_whose_price_is_in_a_table_is_no_free_tool_that_may_be_run_again() -> None:
    world = World(make_tool("drawing", metadata={"costTable": {"dall-e-3": {}}}))
    world.execute(world.cast("drawing"))
    assert next(item.status for item in world.store.writes if isinstance(item, Generation)) == "pending"


# --- what races with the end of the cast, and other faults ---


def test_an_answer_that_comes_after_its_step_was_given_up_adds_its_cost(world: World) -> None:
    cast = world.cast("paid")

    def slow(request: Request) -> ToolResult:
        # The machine's time is up, and the second invocation finds the step reserved.
        world.execute(cast, token="t2")
        return text_result(cost_usd=Decimal("0.01"))

    world.adapter.on_execute = slow
    world.execute(cast, token="t1")
    assert world.process(cast).cost_usd == Decimal("0.01")


def test_a_job_that_was_accepted_after_its_cast_was_closed_is_cancelled(world: World) -> None:
    cast = world.cast("polled")

    def start(request: Request) -> Job:
        world.settle(cast, Failure("CAST_INTERRUPTED", "Stopped."))
        return Job("job-1", calls_back=False)

    world.adapter.on_start = start
    world.execute(cast)
    assert world.generation(cast, 0).run_id == "job-1" or world.adapter.cancelled == ["job-1"]


def test_a_cast_that_is_closed_while_its_segment_runs_spends_no_more(world: World) -> None:
    cast = world.cast("free", "paid", "free")

    def stopped(request: Request) -> ToolResult:
        if not world.cast_of(cast).is_terminal:
            world.settle(cast, Failure("CAST_INTERRUPTED", "Stopped."))
        return text_result()

    world.adapter.on_execute = stopped
    world.execute(cast)
    assert [request.generation_id for request in world.adapter.executed] == [f"{cast.cast_id}.0.1"]


def test_a_step_in_place_whose_result_came_over_the_bus_is_finished_with_it(world: World) -> None:
    cast = world.cast("paid", "free")
    world.adapter.on_execute = raising(KeyboardInterrupt())  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        world.execute(cast, token="t1")
    world.complete_job(f"{cast.cast_id}.0.1", text_result("over the bus"))
    world.adapter.on_execute = lambda request: text_result()
    world.execute(cast, token="t2")
    assert world.generation(cast, 0).status == "completed"
    assert world.machine.answers["t2"] == f"{cast.cast_id}.1.1"


def test_an_immediate_answer_that_is_not_final_is_a_fault_of_the_adapter(world: World) -> None:
    world.adapter.on_execute = lambda request: ToolResult("processing")
    cast = world.cast("paid")
    world.execute(cast)
    failure = world.process(cast).failure
    assert failure is not None
    assert failure.code == "ADAPTER_FAULT"


def test_a_defect_of_an_adapter_while_it_looks_for_a_job_is_no_news(world: World) -> None:
    cast = world.cast("polled")
    world.execute(cast, token="t1")
    world.adapter.on_poll = raising(KeyError("status"))
    world.execute(cast, token="t2")
    assert world.generation(cast, 0).task_token == "t2"


def inputs_of(world: World, *documents: Document) -> list[Document]:
    """What the provider was given for each step of a spell."""
    steps = [
        {"id": f"n{position}", "toolIdentifier": "free", **document} for position, document in enumerate(documents)
    ]
    spell, _, _ = world.create_spell(ACCOUNT, "spell", "private", {"steps": steps})
    cast: Cast = world.cast_spell(ACCOUNT, CastOrder(spell=spell.spell_id, fingerprint="f", inputs={"prompt": "p"}))[0]
    world.execute(cast)
    return [request.inputs for request in world.adapter.executed]


def test_mappings_and_outputs_meet(world: World) -> None:
    wire = {"type": "nodeOutput", "nodeId": "n0", "outputKey": "text"}
    given = inputs_of(
        world,
        {"outputMappings": {"text": "caption"}},
        {"parameterMappings": {"prompt": {"type": "static", "value": "S"}}},
        {"parameterMappings": {"prompt": wire}},
    )
    assert given == [{"prompt": "p"}, {"prompt": "S", "text": "<p>"}, {"prompt": "<p>", "text": "<S>"}]


def test_an_input_of_a_wrong_type_fails_the_step_before_its_provider_is_asked() -> None:
    tool = make_tool("sized", "async", "0.01", inputSchema={"size": {"type": "integer", "required": False}})
    world = World(tool)
    cast = world.cast("sized", inputs={"size": "wide"})
    world.execute(cast)
    failure = world.generation(cast, 0).failure
    assert failure is not None
    assert (failure.code, "size is not a whole number" in failure.message) == ("INVALID_STEP_INPUT", True)
    assert world.adapter.started == []
