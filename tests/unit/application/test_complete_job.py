from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain import callback_tokens, documents, results
from spellcast.domain.casts import Cast
from spellcast.domain.completions import parse_completion
from spellcast.domain.documents import Document
from spellcast.domain.errors import (
    GenerationNotFound,
    InvalidCallbackToken,
    InvalidInput,
    InvalidSignature,
    JobFailed,
    ProviderRefused,
    StepEndedInFailure,
    StepToolNotFound,
)
from spellcast.domain.generations import Generation
from spellcast.domain.results import Failure, Job, ToolResult, Usage
from spellcast.ports.adapter import Request
from tests.fakes.records import text_result
from tests.fakes.world import ACCOUNT, SIGNING_KEY, World, make_tool

SIGNATURE = {"x-signature": "good"}
SUCCESS = b'{"status":"succeeded","output":{"text":"t"}}'
BILL = text_result("late", cost_usd=Decimal("0.007"))


@pytest.fixture
def world() -> World:
    return World()


def waiting(world: World, *tools: str) -> tuple[Cast, str]:
    """A cast whose first step is a job that runs, and that step's generation."""
    cast = world.cast(*(tools or ("called",)))
    world.execute(cast)
    return cast, f"{cast.cast_id}.0.1"


def token_of(world: World) -> str:
    return world.adapter.started[0].callback_url.rpartition("/")[2]


# --- a result is applied once ---


@pytest.mark.parametrize("result", [text_result(), results.failed(JobFailed("No."))], ids=["succeeded", "failed"])
def test_a_result_is_stored_and_the_segment_answered(world: World, result: ToolResult) -> None:
    cast, generation_id = waiting(world)
    world.clock.advance(7)
    world.complete_job(generation_id, result)
    generation = world.generation(cast, 0)
    assert (generation.status, generation.result, generation.received_at) == ("processing", result, world.clock.now())
    assert world.machine.answers == {"token": generation_id}


def test_the_same_result_again_answers_again_and_writes_nothing(world: World) -> None:
    cast, generation_id = waiting(world)
    world.complete_job(generation_id, text_result())
    writes = len(world.store.writes)
    world.machine.answers.clear()  # the first answer was lost
    world.complete_job(generation_id, text_result())
    assert (world.machine.answers, len(world.store.writes)) == ({"token": generation_id}, writes)
    assert world.process(cast).cost_usd == 0
    assert world.settle(cast).cost_usd == Decimal("0.03")


def test_another_result_does_not_take_the_firsts_place(world: World) -> None:
    cast, generation_id = waiting(world)
    world.complete_job(generation_id, text_result("first"))
    world.complete_job(generation_id, results.failed(JobFailed("second")))
    assert world.generation(cast, 0).result == text_result("first")


def test_two_results_at_once_are_one(world: World) -> None:
    cast, generation_id = waiting(world)
    world.store.meanwhile.append(lambda: world.complete_job(generation_id, text_result("faster")))
    world.complete_job(generation_id, text_result("slower"))
    assert world.generation(cast, 0).result == text_result("faster")
    received = [item for item in world.store.writes if isinstance(item, Generation) and item.result]
    assert len(received) == 1
    assert world.machine.answers == {"token": generation_id}


def test_a_new_token_that_is_written_meanwhile_is_the_one_that_is_answered(world: World) -> None:
    cast, generation_id = waiting(world)
    world.store.meanwhile.append(lambda: world.execute(cast, token="t2"))
    world.complete_job(generation_id, text_result())
    assert world.machine.answers == {"t2": generation_id}


def test_a_result_before_any_token_is_kept_for_whoever_brings_one(world: World) -> None:
    cast = world.cast("called")
    world.adapter.on_start = lambda request: Job("job-1", calls_back=True)
    world.execute(cast, token="t1")
    stored = world.generation(cast, 0)
    world.store.save_generation(replace(stored, task_token=None, revision=stored.revision + 1), stored)
    world.complete_job(stored.generation_id, text_result())
    assert world.machine.answers == {}
    world.execute(cast, token="t2")
    assert world.machine.answers == {"t2": stored.generation_id}


def test_a_result_of_no_generation_is_refused(world: World) -> None:
    with pytest.raises(GenerationNotFound):
        world.complete_job("c1.0.1", text_result())


# --- late results ---


def test_a_late_result_of_a_completed_step_changes_nothing(world: World) -> None:
    cast, generation_id = waiting(world)
    world.complete_job(generation_id, text_result())
    world.process(cast)
    world.settle(cast)
    before, writes = world.cast_of(cast), len(world.store.writes)
    world.complete_job(generation_id, BILL)
    assert (world.cast_of(cast), len(world.store.writes)) == (before, writes)


