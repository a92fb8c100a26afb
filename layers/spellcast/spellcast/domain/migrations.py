"""A step that was composed for an older version of its tool: what its inputs were called then.

Migrations are those of original-system.md §2.8. A spell's version never changes, so a step is migrated whenever it is
read, and never in the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spellcast.domain.documents import Document, is_among
from spellcast.domain.tools import Tool


def renamed(given: Document, step_version: str, tool: Tool, beside: Document | None = None) -> Document:
    """What a step gives, under the names that its tool has for it now; a name that is given already is kept.

    `beside` is what else the step gives: a new name may hang on it.
    """
    migrated = dict(given)
    for parameters in _migrations(step_version, tool):
        for old, rule in parameters.items():
            if old not in migrated:
                continue
            new = rule if isinstance(rule, str) else _new_name(rule, {**(beside or {}), **migrated})
            value = migrated.pop(old)
            if new:
                migrated.setdefault(new, value)
    return migrated


def names_now(parameter: str, step_version: str, tool: Tool) -> set[str]:
    """Every name under which the parameter of such a step may reach the tool."""
    names = {parameter}
    for parameters in _migrations(step_version, tool):
        for old, rule in parameters.items():
            if old in names:
                when = {} if isinstance(rule, str) else rule.get("when") or {}
                possible = (rule,) if isinstance(rule, str) else (rule.get("default"), when.get("use"))
                names = names - {old} | {name for name in possible if name}
    return names


def _new_name(rule: Document, given: Document) -> str | None:
    when = rule.get("when") or {}
    if when and is_among(given.get(when["field"]), [when["value"]]):
        return str(when["use"])
    return rule.get("default")


def _migrations(step_version: str, tool: Tool) -> Iterator[dict[str, Any]]:
    """The renames between the step's version and the tool's, oldest first.

    A key is the version that a migration leads from, or the one that it leads to: the original keyed its own by the
    first and compared by the second, so that they never fired (weak point 31).
    """
    oldest, newest = _parts(step_version), _parts(tool.version)
    if oldest < newest:
        known = tool.document.get("migrations") or {}
        for version in sorted(known, key=_parts):
            if oldest <= _parts(version) <= newest:
                yield known[version].get("parameters") or {}


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
