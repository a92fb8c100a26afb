"""docs/runbook.md has every alarm, and what it tells to paste asks for what is logged."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text("utf-8")
TEMPLATE = (ROOT / "template.yaml").read_text("utf-8")
ALARMS = re.findall(r"^  (\w+):\n    Type: AWS::CloudWatch::Alarm$", TEMPLATE, re.MULTILINE)
GROUPS = set(re.findall(r"LogGroupName: !Sub /aws/lambda/spellcast-\$\{Stage\}-(\w+)", TEMPLATE))
SECTIONS = dict(re.findall(r"^## (\w+Alarm)\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))


def queries(text: str) -> list[str]:
    return re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_its_headings_are_the_alarms_in_their_order() -> None:
    assert len(ALARMS) > 10
    assert list(SECTIONS) == ALARMS


@pytest.mark.parametrize("alarm", ALARMS)
def test_each_says_what_it_means_where_to_look_what_to_do_and_when_to_ignore_it(alarm: str) -> None:
    assert re.findall(r"^- \*\*(\w+)\*\*: \S", SECTIONS[alarm], re.MULTILINE) == ["Means", "Look", "Do", "Ignore"]
    assert [query for query in queries(SECTIONS[alarm]) if 'castId = "CAST_ID"' in query], "one by the cast's id"


def test_queries_ask_for_functions_and_messages_that_there_are() -> None:
    asked = "".join(queries(RUNBOOK))
    assert set(re.findall(r'@log like "(\w+)"', asked)) <= GROUPS
    code = "".join(path.read_text("utf-8") for part in ("functions", "layers") for path in (ROOT / part).rglob("*.py"))
    messages = re.findall(r'message (?:=|like) "([^"]+)"', asked)
    assert len(messages) > 3
    assert [message for message in messages if message not in code] == []


def test_what_it_calls_a_parameter_is_one() -> None:
    parameters = TEMPLATE[: TEMPLATE.index("\nRules:")]
    for name in ("AlarmTopicArn", "DailyBudgetUsd", "DailyCostAlarmUsd", "Tracing"):
        assert f"`{name}`" in RUNBOOK
        assert f"\n  {name}:\n" in parameters
