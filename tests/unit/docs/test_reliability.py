"""docs/reliability.md names tests that there are; every promise is defended by some, and broken by mutants."""

from __future__ import annotations

import re

import pytest

from tests.chaos.report import PAGE, ROOT

PROMISES = [f"I{number}" for number in range(1, 11)]
ROWS = [row for row in PAGE.read_text().splitlines() if row.startswith("|") and row.count("|") > 4]


def test_the_tests_that_are_named_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+(?:\.py)?)`", PAGE.read_text())
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []
    of_the_suite = re.findall(r"`(test_\w+\.py)::(\w+)", PAGE.read_text())
    missing = [(file, test) for file, test in of_the_suite if f"def {test}(" not in _source(file)]
    assert missing == []


@pytest.mark.parametrize("promise", PROMISES)
def test_each_promise_is_defended_and_has_mutants(promise: str) -> None:
    assert any(re.search(rf"\b{promise}\b", row.split("|")[1]) for row in ROWS)
    assert list((ROOT / "tests" / "chaos" / "mutants").glob(f"{promise}-*.patch"))


def _source(file: str) -> str:
    path = ROOT / "tests" / "chaos" / file
    return path.read_text() if path.exists() else ""
