from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spellcast.adapters import expression
from spellcast.adapters.expression import ExpressionAdapter
from spellcast.domain.errors import ExpressionFailed, InvalidStepInput
from spellcast.domain.tools import Tool
from spellcast.ports.adapter import Adapter, Request

Run = Callable[..., Any]


@pytest.fixture
def run(ask: Callable[..., Request], tool: Callable[..., Tool]) -> Run:
    def evaluate(text: str, **inputs: Any) -> Any:
        adapter: Adapter = ExpressionAdapter()
        request = ask(tool("expression"), expression=text, **inputs)
        assert adapter.is_repeatable(request)
        (element,) = adapter.execute(request).payload
        assert element["type"] == "text"
        return element["data"]

    return evaluate


@pytest.mark.parametrize(
    ("text", "value", "result", "shown"),
    [
        ("input & '!'", "a", "a!", "a!"),
        ("$input & '!'", "a", "a!", "a!"),
        ("1 + 2", None, 3, "3"),
        ("input.a[1]", {"a": [1, 2]}, 2, "2"),
        ("input.{'x': a}", {"a": "é"}, {"x": "é"}, '{"x":"é"}'),
        ("[1..3]", None, [1, 2, 3], "[1,2,3]"),
        ("null", None, None, "null"),
        ("input.b", {"b": None}, None, "null"),
        ("input = ''", "", True, "true"),
        ("# a comment\n\n  $split(input, ',')  \n$count(input)", "a,b", 2, "2"),
        ("'a'\r\ninput & 'b'\n$input & 'c'", None, "abc", "abc"),
        ("$map(input, function($v) { $v * 2 })", [1, 2], [2, 4], "[2,4]"),
        ("$max([1, 2])", None, 2, "2"),
        ("$replace(input, 'a', 'b')", "aAa", "bAb", "bAb"),
    ],
)
def test_values(run: Run, text: str, value: Any, result: Any, shown: str) -> None:
    assert run(text, input=value) == {"text": shown, "result": result}


def test_an_input_that_is_absent_has_no_value(run: Run) -> None:
    assert run("$exists(input)")["result"] is False
    with pytest.raises(ExpressionFailed, match="Expression error: it has no value"):
        run("input")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "^expression is required$"),
        ("  \n# nothing", "^No expression to evaluate$"),
        ("x" * 20_001, "longer than"),
    ],
)
def test_what_is_no_expression(run: Run, text: str, message: str) -> None:
    with pytest.raises(InvalidStepInput, match=message):
        run(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("missing", "it has no value"),
        ("1\n(", "line 2: "),
        ("# c\n1\n\n'a' + 1", "line 4: The left side"),
        ("1/0", "division by zero"),
        ("1e308 * 10", "out of range"),
        ("$error('told you')", "told you"),
        ("function($x) { $x }", "a function, not a value"),
        ("$sum", "a function, not a value"),
        ("/a/", "a function, not a value"),
        ("$number('x')", "it cannot be evaluated"),
        ("'\\ud800'", "that JSON cannot hold"),
    ],
)
def test_failures_are_told_in_one_short_line(run: Run, text: str, message: str) -> None:
    with pytest.raises(ExpressionFailed, match=message) as caught:
        run(text)
    assert caught.value.message.startswith("Expression error: ")
    assert len(caught.value.message) < 400
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "[1..10000000]",
        "$match('" + "a" * 40 + "!', /^(a+)+$/)",
        "($f := function($n) { $f($n + 1) }; $f(0))",
        "[1..100].([1..1000].([1..1000]))",
        "$power(9, 999999)",
        "$join($map([1..1000000], $string), ',')",
    ],
)
def test_hostile_expressions_end_at_the_deadline_if_not_before(
    run: Run, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    # Shorter than in use, for the sake of the suite; the test below waits it out.
    monkeypatch.setattr(expression, "MAX_SECONDS", 0.4)
    with pytest.raises(ExpressionFailed, match=r"longer than 0\.4 s|memory|larger than|cannot be evaluated"):
        run(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("($f := function($n) { $f($n + 1) + 1 }; $f(0))", "too deeply"),
        ("(" * 5000 + "1" + ")" * 5000, "too deeply|depth"),
        ("[" * 100 + "1" + "]" * 100, "nested deeper than"),
        ("$pad('x', 1000000000)", "memory"),
        ("$reduce([1..60], function($a, $v) { $a & $a }, 'xx')", "memory"),
        ("$pad('x', 300000)", "larger than"),
        ("'a'\n$pad(input, 300000)\n'b' & input", "larger than"),
        ("$eval('(' & $pad('', 9000, '(') & ')')", "Expression error"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_hostile_expressions_are_bounded_in_memory_depth_and_size(
    run: Run, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    # So long that the deadline is never the bound that ends them, however busy the machine.
    monkeypatch.setattr(expression, "MAX_SECONDS", 60)
    with pytest.raises(ExpressionFailed, match=message):
        run(text)


def test_the_limit_in_use_is_one_second(run: Run) -> None:
    start = time.monotonic()
    with pytest.raises(ExpressionFailed, match="longer than 1 s"):
        run("($f := function($n) { $f($n + 1) }; $f(0))")
    assert time.monotonic() - start >= 1


def test_nothing_is_left_behind(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    children: list[int] = []
    fork = os.fork

    def noted() -> int:
        children.append(fork())
        return children[-1]

    run("1")
    monkeypatch.setattr(os, "fork", noted)
    limit, files = sys.getrecursionlimit(), len(list(Path("/proc/self/fd").iterdir()))
    for text in ("1 + 1", "1/0", "$pad('x', 1000000000)", "(" * 5000):
        with pytest.raises(ExpressionFailed):
            run(f"{text}\nnothing")
    assert sys.getrecursionlimit() == limit < expression.MAX_DEPTH
    assert len(list(Path("/proc/self/fd").iterdir())) == files
    assert len(children) == 4
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


def test_other_threads_do_not_matter(run: Run) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert run("1 + 1")["result"] == 2
    finally:
        stop.set()
        thread.join()
