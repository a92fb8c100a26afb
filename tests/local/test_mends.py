"""Each mend: its fault as MiniStack ships it, and its absence with the mend."""

from __future__ import annotations

import io
import json
import threading
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from local import stack
from tests.local.conftest import MENDS, Cloud, until
from tests.ports import free_port

TOY = "arn:aws:lambda:us-east-1:000000000000:function:toy"
CALLBACK = "arn:aws:states:::lambda:invoke.waitForTaskToken"
CAUGHT = [{"ErrorEquals": ["States.ALL"], "Output": "{% $states.errorOutput.Error %}", "Next": "End"}]
END: dict[str, Any] = {"End": {"Type": "Succeed"}}


def call(**fields: Any) -> dict[str, Any]:
    """A plain call of the toy with the execution's input, whose error becomes the output."""
    state = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {"FunctionName": TOY, "Payload": "{% $states.input %}"},
        "Output": "{% $states.result.Payload %}",
        "Catch": CAUGHT,
        "Next": "End",
    }
    return {"Call": state | fields} | END


def wait(**fields: Any) -> dict[str, Any]:
    """A call of the toy that waits for its token, whose error becomes the output."""
    token = "{% $merge([$states.input, {'token': $states.context.Task.Token}]) %}"
    state = {
        "Type": "Task",
        "Resource": CALLBACK,
        "Arguments": {"FunctionName": TOY, "Payload": token},
        "Catch": CAUGHT,
        "Next": "End",
    }
    return {"Wait": state | fields} | END


def result(execution: Any) -> Any:
    return json.loads(execution["output"]) if execution.get("output") else execution["status"]


def tokens(cloud: Cloud, run: str) -> list[str]:
    return [row["token"] for row in cloud.rows("TOKEN") if row.get("run") == run]


def test_every_mend_has_a_test() -> None:
    assert {f"test_{name.replace('-', '_')}" for name in MENDS} <= set(globals())


def test_an_unknown_mend_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("refused")
    with pytest.raises(stack.Refused, match="names no mend: no-such"):
        Cloud(free_port(), directory).start(SPELLCAST_MENDS="-no-such")


def test_lambda_error_name(either: Cloud) -> None:
    name = result(either.run(either.machine(call()), do="raise"))
    assert name == ("ToyError" if either.mended else "Runtime.HandlerError")


def _shortest(call: Callable[[], object], times: int) -> float:
    """In seconds: a busy machine makes some of the calls slow, a wait that is built in makes all of them slow."""
    taken = []
    for _ in range(times):
        begun = time.monotonic()
        call()
        taken.append(time.monotonic() - begun)
    return min(taken)


def test_lambda_log_wait(either: Cloud) -> None:
    either.invoke()
    assert (_shortest(either.invoke, times=15) < 0.045) == either.mended
    log = either.client("lambda").invoke(FunctionName="toy", Payload=b'{"do": "log"}', LogType="Tail")
    assert "LogResult" in log  # nothing of what a handler writes is lost by the shorter wait


def test_lambda_environment(either: Cloud) -> None:
    environment = either.invoke(do="environment")
    assert environment["AWS_ENDPOINT_URL"] == either.url
    assert ("STATE_DIR" not in environment) == either.mended


def test_lambda_layer_cache(either: Cloud) -> None:
    functions = either.client("lambda")
    layer = functions.publish_layer_version(
        LayerName="toylayer", Content={"ZipFile": _zip("python/toylayer/__init__.py", "VALUE = 'from the layer'")}
    )
    handler = "import toylayer\ndef lambda_handler(event, context): return [toylayer.VALUE, toylayer.__file__]\n"
    seen = []
    for name in ("first", "second"):
        functions.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Handler="app.lambda_handler",
            Role="arn:aws:iam::000000000000:role/none",
            Code={"ZipFile": _zip("app.py", handler)},
            Layers=[layer["LayerVersionArn"]],
        )
        seen.append(either.invoke(name))
    assert [value for value, _ in seen] == ["from the layer"] * 2
    assert (seen[0][1] == seen[1][1]) == either.mended


