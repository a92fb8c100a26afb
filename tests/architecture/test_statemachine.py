"""The project's rules for its state machines: who reads them reads the product; nothing hangs or hides."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.session import get_session

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "statemachine").glob("*.asl.json"))
State = dict[str, Any]

INVOKE = "arn:aws:states:::lambda:invoke"
PHRASE = re.compile(r"[A-Z][a-z]+( [a-z]+)+")
WAITS = ["NO_FREE_SLOT"]  # a code of ours that is not an end
SECOND_USES = {"Settle the failed cast"}  # of a function that another state names


def definition(file: Path) -> State:
    machine: State = json.loads(file.read_text())
    return machine


def states(file: Path, *types: str) -> dict[str, State]:
    found: dict[str, State] = definition(file)["States"]
    return {name: state for name, state in found.items() if not types or state["Type"] in types}


def each(*types: str) -> pytest.MarkDecorator:
    """One test for each state of these types, in every machine."""
    cases = [
        pytest.param(name, state, id=f"{file.name.removesuffix('.asl.json')}: {name}")
        for file in FILES
        for name, state in states(file, *types).items()
    ]
    return pytest.mark.parametrize(("name", "state"), cases)


def successors(state: State) -> Iterator[str]:
    for key in "Next", "Default":
        if key in state:
            yield state[key]
    for key in "Choices", "Catch":
        yield from (branch["Next"] for branch in state.get(key, []))


def reachable(machine: State, start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(successors(machine["States"][name]))
    return found


def test_what_a_machine_is_told_of_an_error_is_cut_before_it_goes_on() -> None:
    """A Lambda's error has its traceback, and nothing larger than 4 KB goes through a state."""
    caught = [
        catch["Output"]["error"]["message"]
        for file in FILES
        for state in states(file, "Task").values()
        for catch in state.get("Catch", [])
        if "error" in catch.get("Output", {})
    ]
    assert len(caught) >= 3
    assert all(", 0, 900)" in message for message in caught)


def substitutions(node: Any) -> set[str]:
    return set(re.findall(r"\$\{(\w+)\}", json.dumps(node)))


def test_both_machines_are_here() -> None:
    assert [file.name for file in FILES] == ["cast_spell.asl.json", "poll_job.asl.json"]


# No state hangs, and no failure is hidden


@each("Task")
def test_a_task_has_a_timeout(name: str, state: State) -> None:
    seconds = state.get("TimeoutSeconds")
    assert seconds, name
    assert isinstance(seconds, int) or re.fullmatch(r"\{% .+ %\}", seconds)


@each("Task")
def test_a_task_is_retried_for_named_errors(name: str, state: State) -> None:
    assert state.get("Retry"), name
    for retry in state["Retry"]:
        assert retry["ErrorEquals"]
        assert "States.ALL" not in retry["ErrorEquals"]
        # No attempts: what is named here is not tried again, whatever the next lists say.
        assert 0 <= retry["MaxAttempts"] <= (1000 if retry["ErrorEquals"] == WAITS else 6)


def test_a_step_that_waits_for_its_turn_is_executed_until_the_function_says_that_it_waited_too_long() -> None:
    [retry] = [retry for retry in states(FILES[0])["Execute the step"]["Retry"] if retry["ErrorEquals"] == WAITS]
    # On AWS the least that waits between full jitter come to is nothing; here it is the mean that must outlast a cast.
    assert retry["JitterStrategy"] == "FULL"
    assert retry["MaxAttempts"] * retry["MaxDelaySeconds"] / 2 > 4 * 60 * 60
    assert not [
        name
        for file in FILES
        for name in states(file)
        if name != "Execute the step" and WAITS[0] in str(states(file)[name])
    ]


def test_a_refused_segment_is_not_executed_again() -> None:
    """`SendTaskFailure` fails the task with a code of ours, which `States.TaskFailed` would match."""
    retried = {error for retry in states(FILES[0])["Execute the step"]["Retry"] for error in retry["ErrorEquals"]}
    assert "States.TaskFailed" not in retried


@pytest.mark.parametrize(
    ("service", "operation"),
    [("dynamodb", "GetItem"), ("dynamodb", "PutItem"), ("stepfunctions", "StartExecution")],
)
def test_a_segment_that_a_service_of_aws_refused_for_the_moment_is_executed_again(service: str, operation: str) -> None:
    """botocore raises what a service's model names by that name, and everything else as `ClientError`."""
    retried = {error for retry in states(FILES[0])["Execute the step"]["Retry"] for error in retry["ErrorEquals"]}
    named = {shape.name for shape in get_session().get_service_model(service).operation_model(operation).error_shapes}
    passing = {
        name for name in named if re.search("Throttling|Limit|Throughput|InternalServer|TransactionConflict", name)
    }
    passing -= {"ItemCollectionSizeLimitExceededException", "KmsThrottlingException"}  # nothing of ours can meet them
    assert passing | {"ClientError"} <= retried
    assert {"ConnectTimeoutError", "ReadTimeoutError", "EndpointConnectionError", "ConnectionClosedError"} <= retried


