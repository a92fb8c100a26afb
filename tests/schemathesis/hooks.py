"""What a run of Schemathesis must know of where it runs (`hooks` of its configuration)."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import schemathesis
from schemathesis.core.failures import Failure, MalformedJson

_OWN_KEY = hashlib.sha256(os.environ["SPELLCAST_API_KEY"].encode()).hexdigest()


@schemathesis.hook  # type: ignore[untyped-decorator]
def before_call(context: Any, case: schemathesis.Case, **arguments: Any) -> None:
    """The key that asks is listed with the others; it would be ended, and nobody would ask any more."""
    if case.path_parameters.get("key_id") == _OWN_KEY:
        case.path_parameters = {**case.path_parameters, "key_id": "0" * 64}


@schemathesis.hook  # type: ignore[untyped-decorator]
def filter_failure(context: Any, failure: Failure, case: schemathesis.Case, response: Any) -> bool:
    """The embedded cloud calls an empty body JSON, where no type was given; API Gateway does not."""
    return not (response.status_code == 204 and isinstance(failure, MalformedJson))
