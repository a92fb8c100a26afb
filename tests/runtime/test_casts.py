"""Casts whose functions run as Lambda runs them: the same code, under the runtime client that AWS uses."""

from __future__ import annotations

import json
import re
from decimal import Decimal

import pytest

from tests.cloud import Cloud, called, drawn, words
from tests.runtime.emulator import Function

_ENTRY = re.compile(r"^\{.*\}$", re.MULTILINE)


@pytest.mark.parametrize(
    ("steps", "calls"),
    [
        pytest.param([words()], {"execute_step"}, id="immediate"),
        pytest.param([called()], {"execute_step", "complete_job", "process_output"}, id="webhook"),
        pytest.param([drawn()], {"execute_step", "poll_job", "process_output"}, id="polled"),
        pytest.param(
            [words(), drawn(), called(), words(node="last")],
            {"execute_step", "poll_job", "complete_job", "process_output"},
            id="all three",
        ),
    ],
)
def test_a_cast_completes(
    cloud: Cloud, functions: dict[str, Function], steps: list[dict[str, object]], calls: set[str]
) -> None:
    before = {name: len(function.call_ms) for name, function in functions.items()}
    ended = cloud.run(cloud.spell(*steps))
    assert ended["status"] == "completed", ended
    assert len(ended["generations"]) == len(steps)
    assert Decimal(ended["costUsd"]) == sum(Decimal(item["costUsd"]) for item in ended["generations"])
    for name in {*calls, "cast_api", "finalize_cost"}:
        assert len(functions[name].call_ms) > before[name], name


def test_a_failed_step_fails_its_cast(cloud: Cloud, functions: dict[str, Function]) -> None:
    """The machine goes by the name of the error, which the runtime client must have kept."""
    ended = cloud.run(cloud.spell(words(), called("a cat [fault:fail]")))
    assert ended["status"] == "failed"
    assert ended["failure"]["code"] == "JOB_FAILED"
    assert [item["status"] for item in ended["generations"]] == ["completed", "failed"]
    assert "StepEndedInFailure" in functions["process_output"].log()


def test_every_line_of_the_log_has_the_casts_id(cloud: Cloud, functions: dict[str, Function]) -> None:
    ended = cloud.run(cloud.spell(words(), drawn(), called()))
    for name in ("execute_step", "poll_job", "process_output", "finalize_cost"):
        entries = [json.loads(entry) for entry in _ENTRY.findall(functions[name].log())]
        own = [entry for entry in entries if ended["castId"] in json.dumps(entry)]
        assert own, name
        assert all(entry.get("castId") == ended["castId"] for entry in own), name
        assert all("castId" in entry for entry in entries if "level" in entry), name