def test_a_failed_step_is_not_processed_again() -> None:
    first = states(FILES[0])["Process the output"]["Retry"][0]
    assert (first["ErrorEquals"], first["MaxAttempts"]) == (["StepEndedInFailure"], 0)


@each("Task")
def test_a_task_is_retried_when_the_service_falters(name: str, state: State) -> None:
    retried = {error for retry in state["Retry"] for error in retry["ErrorEquals"]}
    assert {"Lambda.ServiceException", "Lambda.TooManyRequestsException", "States.Timeout"} <= retried, name


@each("Task")
def test_a_task_that_waits_is_asked_once_more_when_its_time_is_up(name: str, state: State) -> None:
    if state["Resource"].endswith(".waitForTaskToken"):
        [retry] = [retry for retry in state["Retry"] if "States.Timeout" in retry["ErrorEquals"]]
        assert retry["MaxAttempts"] == 1, name


@each("Task")
def test_a_task_catches_everything(name: str, state: State) -> None:
    assert state.get("Catch"), name
    assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_failure_ends_in_fail(file: Path) -> None:
    machine = definition(file)
    for state in states(file).values():
        for caught in state.get("Catch", []):
            ends = reachable(machine, caught["Next"]) & set(states(file, "Succeed", "Fail"))
            assert ends, caught["Next"]
            assert ends <= set(states(file, "Fail")), caught["Next"]


@each("Fail")
def test_a_failure_says_what_and_why(name: str, state: State) -> None:
    assert state.get("Error"), name
    assert state.get("Cause"), name


@each("Choice")
def test_a_choice_has_a_default(name: str, state: State) -> None:
    assert state.get("Default"), name
    assert state.get("Choices"), name


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_state_is_reached_and_exists(file: Path) -> None:
    machine = definition(file)
    assert reachable(machine, machine["StartAt"]) == set(machine["States"])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_an_end_is_a_state_of_its_own(file: Path) -> None:
    assert not [name for name, state in states(file).items() if state.get("End")]
    assert states(file, "Succeed")
    assert states(file, "Fail")


# The names tell the product


@each("Task", "Wait")
def test_what_is_done_is_an_imperative_phrase(name: str, state: State) -> None:
    assert PHRASE.fullmatch(name), name


@each("Task")
def test_a_task_has_the_verb_of_its_function(name: str, state: State) -> None:
    verbs = {re.match(r"[A-Z][a-z]+", variable) for variable in substitutions(state)}
    [verb] = {verb[0] for verb in verbs if verb}
    assert name.split()[0] == verb or name in SECOND_USES


@each("Choice")
def test_a_choice_is_a_question(name: str, state: State) -> None:
    assert name.endswith("?"), name
    assert PHRASE.fullmatch(name.removesuffix("?")), name


@each("Succeed", "Fail")
def test_an_end_is_a_participle(name: str, state: State) -> None:
    assert PHRASE.fullmatch(name), name
    assert name.endswith("failed" if state["Type"] == "Fail" else "ed"), name


# The machines and the template agree


@each("Task")
def test_a_task_invokes_one_function_of_the_template(name: str, state: State) -> None:
    assert state["Resource"] in {INVOKE, f"{INVOKE}.waitForTaskToken"}
    assert re.fullmatch(r"\$\{\w+FunctionArn\}", state["Arguments"]["FunctionName"]), name


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_substitutions_are_those_of_the_template(file: Path, template: State) -> None:
    [machine] = [
        resource["Properties"]
        for resource in template["Resources"].values()
        if resource.get("Properties", {}).get("DefinitionUri") == f"statemachine/{file.name}"
    ]
    assert set(machine["DefinitionSubstitutions"]) == substitutions(definition(file))
    for variable, value in machine["DefinitionSubstitutions"].items():
        assert value == {"Ref": f"{variable.removesuffix('Arn')}.Version"}


@each("Task")
def test_a_task_waits_for_as_long_as_its_function_runs(name: str, state: State, template: State) -> None:
    [variable] = substitutions(state)
    if isinstance(state["TimeoutSeconds"], int):
        function = template["Resources"][variable.removesuffix("Arn")]["Properties"]
        assert state["TimeoutSeconds"] >= function["Timeout"], "a retry would run beside the first attempt"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_machine_says_what_it_is_and_speaks_jsonata(file: Path) -> None:
    machine = definition(file)
    assert len(machine["Comment"]) > 20
    assert machine["QueryLanguage"] == "JSONata"