def interrupted(world: World) -> tuple[Cast, str]:
    """A cast that was stopped while its job ran."""
    cast, generation_id = waiting(world)
    world.settle(cast, Failure("CAST_INTERRUPTED", "Stopped."))
    return cast, generation_id


def test_a_late_bill_adds_its_cost_once_to_step_and_cast(world: World) -> None:
    cast, generation_id = interrupted(world)
    for _ in range(3):
        world.complete_job(generation_id, BILL)
    generation, after = world.generation(cast, 0), world.cast_of(cast)
    assert (generation.status, generation.cost_usd, generation.points_spent) == ("failed", Decimal("0.007"), 21)
    assert (after.status, after.cost_usd, after.points_spent) == ("failed", Decimal("0.007"), 21)
    assert after.failure is not None
    assert after.failure.code == "CAST_INTERRUPTED"
    assert (generation.revision, after.revision) == (4, 3)
    assert generation.result is None


def test_a_late_success_is_billed_at_the_tools_rate(world: World) -> None:
    cast, generation_id = interrupted(world)
    world.complete_job(generation_id, text_result())
    assert world.cast_of(cast).cost_usd == Decimal("0.03")


@pytest.mark.parametrize("result", [results.failed(JobFailed("No.")), text_result(cost_usd=Decimal(0))])
def test_a_late_result_that_cost_nothing_changes_nothing(world: World, result: ToolResult) -> None:
    _, generation_id = interrupted(world)
    writes = len(world.store.writes)
    world.complete_job(generation_id, result)
    assert len(world.store.writes) == writes


def test_a_late_bill_that_reached_the_step_only_reaches_the_cast_with_the_next_copy(world: World) -> None:
    cast, generation_id = interrupted(world)
    generation = world.generation(cast, 0)
    # What a process leaves that is killed between the two writes.
    world.store.save_generation(generation.billed(Decimal("0.007"), 21, world.clock.now()), generation)
    assert world.cast_of(cast).cost_usd == 0
    world.complete_job(generation_id, BILL)
    assert world.cast_of(cast).cost_usd == Decimal("0.007")
    assert world.generation(cast, 0).cost_usd == Decimal("0.007")


def test_two_late_bills_at_once_are_one(world: World) -> None:
    cast, generation_id = interrupted(world)
    world.store.meanwhile.append(lambda: world.complete_job(generation_id, BILL))
    world.complete_job(generation_id, BILL)
    assert world.cast_of(cast).cost_usd == Decimal("0.007")


def test_a_late_bill_while_another_total_is_written_is_added_to_it(world: World) -> None:
    cast, generation_id = interrupted(world)
    world.store.meanwhile.extend([lambda: None, lambda: world.complete_job(generation_id, BILL)])
    world.complete_job(generation_id, BILL)
    assert world.cast_of(cast).cost_usd == Decimal("0.007")


def refused_job(world: World, processed: bool) -> tuple[Cast, str]:
    """A cast that still runs, whose job's start was refused; its step is over where it is `processed`."""

    def refuse(request: Request) -> Job:
        raise ProviderRefused("No.")

    world.adapter.on_start = refuse
    cast, generation_id = waiting(world)
    if processed:
        with pytest.raises(StepEndedInFailure):
            world.process_output(cast.cast_id, world.segments(cast))
    return cast, generation_id


@pytest.mark.parametrize("processed", [False, True])
def test_a_late_bill_before_its_cast_is_closed_is_in_the_sum(world: World, processed: bool) -> None:
    cast, generation_id = refused_job(world, processed)
    world.complete_job(generation_id, BILL)
    world.complete_job(generation_id, BILL)
    assert world.settle(cast).cost_usd == Decimal("0.007")


@pytest.mark.parametrize("processed", [False, True])
def test_a_late_bill_while_its_cast_is_being_closed_is_in_the_sum(world: World, processed: bool) -> None:
    cast, generation_id = refused_job(world, processed)
    # finalize_cost has read the generations, and is about to write.
    world.store.meanwhile.append(lambda: world.complete_job(generation_id, BILL))
    assert world.settle(cast).cost_usd == Decimal("0.007")
    assert world.cast_of(cast).cost_usd == Decimal("0.007")


def test_copies_of_a_late_bill_do_not_make_revisions_of_a_cast_that_runs(world: World) -> None:
    cast, generation_id = refused_job(world, processed=True)
    for _ in range(5):
        world.complete_job(generation_id, BILL)
    assert world.cast_of(cast).revision == cast.revision + 1


