"""What steps can use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from spellcast_client.cli.session import Session, command

if TYPE_CHECKING:
    from spellcast_client.models import Tool


def add_to(cli: click.Group) -> None:
    """`spellcast tools`."""

    @cli.group()
    def tools() -> None:
        """The tools that steps can use."""

    @command(tools, name="list")
    @click.option("--service", metavar="NAME", help="Only the tools of this service.")
    def list_tools(session: Session, service: str | None) -> None:
        """All tools: the built-in ones, and your own."""
        with session.client() as client:
            found = [tool for tool in client.list_tools().tools if service in (None, tool.service)]
        session.answer({"tools": [tool.document() for tool in found]}, lambda: _table(found))

    @command(tools)
    @click.argument("tool")
    def show(session: Session, tool: str) -> None:
        """One tool: its inputs, its outputs, and what it costs."""
        with session.client() as client:
            found = client.get_tool(tool)
        session.answer(found.document(), lambda: _shown(found))


def _table(tools: list[Tool]) -> Any:
    from spellcast_client.cli.tables import table

    rows = table("tool", "name", "service", "delivery", "description")
    for tool in sorted(tools, key=lambda tool: (tool.service, tool.tool_id)):
        known = tool.document()
        rows.add_row(
            tool.tool_id,
            tool.display_name,
            tool.service,
            known.get("deliveryMode", ""),
            first_line(known.get("description")),
        )
    return rows


def _shown(tool: Tool) -> Any:
    from rich.console import Group

    from spellcast_client.cli.tables import facts, table

    known = tool.document()
    inputs = table("input", "type", "required", "default", "description")
    for name, field in (known.get("inputSchema") or {}).items():
        default = field.get("default")
        inputs.add_row(
            name,
            " | ".join(map(str, field.get("enum") or ())) or field.get("type", ""),
            "yes" if field.get("required", True) else "",
            "" if default is None else str(default),
            first_line(field.get("description")),
        )
    outputs = ", ".join(f"{name} ({said.get('type', '')})" for name, said in (known.get("outputSchema") or {}).items())
    said = facts(
        name=tool.display_name,
        tool=tool.tool_id,
        service=tool.service,
        delivery=known.get("deliveryMode"),
        about=known.get("description"),
        outputs=outputs,
        costs=_cost(known.get("costingModel") or {}),
    )
    return Group(said, "", inputs)


def _cost(model: dict[str, Any]) -> str:
    fixed = model.get("staticCost") or model.get("fixedCost")
    if fixed:
        return f"${fixed['amount']} a {fixed.get('unit', 'run')}"
    return f"${model['rate']} a {model.get('unit', 'run')}" if "rate" in model else ""


def first_line(text: str | None) -> str:
    """As much of a description as a table has room for."""
    return (text or "").strip().partition("\n")[0]
