"""Writes what the last long run found into docs/reliability.md: `make chaos`."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / ".local" / "chaos" / "long"
PAGE = ROOT / "docs" / "reliability.md"
_TABLE = re.compile(r"(?<=<!-- results -->\n).*?(?=<!-- /results -->)", re.DOTALL)


def table(results: list[dict[str, object]]) -> str:
    """One row a promise and fault, in the promises' order."""
    rows = [
        f"| {row['promise']} | {row['fault']} | {row['size']} | `{_name(str(found['test']))}` "
        f"| {found['verdict']}, seed {found['seed']} |"
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


def main() -> None:
    results = [json.loads(file.read_text()) for file in RESULTS.glob("*.json")]
    PAGE.write_text(_TABLE.sub(lambda _: table(results), PAGE.read_text()))


if __name__ == "__main__":
    main()
