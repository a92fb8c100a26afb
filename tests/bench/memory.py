"""Memory and processor of the embedded cloud: launcher and workers, pages that are shared counted once."""

from __future__ import annotations

import os
from pathlib import Path


def megabytes(*processes: int) -> float:
    """Of the processes and all that they started: proportional set sizes from /proc, summed."""
    return sum(kilobytes(process) for process in family(set(processes))) / 1024


def family(processes: set[int]) -> set[int]:
    """The processes and all that they started."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found, waiting = set(processes), list(processes)
    while waiting:
        for child in children.get(waiting.pop(), []):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def kilobytes(process: int) -> int:
    """One process's proportional set size; nothing where it has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def processor_seconds(process: int) -> float:
    """What one process has taken of the processor, with those of its children that have ended."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return 0
    return sum(map(int, stat.rpartition(")")[2].split()[11:15])) / os.sysconf("SC_CLK_TCK")
