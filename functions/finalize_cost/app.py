"""Closes a cast: called by its machine, and by the rule on machines that ended by themselves."""

from __future__ import annotations

from typing import Any

from spellcast import bootstrap
from spellcast.application.finalize_cost import interruption_of
from spellcast.domain import documents
from spellcast.domain.results import Failure
from spellcast.observability import begin, logger, observed


@observed
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """`{castId, execution, error?}`, or a `Step Functions Execution Status Change`."""
    if "detail-type" in event:
        detail = event["detail"]
        cast_id, execution = documents.from_text(detail["input"])["castId"], detail["name"]
        interruption: Failure | None = interruption_of(
            detail.get("error") or detail["status"], detail.get("cause") or ""
        )
    else:
        cast_id, execution = event["castId"], event["execution"]
        interruption = interruption_of(**event["error"]) if "error" in event else None
    begin(castId=cast_id)
    cast = bootstrap.finalize_cost()(cast_id, interruption, execution)
    logger().info("Closed the cast", status=cast.status, costUsd=str(cast.cost_usd))
    return {"castId": cast_id, "status": cast.status}
