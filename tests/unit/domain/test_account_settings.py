from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain.account_settings import (
    MAX_SETTINGS_BYTES,
    AccountSettings,
    find_setting_faults,
    parse_settings,
)
from spellcast.domain.documents import Document, to_text
from spellcast.domain.errors import Fault
from spellcast.domain.tools import parse_tool
from tests.fakes.records import tool_document

TOOLS = {
    "painter": parse_tool(
        tool_document(
            {"style": {"enum": ["oil", "ink"]}, "size": {"type": "number"}, "prompt": {}},
            toolId="painter",
            displayName="Painter",
        )
    ),
    "bare": parse_tool(tool_document(toolId="bare")),
}


@pytest.mark.parametrize(
    "tools",
    [{}, {"painter": {}}, {"painter": {"style": "ink", "size": 0, "prompt": "a cat"}}, {"painter": {"size": "12"}}],
)
def test_settings_that_every_cast_can_use_have_no_faults(tools: Document) -> None:
    assert find_setting_faults({"tools": tools}, TOOLS) == []


@pytest.mark.parametrize(
    ("tools", "path", "message"),
    [
        ({"nope": {"x": 1}}, "tools.nope", "there is no tool of this id"),
        ({"Painter": {"size": 1}}, "tools.Painter", "there is no tool of this id"),
        ({"painter": {"colour": "red"}}, "tools.painter.colour", "Painter has no such input"),
        ({"bare": {"prompt": "x"}}, "tools.bare.prompt", "Tool has no such input"),
        ({"painter": {"style": "chalk"}}, "tools.painter.style", "is none of oil, ink"),
        ({"painter": {"size": "wide"}}, "tools.painter.size", "is not a number"),
        ({"painter": {"prompt": " "}}, "tools.painter.prompt", "a blank value sets nothing: leave it out"),
        ({"painter": {"size": None}}, "tools.painter.size", "a blank value sets nothing: leave it out"),
    ],
)
def test_what_no_cast_could_use_is_named(tools: Document, path: str, message: str) -> None:
    assert find_setting_faults({"tools": tools}, TOOLS) == [Fault(path, message)]


def test_every_fault_is_named() -> None:
    tools = {"nope": {}, "painter": {"size": "x", "style": "ink", "colour": 1}}
    assert [fault.path for fault in find_setting_faults({"tools": tools}, TOOLS)] == [
        "tools.nope",
        "tools.painter.size",
        "tools.painter.colour",
    ]


def test_settings_have_a_size() -> None:
    def of_size(size: int) -> Document:
        empty = len(to_text({"tools": {"painter": {"prompt": ""}}}))
        return {"tools": {"painter": {"prompt": "é" * ((size - empty) // 2) + "x" * ((size - empty) % 2)}}}

    assert find_setting_faults(of_size(MAX_SETTINGS_BYTES), TOOLS) == []
    (fault,) = find_setting_faults(of_size(MAX_SETTINGS_BYTES + 1), TOOLS)
    assert (fault.path, str(MAX_SETTINGS_BYTES + 1) in fault.message) == ("tools", True)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["painter", "size", "style"]), inner),
    max_leaves=8,
)


@given(ANYTHING)
def test_whatever_the_shape_only_faults_come_of_it(tools: Any) -> None:
    assert all(isinstance(fault, Fault) for fault in find_setting_faults({"tools": tools}, TOOLS))


@pytest.mark.parametrize(
    "document", [{"tools": {}}, {"tools": {"painter": {"size": 1}}, "dailyBudgetUsd": "0.0000001"}]
)
def test_settings_are_shown_as_they_were_sent(document: Document) -> None:
    assert parse_settings(document).document() == document
    assert AccountSettings().document() == {"tools": {}}
