"""Closes a cast: called by its machine, and by the rule on machines that ended by themselves."""

from __future__ import annotations

from typing import Any

from spellcast import bootstrap
from spellcast.application.finalize_cost import interruption_of
from spellcast.domain import documents
from spellcast.domain.results import Failure
from spellcast.observability import begin, logger, observed
from spellcast.starting import before_calls


@observed
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """`{castId, execution, error?}`; a `Step Functions Execution Status Change`; `Cast Updated` of a cancelled cast."""
    interruption: Failure | None = None
    if event.get("source") == "aws.states":
        detail = event["detail"]
        cast_id, execution = documents.from_text(detail["input"])["castId"], detail["name"]
        interruption = interruption_of(detail.get("error") or detail["status"], detail.get("cause") or "")
    else:
        detail = event.get("detail", event)
        cast_id, execution = detail["castId"], detail["execution"]
        interruption = interruption_of(**detail["error"]) if "error" in detail else None
    begin(castId=cast_id)
    cast = bootstrap.finalize_cost()(cast_id, interruption, execution)
    logger().info("Closed the cast", status=cast.status, costUsd=str(cast.cost_usd))
    return {"castId": cast_id, "status": cast.status}


before_calls(bootstrap.finalize_cost)
