"""The mutation score of the domain, module by module: reads `mutmut results --all true`, fails below the bound."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict

# Percent of the mutants that a test must notice.
REQUIRED = 85
UNNOTICED = frozenset({"survived", "no tests"})
UNDECIDED = frozenset({"not checked", "check was interrupted by user", "skipped"})


def main() -> int:
    """0 where the total reaches the bound."""
    noticed: dict[str, Counter[bool]] = defaultdict(Counter)
    alive: list[str] = []
    for line in sys.stdin:
        mutant, _, status = line.strip().rpartition(": ")
        if not mutant or status in UNDECIDED:
            continue
        noticed[mutant.split(".")[2]][status not in UNNOTICED] += 1
        if status in UNNOTICED:
            alive.append(mutant)
    for mutant in alive:
        sys.stdout.write(f"alive: {mutant}\n")
    for module, counts in sorted(noticed.items()):
        sys.stdout.write(_row(module, counts))
    total = sum(noticed.values(), Counter[bool]())
    sys.stdout.write(_row("total", total))
    return 0 if total and _percent(total) >= REQUIRED else 1


def _row(name: str, counts: Counter[bool]) -> str:
    return f"{name:20} {counts[True]:5} of {counts.total():5}  {_percent(counts):6.1f} %\n"


def _percent(counts: Counter[bool]) -> float:
    return 100 * counts[True] / counts.total()


if __name__ == "__main__":
    sys.exit(main())
