"""The memory of the embedded cloud: launcher, workers and demo provider, shared pages counted once."""

from __future__ import annotations

from pathlib import Path


def megabytes(*processes: int) -> float:
    """Of the processes and all that they started: proportional set sizes from /proc, summed."""
    return sum(_proportional(process) for process in _with_children(set(processes))) / 1024


def _with_children(processes: set[int]) -> set[int]:
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


def _proportional(process: int) -> int:
    """In KB; nothing of a process that has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