def test_the_bill_of_a_job_that_timed_out_is_added(world: World) -> None:
    cast, generation_id = waiting(world)
    world.clock.advance(world.segments(cast)[0].timeout_seconds)
    world.execute(cast, token="t2")
    assert world.process(cast).status == "failed"
    world.complete_job(generation_id, BILL)
    assert world.cast_of(cast).cost_usd == Decimal("0.007")


def test_the_bill_that_comes_after_the_verdict_and_before_its_record_is_added(world: World) -> None:
    cast, generation_id = waiting(world)
    world.clock.advance(world.segments(cast)[0].timeout_seconds)
    world.execute(cast, token="t2")
    world.complete_job(generation_id, BILL)
    assert world.process(cast).cost_usd == Decimal("0.007")


# --- a provider's callback ---


def test_a_callback_completes_the_job_that_its_token_names(world: World) -> None:
    cast, generation_id = waiting(world)
    assert world.receive_callback(token_of(world), SIGNATURE, SUCCESS) == generation_id
    assert world.generation(cast, 0).result == results.succeeded("text", {"text": "t"})


def test_two_identical_callbacks_are_one(world: World) -> None:
    cast, generation_id = waiting(world)
    for _ in range(2):
        assert world.receive_callback(token_of(world), SIGNATURE, SUCCESS) == generation_id
    assert world.process(cast).status == "running"
    assert world.settle(cast).cost_usd == Decimal("0.03")


def test_a_callback_that_reports_progress_is_passed_on_and_not_stored(world: World) -> None:
    cast, _generation_id = waiting(world)
    writes = len(world.store.writes)
    world.receive_callback(token_of(world), SIGNATURE, b'{"status":"running","progress":0.47}')
    ((account, message),) = world.announcer.pushed
    assert (account, message["type"], message["payload"]["progress"]) == (ACCOUNT, "generationProgress", 0.47)
    assert message["payload"]["revision"] == world.generation(cast, 0).revision
    assert (len(world.store.writes), world.machine.answers) == (writes, {})


def test_progress_after_the_end_is_not_passed_on(world: World) -> None:
    cast, _ = waiting(world)
    world.settle(cast, Failure("CAST_INTERRUPTED", "Stopped."))
    world.receive_callback(token_of(world), SIGNATURE, b'{"status":"running","progress":0.47}')
    assert world.announcer.pushed == []


def test_a_callback_whose_signature_is_wrong_changes_nothing(world: World) -> None:
    waiting(world)
    writes = len(world.store.writes)
    with pytest.raises(InvalidSignature):
        world.receive_callback(token_of(world), {}, SUCCESS)
    assert (len(world.store.writes), world.machine.answers) == (writes, {})


def test_a_callback_whose_token_is_not_ours_is_refused_before_anything_is_read(world: World) -> None:
    _, generation_id = waiting(world)
    forged = callback_tokens.sign(generation_id, world.clock.now(), "another key")
    with pytest.raises(InvalidCallbackToken):
        world.receive_callback(forged, SIGNATURE, SUCCESS)


def test_a_token_of_a_generation_that_does_not_exist_is_refused(world: World) -> None:
    token = callback_tokens.sign("c1.0.1", world.clock.now(), SIGNING_KEY)
    with pytest.raises(InvalidCallbackToken):
        world.receive_callback(token, SIGNATURE, SUCCESS)


@pytest.mark.parametrize(("hours", "valid"), [(23.9, True), (24.1, False)])
def test_a_callback_may_come_until_a_day_after_the_deadline(world: World, hours: float, valid: bool) -> None:
    cast, generation_id = waiting(world)
    world.settle(cast, Failure("CAST_INTERRUPTED", "Stopped."))
    world.clock.advance(900 + hours * 3600)
    if valid:
        assert world.receive_callback(token_of(world), SIGNATURE, SUCCESS) == generation_id
        assert world.cast_of(cast).status == "failed"
    else:
        with pytest.raises(InvalidCallbackToken):
            world.receive_callback(token_of(world), SIGNATURE, SUCCESS)


def test_a_callback_for_a_tool_that_is_gone_is_refused(world: World) -> None:
    world.store.create_tool(ACCOUNT, make_tool("own", "webhook"))
    waiting(world, "own")
    world.store.forget_tool(ACCOUNT, "own")
    with pytest.raises(StepToolNotFound):
        world.receive_callback(token_of(world), SIGNATURE, SUCCESS)


# --- an event on the bus ---


