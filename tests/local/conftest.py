"""Two embedded clouds with the fixture's toys: one with every mend, one with none."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.config import Config

from local import stack
from tests.ports import free_port

TEMPLATE = Path(__file__).parent / "fixture" / "template.yaml"
MENDS = tuple(re.findall(r'^@mend\("([a-z-]+)"\)', (stack.ROOT / "local" / "mends.py").read_text(), re.MULTILINE))


@dataclass
class Cloud:
    """A running cloud, with the few calls that the tests repeat."""

    port: int
    directory: Path
    mended: bool = True
    outputs: dict[str, str] = field(default_factory=dict)

    def start(self, **environment: str) -> dict[str, str]:
        given = {"PATH": os.environ["PATH"], "SPELLCAST_WORKERS": "2", **environment}
        if not self.mended:
            given["SPELLCAST_MENDS"] = ",".join(f"-{name}" for name in MENDS)
        self.outputs = stack.start(self.port, self.directory, template=TEMPLATE, provider=False, environment=given)
        return self.outputs

    def stop(self) -> bool:
        return stack.stop(self.port, self.directory)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, service: str) -> Any:
        return _client(service, self.url)

    def counts(self) -> Any:
        with urlopen(f"{self.url}/_spellcast/counts", timeout=5) as answer:
            return json.load(answer)

    def reset_counts(self) -> None:
        urlopen(Request(f"{self.url}/_spellcast/counts/reset", method="POST"), timeout=5).close()

    def invoke(self, name: str = "toy", **event: Any) -> Any:
        answer = self.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
        return json.loads(answer["Payload"].read())

    def machine(self, states: dict[str, Any], **fields: Any) -> str:
        """A JSONata machine of these states; the first one starts."""
        definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states, **fields}
        made = self.client("stepfunctions").create_state_machine(
            name=f"test-{time.time_ns()}",
            definition=json.dumps(definition),
            roleArn="arn:aws:iam::000000000000:role/none",
        )
        return str(made["stateMachineArn"])

    def begin(self, machine: str, **given: Any) -> str:
        started = self.client("stepfunctions").start_execution(stateMachineArn=machine, input=json.dumps(given))
        return str(started["executionArn"])

    def describe(self, execution: str) -> Any:
        return self.client("stepfunctions").describe_execution(executionArn=execution)

    def run(self, machine: str, *, seconds: float = 5, **given: Any) -> Any:
        """The execution when it has ended, or as it is after `seconds`."""
        execution = self.begin(machine, **given)
        end = time.monotonic() + seconds
        while (found := self.describe(execution))["status"] == "RUNNING" and time.monotonic() < end:
            time.sleep(0.005)
        if found["status"] == "RUNNING":
            self.client("stepfunctions").stop_execution(executionArn=execution)
        return found

    def rows(self, key: str) -> list[dict[str, str]]:
        found = self.client("dynamodb").query(
            TableName=self.outputs["tableName"],
            KeyConditionExpression="pk = :key",
            ExpressionAttributeValues={":key": {"S": key}},
        )
        return [{name: next(iter(value.values())) for name, value in item.items()} for item in found["Items"]]

    def put(self, **item: str) -> None:
        row = {name: {"S": value} for name, value in item.items()}
        self.client("dynamodb").put_item(TableName=self.outputs["tableName"], Item=row)

    def url_of(self, output: str) -> str:
        stacks = self.client("cloudformation").describe_stacks(StackName="spellcast-local")["Stacks"]
        values = {entry["OutputKey"]: entry["OutputValue"] for entry in stacks[0]["Outputs"]}
        return str(values[output])


@cache
def _client(service: str, url: str) -> Any:
    config = Config(max_pool_connections=30, retries={"max_attempts": 0}, read_timeout=30)
    connect: Any = boto3.client  # its stubs know the services by literal names only
    return connect(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=config,
    )


def until(probe: Any, seconds: float = 5) -> Any:
    """The first truthy answer of `probe`, or its last one."""
    end = time.monotonic() + seconds
    while not (found := probe()) and time.monotonic() < end:
        time.sleep(0.01)
    return found


@pytest.fixture(scope="session")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, Cloud]]:
    if not stack.PYTHON.exists():
        pytest.fail("the embedded cloud's environment is not set up: make .local/venv")
    made: dict[bool, Cloud] = {}
    for mended in (True, False):
        made[mended] = Cloud(free_port(), tmp_path_factory.mktemp("cloud"), mended)
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(Cloud.start, made.values()))
        yield made
    finally:
        for cloud in made.values():
            cloud.stop()


@pytest.fixture
def cloud(clouds: dict[bool, Cloud]) -> Cloud:
    return clouds[True]


@pytest.fixture(params=[True, False], ids=["mended", "as-shipped"])
def either(request: pytest.FixtureRequest, clouds: dict[bool, Cloud]) -> Cloud:
    return clouds[request.param]
