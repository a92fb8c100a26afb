from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from spellcast.adapters.string import StringAdapter
from spellcast.domain.errors import InvalidSignature, InvalidStepInput
from spellcast.domain.tools import Tool
from spellcast.ports.adapter import Adapter, Request

Ask = Callable[..., Request]
CatalogTool = Callable[..., Tool]


def run(ask: Ask, tool: CatalogTool, **inputs: Any) -> Any:
    adapter: Adapter = StringAdapter()
    result = adapter.execute(ask(tool("string-primitive"), **inputs))
    assert result.status == "succeeded"
    (element,) = result.payload
    assert element["type"] == "text"
    return element["data"]["text"]


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ({"inputText": "a", "appendText": "b"}, "ab"),
        ({"operation": "concat", "inputText": "a"}, "a"),
        ({"operation": "", "inputText": "a ", "appendText": " b"}, "a  b"),
        ({"operation": None, "inputText": {"data": {"text": "a"}}, "appendText": {"text": "b"}}, "ab"),
        ({"inputText": {"result": "r"}, "appendText": {"x": 1}}, 'r{"x":1}'),
        ({"inputText": 1, "appendText": True}, "1true"),
        ({"operation": "replace", "inputText": "aAa", "searchText": "a", "replacementText": "b"}, "bbb"),
        ({"operation": "replace", "inputText": "a.b+c", "searchText": " .b+ ", "replacementText": r"\1"}, r"a\1c"),
        ({"operation": "replace", "inputText": "a cat", "searchText": "cat"}, "a "),
        ({"operation": "replace", "inputText": "x", "searchText": "y", "replacementText": "z"}, "x"),
    ],
)
def test_operations(ask: Ask, tool: CatalogTool, inputs: dict[str, Any], text: str) -> None:
    assert run(ask, tool, **inputs) == text


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"operation": "x", "inputText": "a"}, "Unsupported operation: x"),
        ({"inputText": ""}, "inputText is required"),
        ({"inputText": "  "}, "inputText is required"),
        ({}, "inputText is required"),
        ({"operation": "replace", "inputText": "a"}, "searchText is required"),
        ({"operation": "replace", "inputText": "a", "searchText": " "}, "searchText is required"),
        ({"inputText": "a", "appendText": "b" * 200_000}, "longer than"),
        (
            {"operation": "replace", "inputText": "a" * 1000, "searchText": "a", "replacementText": "b" * 1000},
            "longer than",
        ),
    ],
)
def test_refusals(ask: Ask, tool: CatalogTool, inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidStepInput, match=message):
        run(ask, tool, **inputs)


def test_it_has_no_jobs(ask: Ask, tool: CatalogTool) -> None:
    adapter = StringAdapter()
    request = ask(tool("string-primitive"), inputText="a")
    assert adapter.is_repeatable(request)
    assert adapter.derived_run_id("c.0.1") is None
    with pytest.raises(InvalidStepInput, match="must be immediate"):
        adapter.start_job(request)
    with pytest.raises(InvalidStepInput, match="no jobs"):
        adapter.poll_job("x", request.tool)
    with pytest.raises(InvalidSignature):
        adapter.parse_webhook({}, b"{}", request.tool, datetime.now(UTC))
    adapter.cancel_job("x")
