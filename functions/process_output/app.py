"""Finishes a segment's last step."""

from __future__ import annotations

from typing import Any

from spellcast import bootstrap
from spellcast.domain.segments import Segment
from spellcast.observability import begin, logger, observed
from spellcast.starting import before_calls


@observed
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """`{castId, segments}`, answered with the segments that are left. Raises where the step failed."""
    cast_id = event["castId"]
    begin(castId=cast_id)
    remaining = bootstrap.process_output()(cast_id, [Segment(*segment) for segment in event["segments"]])
    logger().info("Processed the output", remaining=len(remaining))
    return {"castId": cast_id, "segments": [list(segment) for segment in remaining]}


before_calls(bootstrap.process_output)
