"""What the events speak of, in an embedded cloud's table: put there anew before every one of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from itertools import count
from typing import Any

from spellcast.domain.identifiers import fingerprint
from spellcast.domain.results import succeeded
from spellcast.ports.store import ApiKey, Connection, Ticket
from tests.cloud import Cloud
from tests.functions.neighbours import Neighbours
from tests.functions.scene import (
    ACCOUNT,
    API_KEY,
    CAST,
    CONNECTION,
    INTERNAL_KEY,
    SIGNING_KEY,
    TICKET,
    Scene,
    now,
)

# By event or function, the statuses of the cast and of its generations; where nothing is said, it waits for its second.
_WAITING = ("running", ("completed", "processing", "processing"))
_BEFORE = {
    "execute_step": ("running", ()),
    "cast_api.resume_cast": ("failed", ("completed", "failed")),
    "cast_api.retry_step": ("failed", ("completed", "failed")),
    "finalize_cost.completed": ("running", ("completed", "completed", "completed")),
    "process_output.last_step": ("running", ("completed", "completed", "completed")),
    "process_output.more_steps": ("running", ("completed", "completed")),
}
# An execution's name is good once, so their cast has another each time.
BEGIN_AN_EXECUTION = ("cast_api.resume_cast", "cast_api.retry_step", "sweep.restarted")
_STILL_SECONDS = 1.0


_RESTING = {"StartAt": "Rest", "States": {"Rest": {"Type": "Succeed"}}}


@contextmanager
def resting_machines(cloud: Cloud) -> Iterator[None]:
    """Executions begin, and do nothing: they would go on with the next event's records."""
    states = cloud.aws("stepfunctions")
    arns = [each["stateMachineArn"] for each in states.list_state_machines()["stateMachines"]]
    own = {arn: states.describe_state_machine(stateMachineArn=arn)["definition"] for arn in arns}
    try:
        for arn in own:
            states.update_state_machine(stateMachineArn=arn, definition=json.dumps(_RESTING))
        yield
    finally:
        for arn, definition in own.items():
            states.update_state_machine(stateMachineArn=arn, definition=definition)


class Records:
    """The table of an embedded cloud, as the events expect it."""

    def __init__(self, cloud: Cloud) -> None:
        secrets, functions = cloud.aws("secretsmanager"), cloud.aws("lambda")
        for name, value in (("internal-key", INTERNAL_KEY), ("callback-signing", SIGNING_KEY)):
            secrets.put_secret_value(SecretId=f"spellcast/local/{name}", SecretString=value)
        known = functions.get_function_configuration(FunctionName="spellcast-local-cast_api")["Environment"][
            "Variables"
        ]
        self._table = known["SPELLCAST_TABLE"]
        self._dynamodb = cloud.aws("dynamodb")
        self._scene = Scene(
            self._dynamodb,
            cloud.aws("s3"),
            Neighbours(""),
            StringIO(),
            lambda: None,
            self._table,
            known["SPELLCAST_BUCKET"],
        )
        self._deployed = self._scene.rows()
        self._executions = count(10, 10)

    def put(self, event: str) -> None:
        """What the event needs, and nothing else."""
        for row in self._scene.rows():
            self._dynamodb.delete_item(TableName=self._table, Key={name: row[name] for name in ("pk", "sk")})
        for row in self._deployed:
            self._dynamodb.put_item(TableName=self._table, Item=row)
        scene, soon = self._scene, now() + timedelta(minutes=1)
        scene.access.create_api_key(ApiKey(fingerprint(API_KEY), ACCOUNT, now()))
        scene.access.put_ticket(Ticket(TICKET, ACCOUNT, soon))
        scene.access.put_connection(Connection(CONNECTION, ACCOUNT, now(), soon))
        scene.add_spell()
        status, generations = _BEFORE.get(event) or _BEFORE.get(event.partition(".")[0]) or _WAITING
        ended = {"status": "failed", "failed_at": now()} if status == "failed" else {}
        cancelled = {"cancel_requested_at": now()} if event.endswith("cast_cancelled") else {}
        execution = next(self._executions) if event in BEGIN_AN_EXECUTION else 1
        scene.add_cast(execution=execution, **ended, **cancelled)
        for number, each in enumerate(generations):
            done = {"result": succeeded("text", {"text": "a fox"}), "cost_usd": Decimal("0.1")}
            scene.add_generation(number, status=each, **(done if each == "completed" else {}))

    def statuses(self) -> dict[str, Any]:
        """Those of the events' cast, once nothing has changed them for a second."""
        since, found = time.monotonic(), self._statuses()
        while time.monotonic() - since < _STILL_SECONDS:
            time.sleep(0.1)
            if (later := self._statuses()) != found:
                since, found = time.monotonic(), later
        return found

    def _statuses(self) -> dict[str, Any]:
        rows = [row for row in self._scene.rows() if row["pk"] == {"S": f"CAST#{CAST}"}]
        return {row["sk"]["S"]: row.get("status", {}).get("S") for row in rows}
