"""docs/migrating.md says what is true: its tables, flags and snippets are run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools.utilities.feature_flags import FeatureFlags, SchemaValidator
from aws_lambda_powertools.utilities.feature_flags.base import StoreProvider

from scripts.replay_casts.recordings import read_export
from scripts.replay_casts.replay import replay
from spellcast.adapters.expression import ExpressionAdapter
from spellcast.application.send_webhook import signed_request
from spellcast.catalog import built_in_tools
from spellcast.ports.adapter import Request
from tests.fakes.clock import START
from tests.fakes.records import a_cast

ROOT = Path(__file__).parents[3]
# Of the original's expressions, original-system.md §6.2.
FUNCTIONS = [
    "replace",
    "split",
    "trim",
    "padStart",
    "padEnd",
    "toUpperCase",
    "toLowerCase",
    "slice",
    "at",
    "join",
    "includes",
    "startsWith",
    "endsWith",
    "len",
    "range",
    "repeat",
    "toString",
    "toNumber",
    "round",
    "floor",
    "ceil",
    "abs",
    "min",
    "max",
]


@cache
def document() -> str:
    return (ROOT / "docs" / "migrating.md").read_text("utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the one table below a heading, without its head."""
    section = document().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table]


def code(cell: str) -> str:
    """What stands between backticks, line by line."""
    return "\n".join(re.findall(r"`(.*?)`", cell)).replace("\\|", "|")


def blocks(language: str) -> Iterator[str]:
    yield from re.findall(rf"```{language}\n(.*?)```", document(), re.DOTALL)


@pytest.mark.parametrize("row", rows("Expressions"), ids=lambda row: f"{code(row[0])} of {code(row[2])}")
def test_every_line_of_the_expressions_gives_what_it_says(row: list[str]) -> None:
    _, here, given, text = map(code, row)
    inputs = {"expression": here, "input": json.loads(given)}
    result = ExpressionAdapter().execute(Request("g.0.1", built_in_tools()["expression"], inputs))
    assert result.payload[0]["data"]["text"] == text


def test_every_function_of_the_original_has_a_line() -> None:
    originals = " ".join(code(row[0]) for row in rows("Expressions"))
    assert [name for name in FUNCTIONS if f"{name}(" not in originals] == []


def test_every_row_of_the_contract_is_there() -> None:
    assert [row[0] for row in rows("What a caller notices")] == [str(number) for number in range(1, 18)]


def test_every_reason_of_a_replay_is_explained() -> None:
    recordings = read_export(json.loads((ROOT / "tests/fixtures/original_export.json").read_text("utf-8")))
    tools = [*built_in_tools().values(), *recordings.tools]
    found = {str(each.reason) for cast in recordings.casts for each in replay(cast, tools)}
    reasons = {reason for each in found for reason in each.split(", ") if not reason.startswith("row ")}
    assert reasons | {"UNEXPLAINED"} == {code(row[0]) for row in rows("Why a replay differs")[1:]}


class Stored(StoreProvider):
    """Flags as they stand in the document."""

    def __init__(self, flags: dict[str, Any]) -> None:
        self._flags = flags

    @property
    def get_raw_configuration(self) -> dict[str, Any]:
        return self._flags

    def get_configuration(self) -> dict[str, Any]:
        return self._flags


@pytest.mark.parametrize(
    ("context", "here"),
    [
        ({"account": "65f0a1b2c3d4e5f600000001", "share": 99}, True),
        ({"account": "another", "share": 9}, True),
        ({"account": "another", "share": 10}, False),
    ],
)
def test_the_flags_are_what_powertools_reads(context: dict[str, Any], here: bool) -> None:
    [flags] = [json.loads(block) for block in blocks("json")]
    SchemaValidator(flags).validate()
    assert FeatureFlags(Stored(flags)).evaluate(name="cast_here", context=context, default=None) is here


@pytest.mark.parametrize("secret", ["s3cr3t", "whsec_d2ViaG9vayBzZWNyZXQgb2YgdGhlIGV2ZW50cw=="])
def test_both_checks_of_a_webhook_accept_it_and_refuse_another(secret: str) -> None:
    [snippet] = blocks("python")
    checks: dict[str, Any] = {}
    exec(snippet, checks)
    cast = replace(a_cast(), webhook_secret=secret, outputs={"text": "café"})
    body, headers = signed_request(cast, START)
    for check in ("is_signed_as_before", "is_signed_by_the_standard"):
        assert checks[check](secret, headers, body) is True
        assert checks[check](secret, headers, body.replace(b"running", b"failed!")) is False
        assert checks[check]("another", headers, body) is False


def test_every_script_and_file_that_is_named_exists() -> None:
    named = re.findall(r"\b((?:scripts|tests|docs)/[\w/.]+\.\w+)", document())
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
