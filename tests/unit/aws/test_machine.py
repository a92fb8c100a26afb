"""Step Functions: starting twice is harmless, an answered token stays answered, other errors are raised."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber

from spellcast.api.bodies import MAX_DEADLINE_SECONDS
from spellcast.aws.machine import StepFunctionsMachine
from spellcast.domain import documents
from spellcast.domain.linter import MAX_STEPS
from spellcast.domain.polling import Polling
from spellcast.domain.results import Failure
from spellcast.domain.segments import Segment, plan_segments
from spellcast.ports.machine import Execution
from tests.fakes.records import a_cast
from tests.fakes.world import make_tool
from tests.unit.aws.stubs import client_of, stubbed

WHOLE_CAST_MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:spellcast-cast-test"
CAST_MACHINE = f"{WHOLE_CAST_MACHINE}:live"
POLL_MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:spellcast-poll-test:live"
STARTED = {"executionArn": f"{CAST_MACHINE}:x", "startDate": 0}
CAST = a_cast(cast_id="c1")
FAILURE = Failure("STEP_FAILED", "why")

ANSWERS: list[tuple[str, Callable[[StepFunctionsMachine], None]]] = [
    ("send_task_success", lambda machine: machine.answer("token", "c1.0.1")),
    ("send_task_failure", lambda machine: machine.refuse("token", FAILURE)),
]
STARTS: list[Callable[[StepFunctionsMachine], None]] = [
    lambda machine: machine.start_cast(CAST, [Segment(0, 0, 1, 75)]),
    lambda machine: machine.start_polling("c1.0.1", 1),
]


@pytest.fixture
def stub() -> Stubber:
    return stubbed("stepfunctions")


@pytest.fixture
def machine(stub: Stubber) -> StepFunctionsMachine:
    return StepFunctionsMachine(lambda: client_of(stub), CAST_MACHINE, POLL_MACHINE)


def test_a_cast_is_started_under_its_id_with_its_segments(machine: StepFunctionsMachine, stub: Stubber) -> None:
    content = '{"castId":"c1","segments":[[0,2,1,915],[3,3,1,75]]}'
    stub.add_response("start_execution", STARTED, {"stateMachineArn": CAST_MACHINE, "name": "c1", "input": content})
    machine.start_cast(CAST, [Segment(0, 2, 1, 915), Segment(3, 3, 1, 75)])
    stub.assert_no_pending_responses()


def test_a_later_execution_has_its_number_in_its_name(machine: StepFunctionsMachine, stub: Stubber) -> None:
    content = '{"castId":"c1","segments":[[3,3,2,75]]}'
    stub.add_response("start_execution", STARTED, {"stateMachineArn": CAST_MACHINE, "name": "c1-2", "input": content})
    machine.start_cast(replace(CAST, execution=2), [Segment(3, 3, 2, 75)])
    stub.assert_no_pending_responses()


MAX_PAYLOAD = 4_096


@pytest.mark.parametrize("mode", ["immediate", "async", "webhook"])
def test_the_longest_spell_starts_its_machine_with_less_than_4_kb(mode: str) -> None:
    """What goes through a state is this, a task token, or what a function answers with less of it."""
    longest = [Segment(9_999, 9_999, 999, MAX_DEADLINE_SECONDS + 60) for _ in range(MAX_STEPS)]
    tools = [make_tool("longest", mode, deadlineSeconds=MAX_DEADLINE_SECONDS)] * MAX_STEPS
    cast_id = "c" * 64
    for segments in (plan_segments(tools), longest):
        content = documents.to_text({"castId": cast_id, "segments": [list(segment) for segment in segments]})
        assert len(content.encode()) <= MAX_PAYLOAD
    polling = Polling(f"{cast_id}.49.999", polls=2_000, misses=2_000, wait_seconds=30)
    assert documents.size(polling.to_document()) <= MAX_PAYLOAD


@pytest.mark.parametrize("text", ["x", "é", "\U0001f600"])
def test_why_a_segment_is_refused_is_cut(machine: StepFunctionsMachine, stub: Stubber, text: str) -> None:
    expected = {"taskToken": "token", "error": "STEP_FAILED", "cause": text * 900}
    stub.add_response("send_task_failure", {}, expected)
    machine.refuse("token", Failure("STEP_FAILED", text * 100_000))
    stub.assert_no_pending_responses()
    caught = {"castId": "c" * 64, "error": {"code": "PREVIOUS_STEP_INCOMPLETE", "message": text * 900}}
    assert documents.size(caught) <= MAX_PAYLOAD


def test_polling_is_started_under_the_generations_id_without_dots(machine: StepFunctionsMachine, stub: Stubber) -> None:
    content = {"generationId": "c1.0.1", "polls": 0, "misses": 0, "waitSeconds": 2, "finished": False}
    text = json.dumps(content, separators=(",", ":"))
    stub.add_response("start_execution", STARTED, {"stateMachineArn": POLL_MACHINE, "name": "c1-0-1", "input": text})
    machine.start_polling("c1.0.1", 1)
    stub.assert_no_pending_responses()


def test_polling_in_a_later_execution_has_a_name_of_its_own(machine: StepFunctionsMachine, stub: Stubber) -> None:
    expected = {"stateMachineArn": POLL_MACHINE, "name": "c1-0-1-3", "input": ANY}
    stub.add_response("start_execution", STARTED, expected)
    machine.start_polling("c1.0.1", 3)
    stub.assert_no_pending_responses()


EXECUTION = WHOLE_CAST_MACHINE.replace(":stateMachine:", ":execution:") + ":c1"
DESCRIBED = [
    ({"status": "RUNNING"}, Execution(True)),
    ({"status": "SUCCEEDED"}, Execution(False)),
    ({"status": "ABORTED"}, Execution(False, "ABORTED")),
    ({"status": "TIMED_OUT"}, Execution(False, "TIMED_OUT")),
    ({"status": "FAILED", "error": "CastFailed", "cause": "why"}, Execution(False, "CastFailed", "why")),
    (
        {"status": "FAILED", "error": "States.ServiceRestart"},
        Execution(False, "States.ServiceRestart", was_cut_off=True),
    ),
]


@pytest.mark.parametrize(("told", "execution"), DESCRIBED, ids=lambda value: str(value))
def test_an_execution_is_described(
    machine: StepFunctionsMachine, stub: Stubber, told: dict[str, str], execution: Execution
) -> None:
    answer = {"executionArn": EXECUTION, "stateMachineArn": CAST_MACHINE, "startDate": 0, **told}
    stub.add_response("describe_execution", answer, {"executionArn": EXECUTION})
    assert machine.find_execution("c1") == execution


def test_an_execution_that_never_began_is_none(machine: StepFunctionsMachine, stub: Stubber) -> None:
    stub.add_client_error("describe_execution", "ExecutionDoesNotExist")
    assert machine.find_execution("c1") is None


def test_all_pages_of_what_runs_are_listed(machine: StepFunctionsMachine, stub: Stubber) -> None:
    asked = {"stateMachineArn": WHOLE_CAST_MACHINE, "statusFilter": "RUNNING", "maxResults": 1_000}
    listed = {"executionArn": "x", "stateMachineArn": CAST_MACHINE, "status": "RUNNING", "startDate": 0}
    stub.add_response("list_executions", {"executions": [{**listed, "name": "c1"}], "nextToken": "t"}, asked)
    stub.add_response("list_executions", {"executions": [{**listed, "name": "c2-2"}]}, {**asked, "nextToken": "t"})
    assert machine.list_running() == {"c1", "c2-2"}


@pytest.mark.parametrize("code", [None, "ExecutionDoesNotExist", "ValidationException"])
def test_stopping_what_does_not_run_is_harmless(machine: StepFunctionsMachine, stub: Stubber, code: str | None) -> None:
    if code is None:
        stub.add_response("stop_execution", {"stopDate": 0}, {"executionArn": EXECUTION})
    else:
        stub.add_client_error("stop_execution", code)
    machine.stop_cast(CAST)
    stub.assert_no_pending_responses()


def test_a_stop_that_failed_is_raised(machine: StepFunctionsMachine, stub: Stubber) -> None:
    stub.add_client_error("stop_execution", "ThrottlingException")
    with pytest.raises(ClientError, match="ThrottlingException"):
        machine.stop_cast(CAST)


@pytest.mark.parametrize("start", STARTS)
def test_what_was_started_before_is_started(
    machine: StepFunctionsMachine, stub: Stubber, start: Callable[[StepFunctionsMachine], None]
) -> None:
    stub.add_client_error("start_execution", "ExecutionAlreadyExists")
    start(machine)
    stub.assert_no_pending_responses()


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("code", ["ExecutionLimitExceeded", "StateMachineDoesNotExist", "ThrottlingException"])
def test_a_start_that_failed_is_raised(
    machine: StepFunctionsMachine, stub: Stubber, start: Callable[[StepFunctionsMachine], None], code: str
) -> None:
    stub.add_client_error("start_execution", code)
    with pytest.raises(ClientError, match=code):
        start(machine)


def test_a_token_is_answered_with_the_generations_id(machine: StepFunctionsMachine, stub: Stubber) -> None:
    stub.add_response("send_task_success", {}, {"taskToken": "token", "output": '{"generationId":"c1.0.1"}'})
    machine.answer("token", "c1.0.1")
    stub.assert_no_pending_responses()


def test_a_token_is_refused_with_code_and_bounded_message(machine: StepFunctionsMachine, stub: Stubber) -> None:
    stub.add_response("send_task_failure", {}, {"taskToken": "token", "error": "MISSING_INPUTS", "cause": "x" * 900})
    machine.refuse("token", Failure("MISSING_INPUTS", "x" * 40_000))
    stub.assert_no_pending_responses()


@pytest.mark.parametrize(("operation", "tell"), ANSWERS)
@pytest.mark.parametrize("code", ["TaskTimedOut", "TaskDoesNotExist"])
def test_a_token_that_nobody_waits_for_is_answered(
    machine: StepFunctionsMachine,
    stub: Stubber,
    operation: str,
    tell: Callable[[StepFunctionsMachine], None],
    code: str,
) -> None:
    stub.add_client_error(operation, code)
    tell(machine)
    stub.assert_no_pending_responses()


@pytest.mark.parametrize(("operation", "tell"), ANSWERS)
@pytest.mark.parametrize(
    "code", ["ThrottlingException", "InvalidToken", "InvalidOutput", "AccessDeniedException", "KmsThrottlingException"]
)
def test_an_answer_that_failed_is_raised(
    machine: StepFunctionsMachine,
    stub: Stubber,
    operation: str,
    tell: Callable[[StepFunctionsMachine], None],
    code: str,
) -> None:
    stub.add_client_error(operation, code)
    with pytest.raises(ClientError, match=code):
        tell(machine)
