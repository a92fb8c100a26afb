"""Takes a job's result: a provider's callback over HTTP, or a `Job Completed` event on the bus."""

from __future__ import annotations

import base64
from typing import Any

from spellcast import bootstrap
from spellcast.api.completions import answer_callback
from spellcast.api.headers import by_lower_name
from spellcast.domain.completions import parse_completion
from spellcast.observability import begin, logger, observed
from spellcast.starting import before_calls


@observed
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any] | None:
    """An HTTP request is answered; an event that cannot be applied raises, and ends in the dead-letter queue."""
    if "detail-type" in event:
        apply_event(event["detail"])
        return None
    begin()
    body = event.get("body") or ""
    content = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode(errors="replace")
    token = event["pathParameters"]["token"]
    return answer_callback(bootstrap.receive_callback(), token, by_lower_name(event), content)


def apply_event(detail: dict[str, Any]) -> None:
    """`{generationId, status, type?, data?, costUsd?, usage?, error?}`."""
    generation_id, result = parse_completion(detail)
    begin(castId=generation_id.partition(".")[0], generationId=generation_id)
    bootstrap.complete_job()(generation_id, result)
    logger().info("Applied a completion from the bus", status=result.status)


before_calls(
    bootstrap.receive_callback,
    lambda: bootstrap.parts().secrets_provider,
    lambda: bootstrap.parts().step_functions,
)
