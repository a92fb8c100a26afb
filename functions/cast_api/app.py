"""The HTTP API: everything but the providers' callbacks."""

from __future__ import annotations

import re
from typing import Any

from spellcast import bootstrap
from spellcast.observability import begin, observed
from spellcast.starting import before_calls

_CAST = re.compile(r"/(?:casts|generations)/([0-9a-f]{32})(?![0-9a-f])")


@observed
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answers one request (payload format 2.0)."""
    about = _CAST.search(event["rawPath"])
    begin(**({"castId": about[1]} if about else {}))
    return bootstrap.cast_api()(event, context)


before_calls(bootstrap.cast_api)
