"""docs/adapters.md says what is true: its provider is put into a copy of the repository, whose tests are run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PARTS = ("client", "docs", "events", "functions", "layers", "local", "statemachine", "tests")
FILES = ("pyproject.toml", "template.yaml")
TESTS = (
    "tests/unit/adapters/test_lumen.py",
    "tests/unit/adapters/test_fault_matrix.py",
    "tests/unit/adapters/test_registry.py",
    "tests/unit/adapters/test_catalog.py",
    "tests/unit/adapters/test_overhead.py",
    "tests/architecture/test_imports.py",
    "tests/architecture/test_template.py",
)
# What names the new service, and what counts the services.
CHOSEN = "lumen or reason or measured or secret or is_consistent or provider"


@cache
def document() -> str:
    return (ROOT / "docs" / "adapters.md").read_text("utf-8")


def blocks() -> list[tuple[str, str, str, str]]:
    """File, `below` or `above`, the line that is meant, and the content; a whole file has neither of the two."""
    named = re.compile(
        r"^\*\*`(\S+)`\*\*(?:, (below|above) `([^\n]+)`)?\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL
    )
    return named.findall(document())


def put(folder: Path, name: str, side: str, anchor: str, content: str) -> None:
    """Writes the file, or the lines beside the one line that is the anchor."""
    path = folder / name
    if not side:
        assert not path.exists()
        path.write_text(content, "utf-8")
        return
    lines = path.read_text("utf-8").splitlines(keepends=True)
    [number] = [number for number, line in enumerate(lines) if line.strip() == anchor]
    lines.insert(number + (side == "below"), content)
    path.write_text("".join(lines), "utf-8")


def run(folder: Path, *arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy in which somebody has followed the page."""
    folder = tmp_path_factory.mktemp("repository")
    for name in PARTS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    for name in FILES:
        shutil.copyfile(ROOT / name, folder / name)
    for block in blocks():
        put(folder, *block)
    return folder


def test_the_tests_of_what_it_writes_pass(repository: Path) -> None:
    run(repository, "pytest", "-x", "-p", "no:cacheprovider", "-k", CHOSEN, *TESTS)


def test_what_it_writes_is_written_as_everything_else(repository: Path) -> None:
    written = {name for name, *_ in blocks() if name.endswith(".py")}
    run(repository, "ruff", "check", "--no-cache", *written)
    run(repository, "ruff", "format", "--check", "--no-cache", *written)


def test_every_block_of_code_belongs_to_a_file_or_is_a_command() -> None:
    languages = re.findall(r"^```(\w+)$", document(), re.MULTILINE)
    assert len(languages) - languages.count("sh") == len(blocks()) > 5


def test_every_file_that_is_named_exists() -> None:
    named = set(re.findall(r"`((?:adapters|application|catalog|domain|local|ports|tests)/[\w/.]+\.\w+)`", document()))
    places = (ROOT, ROOT / "layers" / "spellcast" / "spellcast")
    theirs = {name for name, *_ in blocks()}
    missing = [name for name in named - theirs if not any((place / name).exists() for place in places)]
    assert len(named) > 10 and missing == []
