"""Step Functions: starting executions, answering task tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from spellcast.domain import documents, identifiers
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.polling import Polling
from spellcast.domain.results import Failure
from spellcast.domain.segments import Segment
from spellcast.ports.machine import Execution

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

# The segment has been answered, or nobody waits for it any more (SendTaskSuccess, Step Functions API reference).
_ANSWERED = frozenset({"TaskTimedOut", "TaskDoesNotExist"})
# An execution that has ended cannot be stopped.
_NOT_RUNNING = frozenset({"ExecutionDoesNotExist", "ValidationException"})
# Characters, of at most four bytes: nothing larger than 4 KB goes through a state (as in cast_spell.asl.json).
_MAX_CAUSE = 900
# How the embedded cloud says that an execution ended with it; AWS's executions outlive what runs them.
_CUT_OFF = "States.ServiceRestart"


@dataclass(frozen=True, slots=True)
class StepFunctionsMachine:
    """Implements `ports.machine.Machine`. Execution names are derived, so that starting twice starts once.

    Executions are started by the machines' aliases; their own names hold neither alias nor version.
    """

    client: Callable[[], SFNClient]
    cast_machine: str
    poll_machine: str

    def start_cast(self, cast: Cast, segments: Sequence[Segment]) -> None:
        """Named after the cast and the number of its execution."""
        content = {"castId": cast.cast_id, "segments": [list(segment) for segment in segments]}
        self._start(self.cast_machine, cast.execution_name, content)

    def stop_cast(self, cast: Cast) -> None:
        """Harmless where the execution has ended or never begun."""
        try:
            self.client().stop_execution(executionArn=self._arn(cast.execution_name))
        except ClientError as error:
            if error.response["Error"]["Code"] not in _NOT_RUNNING:
                raise

    def find_execution(self, name: str) -> Execution | None:
        """DescribeExecution, which is limited to 15 a second for an account (Step Functions' quotas)."""
        try:
            found = self.client().describe_execution(executionArn=self._arn(name))
        except self.client().exceptions.ExecutionDoesNotExist:
            return None
        if found["status"] in ("RUNNING", "PENDING_REDRIVE"):
            return Execution(True)
        if found["status"] == "SUCCEEDED":
            return Execution(False)
        code = found.get("error") or found["status"]
        return Execution(False, code, found.get("cause") or "", was_cut_off=code == _CUT_OFF)

    def list_running(self) -> frozenset[str]:
        """A thousand a request."""
        pages = (
            self.client()
            .get_paginator("list_executions")
            .paginate(
                stateMachineArn=_unqualified(self.cast_machine),
                statusFilter="RUNNING",
                PaginationConfig={"PageSize": 1_000},
            )
        )
        return frozenset(execution["name"] for page in pages for execution in page["executions"])

    def start_polling(self, generation_id: str, execution: int) -> None:
        """Named after the generation and the number of its cast's execution."""
        name = identifiers.polling_name(generation_id, execution)
        self._start(self.poll_machine, name, Polling(generation_id).to_document())

    def answer(self, task_token: str, generation_id: str) -> None:
        """Tells the waiting segment that the generation's result is stored."""
        try:
            self.client().send_task_success(
                taskToken=task_token, output=documents.to_text({"generationId": generation_id})
            )
        except ClientError as error:
            _ignore_answered(error)

    def refuse(self, task_token: str, failure: Failure) -> None:
        """Tells the waiting segment that it cannot go on."""
        try:
            self.client().send_task_failure(
                taskToken=task_token, error=failure.code, cause=failure.message[:_MAX_CAUSE]
            )
        except ClientError as error:
            _ignore_answered(error)

    def _arn(self, name: str) -> str:
        return f"{_unqualified(self.cast_machine).replace(':stateMachine:', ':execution:')}:{name}"

    def _start(self, machine: str, name: str, content: Document) -> None:
        try:
            self.client().start_execution(stateMachineArn=machine, name=name, input=documents.to_text(content))
        except self.client().exceptions.ExecutionAlreadyExists:
            pass  # It runs, or has run: an execution's name is good for 90 days.


def _unqualified(machine: str) -> str:
    """Of the machine in all its versions: an ARN without the alias or the version at its end."""
    return ":".join(machine.split(":")[:7])


def _ignore_answered(error: ClientError) -> None:
    if error.response["Error"]["Code"] not in _ANSWERED:
        raise error
