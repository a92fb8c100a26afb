"""CodeDeploy's hook before it lets anybody reach a new version: a smoke spell is cast by it."""

from __future__ import annotations

from typing import Any

from spellcast import bootstrap
from spellcast.application.check_deployment import PREFIX
from spellcast.observability import begin, observed


@observed
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, bool]:
    """`{DeploymentId, LifecycleEventHookExecutionId}`; CodeDeploy waits for what is reported, not for the answer."""
    deployment_id, hook_id = event["DeploymentId"], event["LifecycleEventHookExecutionId"]
    begin(castId=f"{PREFIX}{deployment_id.lower()}", deploymentId=deployment_id)
    deployments = bootstrap.parts().deployments
    passed = bootstrap.check_deployment()(
        deployment_id, lambda passed: deployments.report(deployment_id, hook_id, passed=passed)
    )
    return {"passed": passed}
