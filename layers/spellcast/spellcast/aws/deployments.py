"""CodeDeploy, which waits for what a hook reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class CodeDeployDeployments:
    """The deployments that this stack's functions go through."""

    client: Any  # botocore's, of CodeDeploy

    def report(self, deployment_id: str, hook_id: str, *, passed: bool) -> None:
        """Lets the deployment go on, or makes it fail; a repeat is harmless."""
        try:
            self.client.put_lifecycle_event_hook_execution_status(
                deploymentId=deployment_id,
                lifecycleEventHookExecutionId=hook_id,
                status="Succeeded" if passed else "Failed",
            )
        except self.client.exceptions.LifecycleEventAlreadyCompletedException:
            pass
