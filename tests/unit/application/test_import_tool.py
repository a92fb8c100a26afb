from __future__ import annotations

import pytest

from spellcast.application.create_tool import CreateTool
from spellcast.application.import_tool import ImportTool
from spellcast.domain.errors import InvalidInput, ToolExists
from tests.fakes.world import ACCOUNT, World

WORKFLOW = {
    "1": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox"}},
    "2": {"class_type": "SaveImage", "inputs": {}},
}
ORDER = {"kind": "comfyui", "workflow": WORKFLOW, "toolId": "own"}


def importing(world: World, *services: str) -> ImportTool:
    return ImportTool(CreateTool(world.store, dict.fromkeys(services, ("async", "webhook"))))


def test_an_imported_tool_is_the_accounts_own() -> None:
    world = World()
    tool = importing(world, "comfyui")(ACCOUNT, ORDER)
    assert world.store.get_tool(ACCOUNT, "own") == tool
    assert world.store.get_tool("bob", "own") is None
    assert list(tool.inputs) == ["input_prompt"]


def test_a_tool_is_not_replaced_by_an_import() -> None:
    world = World()
    importing(world, "comfyui")(ACCOUNT, ORDER)
    with pytest.raises(ToolExists):
        importing(world, "comfyui")(ACCOUNT, {**ORDER, "displayName": "Another"})
    with pytest.raises(ToolExists):
        importing(world, "comfyui")(ACCOUNT, {**ORDER, "toolId": "free"})


def test_what_has_no_adapter_here_is_not_imported() -> None:
    world = World()
    with pytest.raises(InvalidInput) as caught:
        importing(world, "replicate")(ACCOUNT, ORDER)
    assert [fault.path for fault in caught.value.faults] == ["service"]
    assert world.store.get_tool(ACCOUNT, "own") is None
