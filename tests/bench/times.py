"""How long things take on the embedded cloud, as ratios to one warm Lambda state of the same run."""

from __future__ import annotations

import io
import itertools
import json
import statistics
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.cloud import Cloud, Document, called, words

ROOT = Path(__file__).resolve().parents[2]
_CHAIN = 20
_HANDLERS = {
    "bare": "def lambda_handler(event, context):\n    return None\n",
    "reads and writes": (
        "import boto3\n"
        "table = boto3.resource('dynamodb').Table('{table}')\n"
        "key = {{'pk': 'BENCH', 'sk': 'BENCH'}}\n"
        "def lambda_handler(event, context):\n"
        "    table.get_item(Key=key, ConsistentRead=True)\n"
        "    table.put_item(Item=key)\n"
    ),
}


def warm_lambda_state(cloud: Cloud, kind: str) -> float:
    """Milliseconds of one state that calls a warm function: the mean over a chain of them.

    `bare` does nothing, `reads and writes` reads and writes one row, as every state of a cast does at least.
    """
    function = _function(cloud, _HANDLERS[kind].format(table=cloud.outputs["tableName"]))
    states: Document = {
        f"State {number}": {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Arguments": {"FunctionName": function, "Payload": {}},
            **({"Next": f"State {number + 1}"} if number + 1 < _CHAIN else {"End": True}),
        }
        for number in range(_CHAIN)
    }
    machines = cloud.aws("stepfunctions")
    definition = json.dumps({"QueryLanguage": "JSONata", "StartAt": "State 0", "States": states})
    role = "arn:aws:iam::000000000000:role/bench"
    machine = machines.create_state_machine(name="bench", definition=definition, roleArn=role)["stateMachineArn"]
    took = [_execution(machines, machine) / _CHAIN for _ in range(6)][1:]
    machines.delete_state_machine(stateMachineArn=machine)
    cloud.aws("lambda").delete_function(FunctionName=function)
    return statistics.median(took)


def completion_to_submit(cloud: Cloud, casts: int = 8) -> float:
    """Milliseconds from a callback that is stored to the next step's reservation: the median."""
    spell = cloud.spell(*[called("[seconds:0.2]", node=f"n{number}") for number in range(3)])
    took: list[float] = []
    for _ in range(casts):
        generations = cloud.run(spell)["generations"]
        for before, after in itertools.pairwise(generations):
            took.append(_milliseconds(before["responseTimestamp"], after["requestTimestamp"]))
    return statistics.median(took[2:])


def immediate_step(cloud: Cloud, casts: int = 8) -> float:
    """Milliseconds per step of a spell of ten immediate steps: the median of the casts' means."""
    spell = cloud.spell(*[words(node=f"n{number}") for number in range(10)])
    took = []
    for _ in range(casts):
        generations = cloud.run(spell)["generations"]
        took.append(_milliseconds(generations[0]["requestTimestamp"], generations[9]["requestTimestamp"]) / 9)
    return statistics.median(took[1:])


def casts_per_second(cloud: Cloud, casts: int = 60, callers: int = 8) -> float:
    """Casts of three immediate steps, from the first request to the last one's end."""
    spell = cloud.spell(*[words(node=f"n{number}") for number in range(3)])
    cloud.run(spell)
    started = time.perf_counter()
    with cloud.listening() as listener:
        with ThreadPoolExecutor(callers) as pool:
            wanted = {cast["castId"] for cast in pool.map(lambda _: cloud.cast(spell), range(casts))}
        while wanted:
            message = listener.until(_is_cast_end)
            wanted.discard(message["payload"]["castId"])
    return casts / (time.perf_counter() - started)


def _is_cast_end(message: Document) -> bool:
    return bool(message["type"] == "castUpdate" and message["payload"]["status"] != "running")


def _function(cloud: Cloud, handler: str) -> str:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app.py", handler)
    answer = cloud.aws("lambda").create_function(
        FunctionName="bench",
        Runtime="python3.13",
        Role="arn:aws:iam::000000000000:role/bench",
        Handler="app.lambda_handler",
        Code={"ZipFile": packed.getvalue()},
    )
    return str(answer["FunctionArn"])


def _execution(machines: Any, machine: str) -> float:
    execution = machines.start_execution(stateMachineArn=machine)["executionArn"]
    while (found := machines.describe_execution(executionArn=execution))["status"] == "RUNNING":
        time.sleep(0.02)
    assert found["status"] == "SUCCEEDED", found
    return float((found["stopDate"] - found["startDate"]).total_seconds() * 1000)


def _milliseconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds() * 1000
