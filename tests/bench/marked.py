"""What commands write into pages: whatever stands between `<!-- name -->` and `<!-- end -->`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def filled(page: str, contents: Mapping[str, str]) -> str:
    """The page with these contents at the places of their names. Raises KeyError where there is no such place."""
    for name, content in contents.items():
        pattern = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
        page, count = pattern.subn(lambda place: f"{place[1]}{content}\n{place[2]}", page)  # noqa: B023
        if count != 1:
            raise KeyError(name)
    return page


def table(rows: Sequence[Sequence[str]], numbers: bool = False) -> str:
    """A Markdown table of these rows, the header first; with `numbers` all columns but the first stand right."""
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    columns = len(rows[0])
    line = "|---" + "|---:" * (columns - 1) + "|" if numbers else "|---" * columns + "|"
    return "\n".join([head, line, *body])
