"""The service `expression`: JSONata over the step's input, line by line.

It runs in a process of its own, which is bounded in time, memory and depth, and thrown away.
"""

from __future__ import annotations

import gc
import importlib
import os
import re
import resource
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from spellcast.adapters.capabilities import ImmediateOnly
from spellcast.domain.documents import Document, from_text, to_text
from spellcast.domain.errors import ExpressionFailed, InvalidStepInput
from spellcast.domain.results import ToolResult, succeeded
from spellcast.ports.adapter import ProviderConfig, Request

if TYPE_CHECKING:
    import httpx

MAX_SECONDS = 1.0
# Over and above what the process holds before the expression runs.
MAX_MEMORY_BYTES = 128 * 1024 * 1024
# Python frames; JSONata takes about a dozen for each call of a function within a function.
MAX_DEPTH = 4000
MAX_EXPRESSION_CHARACTERS = 20_000
MAX_RESULT_BYTES = 200_000
# Lists and objects within each other; every reader of the result has to walk them.
MAX_RESULT_NESTING = 50
_MAX_MESSAGE_CHARACTERS = 300
_NOT_A_VALUE = "the result is a function, not a value"


def build(config: ProviderConfig, client: Callable[[], httpx.Client], allow_loopback: bool) -> ExpressionAdapter:
    """The registry's way in."""
    return ExpressionAdapter()


class ExpressionAdapter(ImmediateOnly):
    """Evaluates what a spell's author wrote, and trusts none of it."""

    def is_repeatable(self, request: Request) -> bool:
        """Always: it spends nothing and changes nothing."""
        return True

    def execute(self, request: Request) -> ToolResult:
        """Each line's value is `input` of the next; the last line's is the result."""
        expression = request.inputs.get("expression")
        if not isinstance(expression, str) or not expression:
            raise InvalidStepInput("expression is required")
        if len(expression) > MAX_EXPRESSION_CHARACTERS:
            raise InvalidStepInput(f"expression is longer than {MAX_EXPRESSION_CHARACTERS} characters")
        lines = [
            (number, line.strip())
            for number, line in enumerate(expression.splitlines(), 1)
            if line.strip() and not line.strip().startswith("#")
        ]
        if not lines:
            raise InvalidStepInput("No expression to evaluate")
        result = _in_child(lines, request.inputs)
        text = result if isinstance(result, str) else to_text(result)
        return succeeded("text", {"text": text, "result": result})


def _in_child(lines: list[tuple[int, str]], inputs: Document) -> Any:
    """Forks, waits no longer than MAX_SECONDS, and reads one JSON document from the child."""
    # Before the fork, so that every step does not import it anew.
    _jsonata()
    read_end, write_end = os.pipe()
    with warnings.catch_warnings():
        # Python warns of threads that hold locks in the child; this child takes none of theirs.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(read_end)
        _child(write_end, lines, inputs)
    os.close(write_end)
    try:
        answer = _read_until(read_end, time.monotonic() + MAX_SECONDS)
    finally:
        os.close(read_end)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if answer is None:
        raise _failed(f"it takes longer than {MAX_SECONDS:g} s")
    if not answer:
        # The child ended without a word: the system stopped it at one of its limits.
        raise _failed("it needs too much memory, time or depth")
    if len(answer) > MAX_RESULT_BYTES:
        raise _failed(f"the result is larger than {MAX_RESULT_BYTES} bytes")
    kind, content = from_text(answer)
    if kind == "error":
        raise _failed(content)
    return content


def _jsonata() -> Any:
    limit = sys.getrecursionlimit()
    jsonata = importlib.import_module("jsonata")
    # The package raises the whole process's limit when it is first imported.
    sys.setrecursionlimit(limit)
    return jsonata


