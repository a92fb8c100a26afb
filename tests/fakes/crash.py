"""The end of a process, as its callers see it."""

from __future__ import annotations


class Crash(BaseException):
    """The process is gone: no `except Exception` sees it."""
