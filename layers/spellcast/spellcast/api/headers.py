"""The headers of a request: their names have no case."""

from __future__ import annotations

from typing import Any


def by_lower_name(event: dict[str, Any]) -> dict[str, str]:
    """API Gateway sends the names in lower case, SAM's local runner in title case."""
    return {name.lower(): value for name, value in (event.get("headers") or {}).items()}
