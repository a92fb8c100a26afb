"""Writes what the last run of a form found into docs/reliability.md: `make chaos`, `make chaos FORM=short`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / ".local" / "chaos"
PAGE = ROOT / "docs" / "reliability.md"
_TABLE = re.compile(r"(?<=<!-- results -->\n).*?(?=<!-- /results -->)", re.DOTALL)


def table(results: list[dict[str, object]]) -> str:
    """One row a promise and fault, in the promises' order."""
    rows = [
        f"| {row['promise']} | {row['fault']} | {row['size']} | `{_name(str(found['test']))}` | {found['verdict']} |"
        for found in results
        for row in found["rows"]  # type: ignore[attr-defined]
    ]
    head = "| Promise | Fault | Size | Test | Last run |\n|---|---|---|---|---|\n"
    return head + "".join(f"{row}\n" for row in sorted(rows, key=_order))


def _name(test: str) -> str:
    file, _, name = test.partition("::")
    return f"{Path(file).name}::{name}"


def _order(row: str) -> tuple[int, str]:
    first = re.search(r"I(\d+)", row)
    return (int(first.group(1)) if first else 0, row)


def main(form: str) -> None:
    results = [json.loads(file.read_text()) for file in (RESULTS / form).glob("*.json")]
    heading = f"The {form} form, seed {results[0]['seed']}:\n\n"
    PAGE.write_text(_TABLE.sub(lambda _: heading + table(results), PAGE.read_text()))


if __name__ == "__main__":
    main(*sys.argv[1:])
