"""Typed dictionaries and annotations, in words."""

from __future__ import annotations

from typing import Any, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

from scripts.reference_pages.texts import cell

_NAMES = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "null", Any: "any"}


def record(kind: type) -> str:
    """A table of a TypedDict's keys; each says in its annotation what it is."""
    lines = ["| key | type | is |\n|---|---|---|\n"]
    for key, hint in get_type_hints(kind, include_extras=True).items():
        mark = "?" if get_origin(hint) is NotRequired else ""
        value, about = annotated(hint)
        lines.append(f"| `{key}`{mark} | {_in_words(value)} | {cell(about)} |\n")
    return "".join(lines)


def annotated(hint: Any) -> tuple[Any, str]:
    """A type, and what its annotation says. Raises ValueError where it says nothing."""
    while not hasattr(hint, "__metadata__"):
        (hint,) = get_args(hint)
    return hint.__origin__, str(hint.__metadata__[0])


def _in_words(kind: Any) -> str:
    if is_typeddict(kind):
        return "object"
    if get_origin(kind) is list:
        return f"list of {_in_words(get_args(kind)[0])}"
    if kind in _NAMES:
        return _NAMES[kind]
    return " or ".join(_NAMES.get(each, f"`{each}`") for each in get_args(kind))
