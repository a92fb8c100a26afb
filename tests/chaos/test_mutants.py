"""The product, broken on purpose: every patch in mutants/ breaks a promise, and the tests that it names notice it.

A patch begins with a sentence on what it breaks and with the tests that must fail, a line each. One that does not apply
any more is drawn anew: its line of the product has changed, and perhaps the promise's defence with it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.chaos.conftest import Defends

ROOT = Path(__file__).parents[2]
MUTANTS = sorted((ROOT / "tests" / "chaos" / "mutants").glob("*.patch"))
# What the product and its fast tests are made of.
PARTS = ("layers", "functions", "tests", "events", "statemachine", "template.yaml", "pyproject.toml")
PROMISES = [f"I{number}" for number in range(1, 11)]
AT_ONCE = 2
MOST_SECONDS = 300
# pytest's exit codes: tests have failed; everything else is no verdict.
FAILED = 1


@dataclass(frozen=True)
class Mutant:
    """A patch of the product."""

    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @property
    def promise(self) -> str:
        """`I1` to `I10`, or the subject: `budget`, `cancel`, `resume`."""
        return self.path.stem.partition("-")[0]

    @property
    def sentence(self) -> str:
        return self.text.partition("\n")[0]

    @property
    def tests(self) -> list[str]:
        """The node ids of those that must fail."""
        return re.findall(r"^fails: (tests/\S.*)$", self.text.partition("\n--- ")[0], re.MULTILINE)


@dataclass(frozen=True)
class Verdict:
    """What the named tests said in the broken copy; `unnoticed` are those that did not fail by an assertion."""

    exit_code: int
    unnoticed: dict[str, str]
    said: str


def judge(mutant: Mutant, copy: Path) -> Verdict:
    """Breaks a copy of the product, and runs the mutant's tests there."""
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, copy / part, ignore=shutil.ignore_patterns("mutants", "peers"))
        else:
            shutil.copy2(source, copy / part)
    # Without a repository around it: of paths outside of one `git apply` says nothing, and applies nothing.
    around = {**os.environ, "GIT_CEILING_DIRECTORIES": str(copy.parent)}
    applied = _run(["git", "apply", "--whitespace=nowarn", str(mutant.path)], copy, around)
    if applied.returncode != 0:
        return Verdict(applied.returncode, {}, f"The patch does not apply any more: {applied.stderr}")
    report = copy / "report.xml"
    options = ["-p", "no:cacheprovider", "-o", "junit_family=xunit1", f"--junitxml={report}", "--tb=short"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SPELLCAST_", "PYTEST_"))}
    ran = _run([sys.executable, "-m", "pytest", *options, *mutant.tests], copy, environment)
    verdicts = _read(report) if report.exists() else {}
    unnoticed = {test: verdicts.get(test, "was not run") for test in mutant.tests}
    return Verdict(ran.returncode, {test: why for test, why in unnoticed.items() if why}, ran.stdout + ran.stderr)


def _run(command: list[str], place: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, timeout=MOST_SECONDS, check=False
    )


def _read(report: Path) -> dict[str, str]:
    """Of each test why it does not count as one that has noticed; empty where it does."""
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        file = case.attrib["file"]
        inside = case.attrib["classname"].removeprefix(file.removesuffix(".py").replace("/", ".")).strip(".")
        name = "::".join(part for part in (file, inside.replace(".", "::"), case.attrib["name"]) if part)
        failure = case.find("failure")
        message = "passed, or was skipped" if failure is None else failure.attrib["message"]
        # An assertion of the test, or of a fixture of its own at its end; anything else is a broken test.
        found[name] = "" if message.startswith(("assert ", "AssertionError", "Failed: DID NOT RAISE")) else message
    return found


@pytest.fixture(scope="module")
def verdicts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Verdict]]]:
    """Of the mutants that were asked for, two at once."""
    wanted = {item.callspec.params["path"] for item in request.session.items if "path" in _params(item)}  # type: ignore[attr-defined]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            path.stem: pool.submit(judge, Mutant(path), tmp_path_factory.mktemp(path.stem))
            for path in MUTANTS
            if path in wanted
        }
        pool.shutdown(cancel_futures=True)


def _params(item: pytest.Item) -> dict[str, object]:
    spec = getattr(item, "callspec", None)
    return spec.params if spec and item.path == Path(__file__) else {}


def test_every_promise_has_a_mutant_that_names_what_it_breaks() -> None:
    mutants = [Mutant(path) for path in MUTANTS]
    assert {mutant.promise for mutant in mutants} >= {*PROMISES, "budget", "cancel", "resume"}
    for mutant in mutants:
        assert mutant.sentence.endswith("."), mutant.path.name
        assert mutant.tests, mutant.path.name


@pytest.mark.parametrize("path", MUTANTS, ids=lambda path: path.stem)
def test_a_broken_promise_is_noticed(path: Path, verdicts: dict[str, Future[Verdict]], defends: Defends) -> None:
    mutant = Mutant(path)
    verdict = verdicts[path.stem].result()
    assert verdict.exit_code == FAILED, verdict.said
    assert verdict.unnoticed == {}, verdict.said
    defends(mutant.promise, f"the code is broken: {mutant.sentence}", f"{len(mutant.tests)} tests fail")