def _zip(name: str, content: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def test_lambda_worker_fork(either: Cloud) -> None:
    assert either.invoke(do="forked")["forked"] == either.mended


def test_lambda_worker_cap(either: Cloud) -> None:
    with ThreadPoolExecutor(6) as pool:
        seen = list(pool.map(lambda _: either.invoke(do="sleep", seconds=0.2)["pid"], range(6)))
    assert (len(set(seen)) <= 2) == either.mended


def test_websocket_worker(either: Cloud) -> None:
    def talk(number: int) -> None:
        with connect(f"ws://127.0.0.1:{either.port}/realtime?ticket=good") as line:
            ready.wait()
            line.send(json.dumps({"action": "sleep", "seconds": 0.4, "number": number}))
            assert json.loads(line.recv(timeout=5))["account"] == "local"

    def both() -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(talk, range(2)))

    ready = threading.Barrier(2)
    assert (_shortest(both, times=3) < 0.75) == either.mended


def test_event_retry(either: Cloud) -> None:
    events = either.client("events")
    events.put_rule(Name="retry", EventPattern=json.dumps({"source": ["retry"]}))
    events.put_targets(Rule="retry", Targets=[{"Id": "toy", "Arn": TOY}])
    events.put_events(Entries=[{"Source": "retry", "DetailType": "Retry", "Detail": '{"fail": true}'}])
    seen = until(lambda: len(either.rows("FAILED-EVENT")) > 1, 2)
    assert seen == either.mended


def test_secret_characters(either: Cloud) -> None:
    assert either.outputs["internalKey"].isalnum() == either.mended


def test_stream_partial_failure(either: Cloud) -> None:
    for number, body in enumerate(("before", "poison", "after")):
        either.put(pk="STREAM", sk=str(number), entity="CAST", body=body)
    queue = either.url_of("StreamFailuresUrl")
    given_up = until(lambda: either.client("sqs").receive_message(QueueUrl=queue).get("Messages"), 3)
    assert bool(given_up) == either.mended
    assert until(lambda: "after" in {row.get("body") for row in either.rows("SEEN")})


@pytest.mark.parametrize("without", ["", "-stream-restart"])
def test_stream_restart(tmp_path: Path, without: str) -> None:
    cloud = Cloud(free_port(), tmp_path)

    def seen(body: str) -> bool:
        return any(row.get("body") == body for row in cloud.rows("SEEN"))

    try:
        cloud.start(SPELLCAST_MENDS=without)
        for number in range(5):
            cloud.put(pk="STREAM", sk=str(number), entity="CAST", body=f"before {number}")
        assert until(lambda: seen("before 4"))
        cloud.stop()
        cloud.start(SPELLCAST_MENDS=without)
        cloud.put(pk="STREAM", sk="9", entity="CAST", body="after")
        assert until(lambda: seen("after"), 3 if not without else 1) == (not without)
    finally:
        cloud.stop()


def test_execution_start_delay(either: Cloud) -> None:
    machine = either.machine({"Pass": {"Type": "Pass", "End": True}})

    def run() -> None:
        assert either.run(machine)["status"] == "SUCCEEDED"

    assert (_shortest(run, times=7) < 0.12) == either.mended


def test_uncatchable_errors(either: Cloud) -> None:
    machine = either.machine(call(Resource="arn:aws:states:::nothing:atAll"))
    execution = either.run(machine)
    assert execution["status"] == ("FAILED" if either.mended else "SUCCEEDED")


def test_token_per_attempt(either: Cloud) -> None:
    run = f"attempts-{either.mended}"
    again = [{"ErrorEquals": ["States.Timeout"], "IntervalSeconds": 0.1, "MaxAttempts": 1}]
    machine = either.machine(wait(TimeoutSeconds=0.3, Retry=again))
    assert result(either.run(machine, run=run)) == "States.Timeout"
    assert len(set(tokens(either, run))) == (2 if either.mended else 1)


def test_token_length(either: Cloud) -> None:
    run = f"length-{either.mended}"
    either.run(either.machine(wait(TimeoutSeconds=5)), run=run, do="answer")
    assert len(tokens(either, run)[0]) == (1000 if either.mended else 36)