def _read_until(read_end: int, deadline: float) -> bytes | None:
    """What the child writes until it ends, or until that is too much; None if it does not end in time."""
    answer = bytearray()
    ready = select.poll()
    ready.register(read_end, select.POLLIN)
    while len(answer) <= MAX_RESULT_BYTES:
        if not ready.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return None
        chunk = os.read(read_end, 65536)
        if not chunk:
            break
        answer += chunk
    return bytes(answer)


def _failed(reason: str) -> ExpressionFailed:
    line = " ".join(reason.split())
    if len(line) > _MAX_MESSAGE_CHARACTERS:
        line = line[: _MAX_MESSAGE_CHARACTERS - 1] + "…"
    return ExpressionFailed(f"Expression error: {line}")


# --- In the child: nothing returns from here, and nothing of the parent's is touched. ---


def _child(write_end: int, lines: list[tuple[int, str]], inputs: Document) -> NoReturn:
    try:
        # The parent's objects are not looked at again, so that its pages stay shared.
        gc.freeze()
        _limit_self()
        try:
            answer = to_text(["value", _evaluate(lines, inputs)])
        except _LineFailed as error:
            answer = to_text(["error", str(error)])
        data = memoryview(answer.encode())[: MAX_RESULT_BYTES + 1]
        while data:
            data = data[os.write(write_end, data) :]
    finally:
        os._exit(0)


def _limit_self() -> None:
    # The parent's deadline is the tighter one; this ends a child whose parent is gone.
    seconds = int(MAX_SECONDS) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        # Not Linux: the deadline is then the only bound on memory.
        pass
    else:
        resource.setrlimit(resource.RLIMIT_AS, (held + MAX_MEMORY_BYTES, held + MAX_MEMORY_BYTES))
    sys.setrecursionlimit(MAX_DEPTH)


class _LineFailed(Exception):
    pass


def _evaluate(lines: list[tuple[int, str]], inputs: Document) -> Any:
    jsonata = _jsonata()
    value, is_present = inputs.get("input"), "input" in inputs
    for number, line in lines:
        where = f"line {number}: " if len(lines) > 1 else ""
        try:
            value, is_present = _evaluate_line(jsonata, line, value, is_present), True
        except MemoryError:
            raise _LineFailed(f"{where}it needs more than {MAX_MEMORY_BYTES // 2**20} MB of memory") from None
        except RecursionError:
            raise _LineFailed(f"{where}it is nested too deeply") from None
        except Exception as error:
            raise _LineFailed(f"{where}{_explain(error)}") from None
    return value


def _evaluate_line(jsonata: Any, line: str, value: Any, is_present: bool) -> Any:
    compiled = jsonata.Jsonata(line)
    # Otherwise JSONata's null and its "nothing" would both be None.
    compiled.set_output_convert_nulls(False)
    result = compiled.evaluate({"input": value} if is_present else {}, {"input": value} if is_present else {})
    if result is None:
        raise _LineFailed("it has no value (JSONata: nothing matched)")
    plain = jsonata.Utils.convert_nulls(result)
    try:
        text = to_text(plain)
        text.encode()
        if _nesting(text) > MAX_RESULT_NESTING:
            raise _LineFailed(f"the result is nested deeper than {MAX_RESULT_NESTING} levels")
        return from_text(text)
    except TypeError:
        raise _LineFailed(_NOT_A_VALUE) from None
    except ValueError:
        raise _LineFailed("the result holds a number or a character that JSON cannot hold") from None


def _nesting(text: str) -> int:
    """How many lists and objects of a JSON text are within each other."""
    deepest = depth = 0
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', text):
        match text[token.start()]:
            case "[" | "{":
                depth += 1
                deepest = max(deepest, depth)
            case "]" | "}":
                depth -= 1
    return deepest


def _explain(error: Exception) -> str:
    if isinstance(error, ZeroDivisionError):
        return "division by zero"
    name = type(error).__name__
    if isinstance(error, _LineFailed) or name == "JException":
        return str(error)
    # A defect of the interpreter on input of this sort; its own words would mean nothing to the author.
    return f"it cannot be evaluated ({name})"
