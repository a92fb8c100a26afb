"""docs/reference/tools.md: the definition of a tool, and the tools that are built in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from scripts.reference_pages.shapes import Schema, reachable, shape
from scripts.reference_pages.texts import NOTE, anchor, cell, code, sentence
from spellcast.adapters.registry import BUILT_IN, DELIVERY_MODES
from spellcast.catalog import built_in_tools
from spellcast.domain.tools import InputField, Tool

_TOOLS = f"""\
# Tools

{NOTE}

What `POST /v1/tools` takes and the catalog holds: a definition says all that there is to say of a tool, and an adapter
runs it. [How to make one](../adapters.md#a-tool), [what a step costs](../costs.md), [the providers](../providers.md).

## The definition

"""


def page(document: Schema) -> str:
    """The definition field by field, the services, the built-in tools."""
    shapes = document["components"]["schemas"]
    known = built_in_tools().values()
    parts = [_TOOLS, "What has a `?` may be absent.\n"]
    parts += [shape(name, shapes[name], lambda name: f"#{anchor(name)}") for name in reachable("ToolBody", shapes)]
    parts.append("\n## Services\n\n| service | can deliver | needs a secret |\n|---|---|---|\n")
    for service, modes in DELIVERY_MODES.items():
        parts.append(f"| `{service}` | {', '.join(modes)} | {'no' if service in BUILT_IN else 'yes'} |\n")
    parts.append("\n## The built-in tools\n\n| id | name | service | delivery | a run costs |\n|---|---|---|---|---|\n")
    for tool in known:
        link, name = f"[`{tool.tool_id}`](#{anchor(tool.tool_id)})", cell(tool.display_name)
        parts.append(f"| {link} | {name} | {tool.service} | {tool.delivery_mode} | {_cost(tool)} |\n")
    for tool in known:
        parts += _built_in(tool)
    return "".join(parts)


def _built_in(tool: Tool) -> Iterator[str]:
    yield f"\n### `{tool.tool_id}`\n\n{sentence(tool.document['description'])}"
    yield f" A step of it has {tool.deadline_seconds} seconds.\n\n| input | type | default | is |\n|---|---|---|---|\n"
    for key, field in tool.inputs.items():
        about = cell(tool.document["inputSchema"][key]["description"])
        yield f"| `{key}`{'' if field.required else '?'} | {_input(field)} | {_default(field)} | {about} |\n"
    outputs = [f"`{key}` ({each['type']})" for key, each in tool.document.get("outputSchema", {}).items()]
    yield f"\nGives {', '.join(outputs)}.\n"


def _input(field: InputField) -> str:
    choices = ", ".join(f"`{value}`" for value in field.enum)
    shown = choices or field.type
    return (
        f"{shown}, while `{field.visible_if.field}` is {_listed(field.visible_if.values)}"
        if field.visible_if
        else shown
    )


def _listed(values: Sequence[Any]) -> str:
    return " or ".join(f"`{value}`" for value in values)


def _default(field: InputField) -> str:
    return "" if field.default is None else code(json.dumps(field.default, ensure_ascii=False))


def _cost(tool: Tool) -> str:
    costing = tool.costing
    if costing is None or costing.is_nothing:
        return "nothing"
    if costing.table:
        return "by model, size and quality"
    if costing.is_per_token:
        return "by the token"
    return f"${costing.amount} {'a second' if costing.is_per_second else 'a run'}"