@pytest.mark.parametrize(
    ("detail", "result"),
    [
        pytest.param(
            {"status": "succeeded", "type": "image", "data": {"images": []}, "costUsd": "0.00444"},
            results.succeeded("image", {"images": []}, cost_usd=Decimal("0.00444")),
            id="succeeded, with everything",
        ),
        pytest.param(
            {"status": "succeeded", "data": {"text": "t"}, "usage": {"inputTokens": 25, "outputTokens": 20}},
            text_result("t", usage=Usage(25, 20)),
            id="succeeded, with its tokens",
        ),
        pytest.param(
            {"status": "succeeded", "data": {"text": "t"}, "usage": {"outputTokens": 20}},
            text_result("t", usage=Usage(0, 20)),
            id="succeeded, with some of its tokens",
        ),
        pytest.param(
            {"status": "succeeded", "data": {"text": "t"}}, text_result("t"), id="succeeded, with what is needed"
        ),
        pytest.param(
            {"status": "failed", "error": "No cats.", "costUsd": "1"},
            results.failed(JobFailed("No cats."), cost_usd=Decimal(1)),
            id="failed, and billed",
        ),
        pytest.param(
            {"status": "failed", "error": {"code": "X", "message": "No cats."}},
            results.failed(JobFailed("No cats.")),
            id="failed, with an object",
        ),
        pytest.param(
            {"status": "failed"},
            results.failed(JobFailed("The job failed; its sender gave no reason.")),
            id="failed, without a reason",
        ),
        pytest.param(
            {"status": "failed", "error": "x" * 2000}, results.failed(JobFailed("x" * 1000)), id="failed, with a novel"
        ),
        pytest.param(
            {"status": "failed", "data": "whatever"},
            results.failed(JobFailed("The job failed; its sender gave no reason.")),
            id="failed, with data",
        ),
    ],
)
def test_an_events_detail_is_a_result(detail: Document, result: ToolResult) -> None:
    assert parse_completion({"generationId": "c1.0.1", **detail}) == ("c1.0.1", result)


GOOD: Document = {"generationId": "c1.0.1", "status": "succeeded", "data": {}}


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({"generationId": None}, ["generationId"]),
        ({"generationId": "c1"}, ["generationId"]),
        ({"generationId": 7}, ["generationId"]),
        ({"status": "completed"}, ["status"]),
        ({"status": None}, ["status"]),
        ({"status": []}, ["status"]),
        ({"type": 7}, ["type"]),
        ({"data": float("nan")}, ["data"]),
        ({"data": {"text": "\ud800"}}, ["data"]),
        ({"costUsd": 0.1}, ["costUsd"]),
        ({"costUsd": "-1"}, ["costUsd"]),
        ({"costUsd": "1e-7"}, ["costUsd"]),
        ({"costUsd": "NaN"}, ["costUsd"]),
        ({"costUsd": "٣"}, ["costUsd"]),
        ({"costUsd": "1."}, ["costUsd"]),
        ({"costUsd": "1\n"}, ["costUsd"]),
        ({"costUsd": "9" * 13}, ["costUsd"]),
        ({"usage": 45}, ["usage"]),
        ({"usage": {"inputTokens": -1, "outputTokens": 10**9 + 1}}, ["usage.inputTokens", "usage.outputTokens"]),
        ({"usage": {"inputTokens": "25", "outputTokens": 2.5}}, ["usage.inputTokens", "usage.outputTokens"]),
        ({"usage": {"inputTokens": True, "outputTokens": None}}, ["usage.inputTokens", "usage.outputTokens"]),
        ({"generationId": "", "status": "", "costUsd": True}, ["generationId", "status", "costUsd"]),
    ],
)
def test_an_events_faults_are_all_named(changes: Document, paths: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_completion({**GOOD, **changes})
    assert [fault.path for fault in caught.value.faults] == paths


JSON: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.lists(st.integers())
    | st.just({})
)


@given(st.dictionaries(st.sampled_from(["generationId", "status", "type", "data", "costUsd", "usage", "error"]), JSON))
def test_any_event_is_a_result_or_refused_with_its_faults(detail: dict[str, Any]) -> None:
    for document in (detail, {**GOOD, **detail}, {**GOOD, "status": "failed", **detail}):
        try:
            generation_id, result = parse_completion(document)
        except InvalidInput as error:
            assert error.faults
        else:
            assert result.is_final
            assert (generation_id, document["status"]) == (document["generationId"], result.status)
            assert all(set(element) == {"type", "data"} for element in result.payload)


def test_an_event_continues_the_cast(world: World) -> None:
    cast, generation_id = waiting(world, "called", "free")
    detail = {"generationId": generation_id, "status": "succeeded", "data": {"text": "t"}, "costUsd": "0.0000001"}
    world.complete_job(*parse_completion(documents.from_text(documents.to_text(detail))))
    world.process(cast)
    assert world.generation(cast, 0).cost_usd == Decimal("1E-7")
