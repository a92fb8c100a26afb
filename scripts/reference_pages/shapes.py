"""Schemas of the OpenAPI document, in words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from scripts.reference_pages.texts import cell, code, one_line
from spellcast.domain import money, times

Schema = dict[str, Any]
# Where a shape is described.
Place = Callable[[str], str]
_PATTERNS = {f"^{money.TEXT_PATTERN}$": "decimal text", times.PATTERN: "day or time"}


def reachable(name: str, shapes: Schema) -> list[str]:
    """The shape and all that it is made of, in the order in which they are named."""
    found = [name]
    for each in found:
        named = re.findall(r"#/components/schemas/(\w+)", json.dumps(shapes[each]["properties"]))
        found += [other for other in dict.fromkeys(named) if other not in found]
    return found


def shape(name: str, schema: Schema, place: Place) -> str:
    """A heading, what it is, a table of its keys, an example."""
    required = schema.get("required", ())
    fields = schema["properties"]
    has_defaults = any(shown_default(field) for field in fields.values())
    columns = ("key", "type", "default", "is") if has_defaults else ("key", "type", "is")
    lines = [f"\n### {name}\n\n{one_line(schema['description'])}\n\n", _row(columns), "|---" * len(columns) + "|\n"]
    for key, field in fields.items():
        kind = in_words(field, place)
        if key in required and {"type": "null"} in field.get("anyOf", ()):
            kind += " or null"
        default = (shown_default(field),) if has_defaults else ()
        lines.append(_row((f"`{key}`{'' if key in required else '?'}", kind, *default, cell(field["description"]))))
    if schema.get("additionalProperties"):
        lines.append("\nOther keys are kept as they are.\n")
    for example in schema.get("examples", ()):
        # The document has its keys in the order of the alphabet.
        ordered = {key: example[key] for key in fields if key in example}
        lines.append(f"\n```json\n{json.dumps(ordered, indent=2, ensure_ascii=False)}\n```\n")
    return "".join(lines)


def in_words(schema: Schema, place: Place) -> str:
    """The type with its bounds."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}]({place(name)})"
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        if {"number", "string"} <= {each.get("type") for each in choices}:
            return "decimal text or number"
        return " or ".join(dict.fromkeys(in_words(each, place) for each in choices if each.get("type") != "null"))
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum") or [schema["const"]])
    return _plain(schema, place)


def shown_default(schema: Schema) -> str:
    """Empty where there is none that says anything."""
    value = schema.get("default")
    return "" if value is None or value == "" else code(json.dumps(value))


def _plain(schema: Schema, place: Place) -> str:
    match schema.get("type"):
        case "string" if "pattern" in schema and "maxLength" not in schema:
            return _PATTERNS.get(schema["pattern"]) or f"text like {code(schema['pattern'])}"
        case "string":
            return "text" + _bounds(schema, "minLength", "maxLength", " characters")
        case "integer":
            return "whole number" + _bounds(schema, "minimum", "maximum")
        case "number":
            above = f" above {schema['exclusiveMinimum']:g}" if "exclusiveMinimum" in schema else ""
            return f"number{above}" + _bounds(schema, "minimum", "maximum")
        case "boolean":
            return "true or false"
        case "array":
            return f"list of {in_words(schema['items'], place)}" + _bounds(schema, "minItems", "maxItems")
        case "object":
            values = schema.get("additionalProperties", True)
            of = f" of {in_words(values, place)}" if isinstance(values, dict) and values else ""
            return f"object{of}" + _bounds(schema, "", "maxProperties", " keys")
    return "any"


def _bounds(schema: Schema, least: str, most: str, of: str = "") -> str:
    low, high = schema.get(least), schema.get(most)
    if high is None:
        return "" if low is None else f", at least {low:,.0f}{of}"
    return f", at most {high:,.0f}{of}" if low is None else f", {low:,.0f} to {high:,.0f}{of}"


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |\n"
