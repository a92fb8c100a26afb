"""The HTTP API: everything but the providers' callbacks."""

from __future__ import annotations

from typing import Any

from spellcast import bootstrap
from spellcast.observability import begin, observed


@observed
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answers one request (payload format 2.0)."""
    begin()
    return bootstrap.cast_api()(event, context)
