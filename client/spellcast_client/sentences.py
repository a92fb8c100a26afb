"""What is wrong with a document's shape, or with its YAML or JSON, in the words of who wrote it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_MAPPING = "is to be {type: static, value: …} or {type: nodeOutput, nodeId: …, outputKey: …}"
_SHAPES = {
    "extra_forbidden": "is not known here",
    "missing": "is missing",
    "dict_type": "is to be an object, with a key and a value for each part",
    "model_type": "is to be an object, with a key and a value for each part",
    "model_attributes_type": "is to be an object, with a key and a value for each part",
    "list_type": "is to be a list",
    "string_type": "is to be a text",
    "string_unicode": "has bytes that are no text in UTF-8",
    "int_type": "is to be a whole number",
    "bool_type": "is to be true or false",
    "string_too_short": "is empty",
    "string_too_long": "has more than {max_length} characters",
    "too_short": "is to have at least {min_length} of them",
    "too_long": "has more than {max_length} of them",
    "literal_error": "is to be {expected}",
    "greater_than_equal": "is to be at least {ge}",
    "less_than_equal": "is to be at most {le}",
}
_YAML = (
    (r"character '\\t' that cannot start", "a tab stands here, and only spaces indent: use spaces"),
    (r"character (?P<it>'.') that cannot start", "a text that begins with {it} is to be put into quotes"),
    (r"expected <block end>", "this does not fit what is above it: look at the indentation, and at quotes"),
    (
        r"mapping values are not allowed",
        "no key may stand here: look at the indentation; a text with `: ` needs quotes",
    ),
    (r"could not find expected ':'", "there is no `: ` after this key"),
    (r"expected ',' or '(?P<it>.)'", "there is no comma, or a `{it}` is missing before this"),
    (r"unexpected end of stream", "a quote that is never closed"),
    (r"expected the node content", "a value is missing before this"),
)

_JSON = (
    (r"Expecting ',' delimiter", "a comma, or a closing bracket, is missing before this"),
    (r"Expecting ':' delimiter", "there is no `:` after the key before this"),
    (r"Expecting property name", "a key in double quotes is expected here; after the last value there is no comma"),
    (r"trailing comma", "no comma may stand before a closing bracket"),
    (r"Expecting value", "a value is expected here"),
    (r"Extra data", "the document has ended before this"),
    (r"Unterminated string", "a quote that is never closed"),
    (r"Invalid control character", r"a line break is written \n in a text, and a tab \t"),
    (r"Invalid \\", r"there is no such escape; a backslash is written \\"),
)


def of_shape(location: Sequence[str | int], kind: str, message: str, context: Mapping[str, Any]) -> str:
    """What Pydantic found; what it finds of a wire or a value of a step says how one is written."""
    if kind.startswith("union_tag") or (kind == "model_attributes_type" and "parameterMappings" in location):
        return _MAPPING
    known = _SHAPES.get(kind)
    return known.format_map(context) if known else message.removeprefix("Value error, ")


def of_yaml(problem: str) -> str:
    """What PyYAML found."""
    return _told(_YAML, problem)


def of_json(problem: str) -> str:
    """What Python's decoder found."""
    return _told(_JSON, problem)


def _told(known: Sequence[tuple[str, str]], problem: str) -> str:
    for pattern, sentence in known:
        if found := re.search(pattern, problem):
            return sentence.format_map(found.groupdict())
    return problem