def test_task_deadlines(either: Cloud) -> None:
    execution = either.run(either.machine(wait(TimeoutSeconds="{% $states.input.limit %}")), limit=0.2, seconds=1)
    assert (result(execution) == "States.Timeout") == either.mended


def test_task_deadlines_by_path(cloud: Cloud) -> None:
    state = {
        "Type": "Task",
        "QueryLanguage": "JSONPath",
        "Resource": CALLBACK,
        "Parameters": {"FunctionName": TOY, "Payload": {"token.$": "$$.Task.Token"}},
        "TimeoutSecondsPath": "$.limit",
        "End": True,
    }
    execution = cloud.run(cloud.machine({"Wait": state}), limit=0.2)
    assert (execution["status"], execution["error"]) == ("FAILED", "States.Timeout")


def test_callback_task(either: Cloud) -> None:
    name = result(either.run(either.machine(wait(TimeoutSeconds=1)), do="raise"))
    assert name == ("ToyError" if either.mended else "States.Timeout")


def test_a_heartbeat_is_awaited_and_keeps_the_task(cloud: Cloud) -> None:
    machine = cloud.machine(wait(TimeoutSeconds=5, HeartbeatSeconds="{% 0.3 %}"))
    assert result(cloud.run(machine, run="silent")) == "States.HeartbeatTimeout"
    execution = cloud.begin(machine, run="beating")
    token = until(lambda: tokens(cloud, "beating"))[0]
    for _ in range(4):
        time.sleep(0.15)
        cloud.client("stepfunctions").send_task_heartbeat(taskToken=token)
    assert cloud.describe(execution)["status"] == "RUNNING"
    cloud.client("stepfunctions").send_task_success(taskToken=token, output='"kept"')
    assert until(lambda: cloud.describe(execution)["status"] == "SUCCEEDED")


def test_first_answer_wins(either: Cloud) -> None:
    name = result(either.run(either.machine(wait(TimeoutSeconds=5)), do="answer-twice"))
    assert name == ("first" if either.mended else "Second")


def test_state_hooks(either: Cloud) -> None:
    either.reset_counts()
    machine = either.machine(call(Retry=[{"ErrorEquals": ["ToyError"], "IntervalSeconds": 0.01, "MaxAttempts": 1}]))
    either.run(machine, do="raise" if either.mended else "echo")
    name = machine.rsplit(":", 1)[1]
    # Call, its retry, and End: what AWS would bill.
    assert either.counts()["statesEntered"].get(name) == (3 if either.mended else None)
    execution = either.run(machine, do="big", size=300_000)
    assert execution.get("error") == ("States.DataLimitExceeded" if either.mended else None)


def test_machine_timeout(either: Cloud) -> None:
    machine = either.machine({"Wait": {"Type": "Wait", "Seconds": 2, "End": True}}, TimeoutSeconds=0.3)
    assert either.run(machine, seconds=1)["status"] == ("TIMED_OUT" if either.mended else "RUNNING")


def test_execution_end(either: Cloud) -> None:
    states = either.client("stepfunctions")
    execution = either.begin(either.machine(wait(TimeoutSeconds=2)), run=f"stopped-{either.mended}")
    token = until(lambda: tokens(either, f"stopped-{either.mended}"))[0]
    time.sleep(0.1)  # as shipped, the answer is awaited only when the function has returned
    states.stop_execution(executionArn=execution)

    def refused() -> bool:
        try:
            states.send_task_heartbeat(taskToken=token)
        except (states.exceptions.TaskDoesNotExist, states.exceptions.TaskTimedOut):
            return True
        return False

    assert until(refused, 0.5) == either.mended
    assert either.describe(execution)["status"] == "ABORTED"


def test_start_execution_idempotent(either: Cloud) -> None:
    states = either.client("stepfunctions")
    machine = either.machine({"Wait": {"Type": "Wait", "Seconds": 1, "End": True}})
    first = states.start_execution(stateMachineArn=machine, name="same", input='{"a": 1}')

    def again(given: str) -> Any:
        try:
            return states.start_execution(stateMachineArn=machine, name="same", input=given)["executionArn"]
        except states.exceptions.ExecutionAlreadyExists:
            return None

    assert again('{"a": 1}') == (first["executionArn"] if either.mended else None)
    assert again('{"a": 2}') is None
