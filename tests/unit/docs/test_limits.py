"""docs/limits.md says what is true: its figures are the code's, and each has a test."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs" / "limits.md").read_text("utf-8")
TABLE = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in DOCUMENT.split("## The table")[1].split("\n## ")[0].splitlines()
    if line.startswith("|")
][2:]
# What reliability.md, 9, asks for.
NEEDED = {200_000, 400 * 1024, 256 * 1024, 1_000_000, 6_000_000, 100_000, 4 * 1024}


def names(path: Path) -> set[str]:
    """The tests of a file, by class and function."""
    found = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{item.name}" for item in node.body if isinstance(item, ast.FunctionDef)}
    return found


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_every_limit_is_the_codes_and_has_a_test(row: list[str]) -> None:
    _, figure, place, beyond, test = row
    value = int(figure.replace(",", ""))
    if found := re.fullmatch(r"`([a-z_.]+):([A-Z_]+)`", place):
        assert getattr(import_module(f"spellcast.{found[1]}"), found[2]) == value
    assert beyond
    path, _, name = test.strip("`").partition("::")
    assert name in names(ROOT / path)


def test_the_table_has_every_figure_that_is_asked_for() -> None:
    assert {int(row[1].replace(",", "")) for row in TABLE} >= NEEDED


@pytest.mark.parametrize("code", re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", DOCUMENT))
def test_every_code_is_one_of_the_closed_list(code: str) -> None:
    errors = vars(import_module("spellcast.domain.errors")).values()
    assert code in {getattr(error, "code", None) for error in errors}
