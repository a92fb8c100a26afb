"""The built-in tools: one JSON definition a file, read when it is first asked for."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources

from spellcast.domain.tools import Tool, parse_tool


@cache
def built_in_tools() -> dict[str, Tool]:
    """The catalog by tool id, in the order of the file names."""
    files = sorted(resources.files(__name__).iterdir(), key=lambda file: file.name)
    tools = [parse_tool(json.loads(file.read_text("utf-8"))) for file in files if file.name.endswith(".json")]
    return {tool.tool_id: tool for tool in tools}
