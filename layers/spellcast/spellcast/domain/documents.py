"""JSON documents: what callers and providers send, kept as they are. Fractions are floats, and never money."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

# An escaped half of a surrogate pair; without its other half it is no text that can be stored.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

# A DynamoDB item may have 400 KB; what is larger than this lies in S3 with a pointer in the row (contract §2).
MAX_ROW_BYTES = 200_000
# Documents of a row that were not read: their names, and where each of them lies.
Unread = Mapping[str, str]
NOTHING_UNREAD: Unread = MappingProxyType({})

# The opaque part of a record: keys are camelCase, values whatever JSON can hold.
Document = dict[str, Any]


def to_text(document: object) -> str:
    """Compact JSON. Raises ValueError for NaN and the infinities, which are not JSON."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def size(document: object) -> int:
    """The bytes of its JSON."""
    return len(to_text(document).encode())


def size_in_text(document: object) -> int:
    """The bytes of its JSON where that stands as a text within JSON, in which quotes and backslashes count twice."""
    text = to_text(document)
    return len(text.encode()) + text.count('"') + text.count("\\") + len('""')


def canonical(document: object) -> str:
    """JSON with sorted keys, so that equal documents have equal texts."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)


def from_text(text: str | bytes) -> Any:
    """Strict JSON in UTF-8. Raises ValueError for everything else, and for what could not be written again:
    NaN, numbers beyond a float's range, texts that are no Unicode.
    """
    content = text if isinstance(text, str) else text.decode()
    document = json.loads(content, parse_constant=_refuse_constant, parse_float=_finite)
    if not content.isascii() or _SURROGATE.search(content):
        to_text(document).encode()
    return document


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is beyond the range of a number")
    return number


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def is_blank(value: object) -> bool:
    """Absent for the purposes of a parameter: null, or a text without a visible character."""
    return value is None or (isinstance(value, str) and not value.strip())


def is_among(value: object, options: Iterable[object]) -> bool:
    """Whether the value is one of the options as JSON has them: `true` is not 1, though Python says so."""
    return any(value == option and isinstance(value, bool) == isinstance(option, bool) for option in options)


def is_deeper_than(document: object, levels: int) -> bool:
    """Whether objects and lists stand in each other on more than so many levels."""
    layer = [document]
    for _ in range(levels):
        layer = [
            child
            for item in layer
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    return any(isinstance(item, dict | list) for item in layer)
