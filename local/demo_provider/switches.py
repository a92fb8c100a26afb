"""Faults on demand, for tests: by a mark in a text, `[fault:fail]` or `[seconds:0.1]`, or by /control."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

FAULTS = {
    "refuse": "the submit is answered with a 4xx, and nothing runs",
    "throttle": "the submit is answered with a 429, and nothing runs",
    "broken": "the submit is answered with a 502 page, but the job runs",
    "garbage": "the submit is answered with half a document, but the job runs",
    "hang": "the submit is answered after two minutes, but the job runs",
    "fail": "the job fails",
    "stall": "the job never ends",
    "hiccup": "the first poll for it is answered with a 500",
    "lose": "the job is forgotten as soon as it is accepted",
    "drop": "its webhooks are not sent",
    "duplicate": "its webhooks are sent twice",
    "forge": "its webhooks are signed with another secret",
}
HANG_SECONDS = 120.0

_MARK = re.compile(r"\[(fault|seconds):([a-z]+|[\d.]+)\]")


class Switches:
    """What one service does wrong, for how many jobs, and how often it was asked for what."""

    def __init__(self, job_seconds: float) -> None:
        self.counts: Counter[str] = Counter()
        self._job_seconds = job_seconds
        self.reset()

    def reset(self) -> None:
        """No faults, nothing counted."""
        self.counts.clear()
        self._fault, self._times, self._seconds = "", 0, self._job_seconds

    def set(self, fault: str = "", times: int = 1_000_000, seconds: float | None = None) -> None:
        """The next `times` jobs have this fault; all take `seconds`. Raises ValueError for an unknown one."""
        if fault and fault not in FAULTS:
            raise ValueError(f"unknown fault {fault}; there are {', '.join(FAULTS)}")
        self._fault, self._times = fault, times
        self._seconds = self._job_seconds if seconds is None else seconds

    def for_job(self, inputs: Any) -> tuple[str, float]:
        """The fault, or "", and the seconds that this job takes."""
        fault, seconds = "", self._seconds
        if self._fault and self._times > 0:
            fault, self._times = self._fault, self._times - 1
        for name, value in _MARK.findall(str(inputs)):
            if name == "fault" and value in FAULTS:
                fault = value
            elif name == "seconds":
                seconds = float(value)
        return fault, seconds
