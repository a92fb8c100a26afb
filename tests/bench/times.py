"""How long things take on the embedded cloud, as ratios to one warm Lambda state of the same run."""

from __future__ import annotations

import io
import itertools
import json
import statistics
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.bench.memory import family, processor_seconds
from tests.cloud import Cloud, Document, called, words

PATIENCE = 300.0  # seconds; a machine that others use is slow at times
_CHAIN = 20
_ROUNDS = 3
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


def completions_to_submits(cloud: Cloud, casts: int = 5, steps: int = 5, *, heard: bool = True) -> list[float]:
    """Milliseconds from each callback that is stored to the next step's reservation; `heard` by a WebSocket, or not."""
    spell = cloud.spell(*[called("[seconds:0.2]", node=f"n{number}") for number in range(steps)])
    return [
        _milliseconds(before["responseTimestamp"], after["requestTimestamp"])
        for _ in range(casts)
        for before, after in itertools.pairwise(_generations(cloud, spell, heard))
    ]


def immediate_steps(cloud: Cloud, casts: int = 8, steps: int = 10, *, heard: bool = True) -> list[float]:
    """Milliseconds per step of spells of immediate steps: each cast's mean."""
    spell = cloud.spell(*[words(node=f"n{number}") for number in range(steps)])
    took = []
    for _ in range(casts):
        generations = _generations(cloud, spell, heard)
        first, last = generations[0]["requestTimestamp"], generations[-1]["requestTimestamp"]
        took.append(_milliseconds(first, last) / (steps - 1))
    return took


@dataclass(frozen=True)
class Rate:
    """Casts a second from the first request on: until the last one had ended, and until that was announced.

    What each took of the processor, in milliseconds: of the cloud's own process, and of its functions.
    """

    completed: float
    announced: float
    cloud_ms: float
    functions_ms: float


def casts_per_second(cloud: Cloud, casts: int = 60, callers: int = 8) -> Rate:
    """Casts of three immediate steps."""
    spell = cloud.spell(*[words(node=f"n{number}") for number in range(3)])
    cloud.run(spell)
    with cloud.listening() as listener:
        before = _processor(cloud)
        began, clock = time.time(), time.perf_counter()
        with ThreadPoolExecutor(callers) as pool:
            started = list(pool.map(lambda _: cloud.cast(spell), range(casts)))
        wanted = {cast["castId"] for cast in started}
        while wanted:
            wanted.discard(listener.until(is_cast_end, PATIENCE)["payload"]["castId"])
        announced = time.perf_counter() - clock
        own, functions = (after - then for after, then in zip(_processor(cloud), before, strict=True))
    ends = [datetime.fromisoformat(cloud.get_cast(cast)["completedAt"]).timestamp() for cast in started]
    return Rate(casts / (max(ends) - began), casts / announced, own / casts * 1000, functions / casts * 1000)


def measure(cloud: Cloud) -> dict[str, float]:
    """All of it, in rounds: each one's ratio is to the Lambda state of the same round. Medians of the rounds."""
    immediate_steps(cloud, casts=3)
    completions_to_submits(cloud, casts=2, steps=3)
    rounds = [_round(cloud) for _ in range(_ROUNDS)]
    found = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    # Longer spells: the last steps of many have more before them that is read.
    long = completions_to_submits(cloud, casts=1, steps=50)
    return found | {
        "submit_first_ten_ms": statistics.median(long[:10]),
        "submit_last_ten_ms": statistics.median(long[-10:]),
        "step_of_three_ms": statistics.median(immediate_steps(cloud, steps=3)),
        "step_of_fifty_ms": statistics.median(immediate_steps(cloud, casts=4, steps=50)),
    }


def _round(cloud: Cloud) -> dict[str, float]:
    bare = warm_lambda_state(cloud, "bare")
    state = warm_lambda_state(cloud, "reads and writes")
    submits, steps = completions_to_submits(cloud), immediate_steps(cloud)
    unheard = {
        "submit_unheard_ms": statistics.median(completions_to_submits(cloud, casts=3, heard=False)),
        "step_unheard_ms": statistics.median(immediate_steps(cloud, heard=False)),
    }
    submit, step, rate = statistics.median(submits), statistics.median(steps), casts_per_second(cloud)
    return unheard | {
        "bare_state_ms": bare,
        "state_ms": state,
        "submit_ms": submit,
        "submit_p95_ms": statistics.quantiles(submits, n=20)[-1],
        "submit_ratio": submit / state,
        "step_ms": step,
        "step_ratio": step / state,
        "casts_per_second": rate.completed,
        "announced_per_second": rate.announced,
        "cast_cloud_ms": rate.cloud_ms,
        "cast_functions_ms": rate.functions_ms,
    }


def _generations(cloud: Cloud, spell: Document, heard: bool) -> list[Document]:
    with cloud.listening() if heard else nullcontext() as listener:
        cast = cloud.cast(spell)
        if listener:
            listener.until_ended(cast, PATIENCE)
    generations: list[Document] = cloud.await_cast(cast)["generations"]
    return generations


def _processor(cloud: Cloud) -> tuple[float, float]:
    functions = sum(processor_seconds(process) for process in family({cloud.process}) - {cloud.process})
    return processor_seconds(cloud.process), functions


def is_cast_end(message: Document) -> bool:
    """Whether a message says that a cast has ended."""
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
