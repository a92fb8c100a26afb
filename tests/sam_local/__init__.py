"""The functions in containers, by SAM's local runner, against an embedded cloud: docs/sam-local.md."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".local" / "sam"


class Missing(RuntimeError):
    """It cannot be done on this machine; the message says what is missing and what to do."""
