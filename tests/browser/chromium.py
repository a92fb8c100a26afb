"""Debian's Chromium: no browser is downloaded."""

from __future__ import annotations

import os
import shutil

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
ARGUMENTS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


def chromium() -> str:
    """Where it is. Raises LookupError, which says how to get it."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if found is None:
        raise LookupError("There is no chromium: apt-get install chromium, or name one in CHROMIUM.")
    return found
