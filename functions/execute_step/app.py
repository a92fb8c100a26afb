"""Runs a segment of a cast; the state machine waits for its task token."""

from __future__ import annotations

from typing import Any

from spellcast import bootstrap
from spellcast.domain.segments import Segment
from spellcast.observability import begin, logger, observed
from spellcast.starting import before_calls


@observed
def lambda_handler(event: dict[str, Any], context: Any) -> None:
    """`{castId, execution, segment, taskToken}`."""
    begin(castId=event["castId"])
    segment = Segment(*event["segment"])
    logger().info("Executing the step", segment=list(segment))
    bootstrap.execute_step()(event["castId"], segment, event["taskToken"], event["execution"])


before_calls(bootstrap.execute_step, lambda: bootstrap.parts().step_functions)
