"""docs/deploying.md and docs/operating.md name what template.yaml has; alarms are those of test_runbook.py."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from spellcast.application.sweep import SweepReport

ROOT = Path(__file__).parents[3]
TEMPLATE: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text("utf-8"))


@cache
def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")


def first_cells(name: str, head: str) -> set[str]:
    """What stands between backticks in the first column of the table with this head."""
    table = page(name).split(f"\n| {head} |")[1].split("\n\n")[0]
    return set(re.findall(r"`(\w+)`", " ".join(line.split("|")[1] for line in table.splitlines()[2:])))


def resources(kind: str) -> dict[str, Any]:
    return {name: item["Properties"] for name, item in TEMPLATE["Resources"].items() if item["Type"] == kind}


def test_every_parameter_that_is_named_can_be_set() -> None:
    assert first_cells("deploying.md", "parameter") <= set(TEMPLATE["Parameters"])


def test_everything_that_runs_is_there() -> None:
    functions = {Path(item["CodeUri"]).name for item in resources("AWS::Serverless::Function").values()}
    assert first_cells("operating.md", "what") == functions | {"cast_spell"}


@pytest.mark.parametrize("name", ["deploying.md", "operating.md"])
def test_every_resource_and_output_that_is_named_exists(name: str) -> None:
    named = set(re.findall(r"(?:resource|OutputKey==)[ ']+(\w+)", page(name)))
    assert named
    assert named <= TEMPLATE["Resources"].keys() | TEMPLATE["Outputs"].keys()


def test_what_the_sweep_counts_is_named() -> None:
    named = set(re.findall(r"`Sweep(\w+)`", page("operating.md")))
    assert {count.lower() for count in named} == set(SweepReport().counts())
