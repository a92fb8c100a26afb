"""Step Functions' executions and task tokens, over the project's own definitions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from tests.chaos.asl import Answered, Pause, Progress, StateMachine, TaskFailed

# As the template's rule names them.
_MACHINES = {"cast_spell": {"Ref": "CastMachine"}, "poll_job": {"Ref": "PollMachine"}}


class Plan(Protocol):
    """Has something done after some seconds, if it is needed then."""

    def __call__(
        self, seconds: float, action: Callable[[], None], *, is_needed: Callable[[], bool] = lambda: True
    ) -> None: ...


@dataclass
class Execution:
    """One execution of a state machine."""

    name: str
    machine: str
    content: Any
    progress: Progress
    status: str = "RUNNING"
    error: str = ""

    @property
    def is_running(self) -> bool:
        return self.status == "RUNNING"


class Executions:
    """`known` has every execution by its name. `tell` is called with the event of each that ended."""

    def __init__(self, invoke: Callable[[str, Any], Any], plan: Plan, tell: Callable[[Any], None]) -> None:
        self.known: dict[str, Execution] = {}
        self._plan = plan
        self._tell = tell
        self._machines = {name: StateMachine(name, invoke) for name in _MACHINES}
        self._answers: dict[str, Any] = {}
        self._waiting: dict[str, Execution] = {}
        self._closed: set[str] = set()

    def answer(self, client: Any, operation: str, params: Any) -> Any:
        """Step Functions' answer to a call. Raises the client's exceptions."""
        match operation:
            case "StartExecution":
                if params["name"] in self.known:
                    raise _error(client, operation, "ExecutionAlreadyExists")
                machine = params["stateMachineArn"].rpartition(":")[2]
                self._start(params["name"], machine, json.loads(params["input"]))
                return {}
            case "SendTaskSuccess" | "SendTaskFailure":
                is_success = operation == "SendTaskSuccess"
                answer = json.loads(params["output"]) if is_success else TaskFailed(params["error"], params["cause"])
                if not self._take(params["taskToken"], answer):
                    raise _error(client, operation, "TaskTimedOut")
                return {}
            case "ListExecutions":
                casts = (found for found in self.known.values() if found.machine == "cast_spell")
                return {"executions": [{"name": found.name} for found in casts if found.is_running]}
        execution = self.known.get(params["executionArn"].rpartition(":")[2])
        if execution is None:
            raise _error(client, operation, "ExecutionDoesNotExist")
        if operation == "StopExecution":
            self._end(execution, "ABORTED")
            return {}
        return {"status": execution.status, "error": execution.error}

    def _start(self, name: str, machine: str, content: Any) -> None:
        execution = Execution(name, machine, content, self._machines[machine].run(name, content))
        self.known[name] = execution
        self._plan(0, lambda: self._go_on(execution, None))

    def _go_on(self, execution: Execution, answer: Any) -> None:
        if not execution.is_running:
            return
        progress = execution.progress
        try:
            wish = progress.throw(answer) if isinstance(answer, TaskFailed) else progress.send(answer)
        except StopIteration:
            self._end(execution, "SUCCEEDED")
        except TaskFailed as error:
            self._end(execution, "FAILED", error.error)
        else:
            self._wait(execution, wish)

    def _wait(self, execution: Execution, wish: Pause | Answered) -> None:
        if isinstance(wish, Pause):
            self._plan(wish.seconds, lambda: self._go_on(execution, None), is_needed=lambda: execution.is_running)
        elif wish.token in self._answers or wish.failure is not None:
            self._closed.add(wish.token)
            answer = self._answers.get(wish.token, wish.failure)
            self._plan(0, lambda: self._go_on(execution, answer))
        else:
            token = wish.token
            self._waiting[token] = execution
            self._plan(
                wish.seconds,
                lambda: self._time_out(token),
                is_needed=lambda: token not in self._closed and execution.is_running,
            )

    def _time_out(self, token: str) -> None:
        self._closed.add(token)
        self._go_on(self._waiting[token], TaskFailed("States.Timeout"))

    def _take(self, token: str, answer: Any) -> bool:
        """Whether somebody waits, or will wait, for it."""
        if token in self._closed or not self.known[token.partition("/")[0]].is_running:
            return False
        self._closed.add(token)
        self._answers[token] = answer
        if token in self._waiting:
            self._plan(0, lambda: self._go_on(self._waiting[token], answer))
        return True

    def _end(self, execution: Execution, status: str, error: str = "") -> None:
        if not execution.is_running:
            return
        execution.status, execution.error = status, error
        detail = {
            "stateMachineArn": _MACHINES[execution.machine],
            "name": execution.name,
            "status": status,
            "input": json.dumps(execution.content),
            "error": error or None,
        }
        kind = "Step Functions Execution Status Change"
        self._tell({"source": "aws.states", "detail-type": kind, "detail": detail})


def _error(client: Any, operation: str, code: str) -> Exception:
    error: Exception = client.exceptions.from_code(code)({"Error": {"Code": code, "Message": code}}, operation)
    return error
