"""The built-in definitions: whole, consistent with themselves, and of services that exist."""

from __future__ import annotations

import json
from decimal import Decimal
from importlib import resources
from typing import Any

import pytest

from spellcast.adapters.registry import DELIVERY_MODES
from spellcast.api.bodies import ToolBody
from spellcast.catalog import built_in_tools
from spellcast.domain.cost import expected_cost
from spellcast.domain.tool_definitions import find_tool_faults
from spellcast.domain.tools import parse_tool

FILES = sorted(file.name for file in resources.files("spellcast.catalog").iterdir() if file.name.endswith(".json"))


@pytest.mark.parametrize("name", FILES)
def test_a_definition_is_consistent(name: str) -> None:
    document: dict[str, Any] = json.loads((resources.files("spellcast.catalog") / name).read_text("utf-8"))
    tool = parse_tool(document)
    assert name == f"{tool.tool_id}.json"
    assert ToolBody.model_validate(document).document() == document
    assert find_tool_faults(document, DELIVERY_MODES) == []
    assert document["description"].endswith(".")
    for key, field in document["inputSchema"].items():
        assert field["name"] == key
        assert "required" in field
        assert "default" not in field or not field["required"]
        condition = field.get("visibleIf")
        assert condition is None or set(condition["values"]) <= set(document["inputSchema"][condition["field"]]["enum"])
    assert tool.primary_input in tool.inputs
    assert tool.costing is not None
    assert isinstance(document["costingModel"].get("rate", "0"), str), "money is written as a text"


def test_the_originals_ids_are_kept() -> None:
    tools = built_in_tools()
    assert tools["string-primitive"].display_name == "String"
    assert list(tools["string-primitive"].inputs) == [
        "operation",
        "inputText",
        "appendText",
        "searchText",
        "replacementText",
    ]
    assert tools["expression"].display_name == "Expression"
    assert (tools["chatgpt-free"].display_name, tools["chatgpt-free"].version) == ("ChatGPT", "2.0.0")
    assert list(tools["chatgpt-free"].inputs) == ["prompt", "instructions", "temperature"]
    assert tools["chatgpt-free"].inputs["temperature"].default == 0.7
    assert list(tools["dall-e-3-image"].inputs) == ["prompt", "model", "quality", "size", "responseFormat"]
    assert tools["string-primitive"].is_free
    assert tools["expression"].is_free


def test_rates() -> None:
    rates = {tool_id: tool.costing for tool_id, tool in built_in_tools().items()}
    assert rates["comfyui-text-to-image"] is not None
    assert rates["comfyui-text-to-image"].amount == Decimal("0.000337")
    assert rates["comfyui-text-to-image"].unit == "second"
    assert rates["replicate-flux-schnell"] is not None
    assert rates["replicate-flux-schnell"].amount == Decimal("0.003")
    assert rates["chatgpt-free"] is not None
    assert (rates["chatgpt-free"].amount, rates["chatgpt-free"].unit) == (Decimal("0.000002"), "token")


def test_models_that_are_data_have_prices() -> None:
    """A tool whose default model had none would be quoted and billed at nothing."""
    for tool in built_in_tools().values():
        if tool.service == "openai":
            assert tool.costing is not None
            assert {tool.metadata["model"], "default"} & tool.costing.token_prices.keys()
            assert expected_cost(tool, {}).cost_usd > 0
            model = tool.inputs.get("model")
            assert model is None or model.default == tool.metadata["model"]


def test_the_workflow_has_a_place_for_every_input() -> None:
    tool = built_in_tools()["comfyui-text-to-image"]
    places = tool.metadata["workflowInputs"]
    assert set(places) == set(tool.inputs)
    for node_id, field in places.values():
        assert field in tool.metadata["workflow"][node_id]["inputs"]
