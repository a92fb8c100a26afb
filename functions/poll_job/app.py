"""Asks a provider for a job once; the polling machine waits between two polls."""

from __future__ import annotations

from typing import Any

from spellcast import bootstrap
from spellcast.domain.polling import Polling
from spellcast.observability import begin, logger, observed
from spellcast.starting import before_calls


@observed
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """`{generationId, polls, misses, waitSeconds}`, answered with the same and whether it is finished."""
    polling = Polling.parse(event)
    begin(castId=polling.generation_id.partition(".")[0], generationId=polling.generation_id)
    following = bootstrap.poll_job()(polling)
    logger().info("Polled the job", polls=following.polls, finished=following.finished)
    return following.to_document()


before_calls(bootstrap.poll_job)
