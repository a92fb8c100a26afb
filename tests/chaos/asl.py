"""Runs the project's state machines as their definitions say. Time passes only where they wait."""

from __future__ import annotations

import importlib
import itertools
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.contract.deployment import ROOT

_EXPRESSION = re.compile(r"\{%(.*)%\}", re.DOTALL)
_FUNCTION = re.compile(r"\$\{(\w+)FunctionArn\}")


class TaskFailed(Exception):
    """A state's error, by the name by which `Retry` and `Catch` go."""

    def __init__(self, error: str, cause: str = "") -> None:
        super().__init__(error)
        self.error = error
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Pause:
    """Go on after this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Answered:
    """Go on with the answer to this token; without one with `failure`, or with a time-out after this many seconds."""

    token: str
    seconds: float
    failure: TaskFailed | None


Progress = Generator[Pause | Answered, Any, None]


class StateMachine:
    """One of `statemachine/*.asl.json`. `invoke` calls a function, by its folder, and raises TaskFailed."""

    def __init__(self, name: str, invoke: Callable[[str, Any], Any]) -> None:
        self._definition = json.loads((ROOT / "statemachine" / f"{name}.asl.json").read_text("utf-8"))
        self._invoke = invoke

    def run(self, execution: str, content: Any) -> Progress:
        """Ends, or raises TaskFailed where the execution has failed."""
        tokens = itertools.count(1)
        name = self._definition["StartAt"]
        while True:
            state = self._definition["States"][name]
            match state["Type"]:
                case "Succeed":
                    return
                case "Fail":
                    raise TaskFailed(state["Error"], state["Cause"])
                case "Wait":
                    yield Pause(float(_value(state["Seconds"], input=content)))
                    name = state["Next"]
                case "Choice":
                    chosen = (rule["Next"] for rule in state["Choices"] if _value(rule["Condition"], input=content))
                    name = next(chosen, state["Default"])
                case "Task":
                    content, name = yield from self._task(state, execution, content, tokens)

    def _task(self, state: Any, execution: str, content: Any, tokens: itertools.count[int]) -> Generator[Any, Any, Any]:
        tried: Counter[int] = Counter()
        while True:
            try:
                result = yield from self._attempt(state, execution, content, f"{execution}/{next(tokens)}")
            except TaskFailed as error:
                place = _rule_for(error, state.get("Retry", []))
                retry = {} if place is None else state["Retry"][place]
                if place is not None and tried[place] < retry["MaxAttempts"]:
                    wait = retry["IntervalSeconds"] * retry.get("BackoffRate", 1) ** tried[place]
                    tried[place] += 1
                    yield Pause(min(wait, retry.get("MaxDelaySeconds", wait)))
                    continue
                place = _rule_for(error, state.get("Catch", []))
                if place is None:
                    raise
                catch = state["Catch"][place]
                told = {"Error": error.error, "Cause": error.cause}
                return _value(catch.get("Output", told), input=content, errorOutput=told), catch["Next"]
            return _value(state.get("Output", result), input=content, result=result), state["Next"]

    def _attempt(self, state: Any, execution: str, content: Any, token: str) -> Generator[Any, Any, Any]:
        function = _FUNCTION.fullmatch(state["Arguments"]["FunctionName"])
        assert function is not None
        folder = re.sub(r"(?<!^)(?=[A-Z])", "_", function[1]).lower()
        context = {"Execution": {"Name": execution}, "Task": {"Token": token}}
        payload = _value(state["Arguments"]["Payload"], input=content, context=context)
        failure: TaskFailed | None = None
        answer: Any = None
        try:
            answer = {"Payload": self._invoke(folder, payload)}
        except TaskFailed as error:
            failure = error
        if not state["Resource"].endswith(".waitForTaskToken"):
            if failure is not None:
                raise failure
            return answer
        # Whoever answered before it died has answered.
        return (yield Answered(token, float(_value(state["TimeoutSeconds"], input=content)), failure))


def _rule_for(error: TaskFailed, rules: list[Any]) -> int | None:
    for place, rule in enumerate(rules):
        names = rule["ErrorEquals"]
        is_failure = error.error != "States.Timeout" and "States.TaskFailed" in names
        if error.error in names or "States.ALL" in names or is_failure:
            return place
    return None


def _value(template: Any, **states: Any) -> Any:
    """The template with its JSONata evaluated."""
    if isinstance(template, dict):
        return {key: _value(item, **states) for key, item in template.items()}
    expression = _EXPRESSION.fullmatch(template) if isinstance(template, str) else None
    if expression is None:
        return template
    found = _compiled(expression[1].strip()).evaluate(None, {"states": states})
    # JSONata has lists of its own kind.
    return json.loads(json.dumps(found))


@cache
def _compiled(expression: str) -> Any:
    limit = sys.getrecursionlimit()
    jsonata = importlib.import_module("jsonata")
    # The package raises the whole process's limit when it is first imported.
    sys.setrecursionlimit(limit)
    return jsonata.Jsonata(expression)
