"""Spellcast: casts of spells, as a serverless bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spellcast.workflow_execution import WorkflowExecutionService

__version__ = "0.1.0"
__all__ = ["WorkflowExecutionService", "__version__"]


def __getattr__(name: str) -> Any:
    # Loaded by those who ask for it: a function's start should not pay for what it does not use.
    if name == "WorkflowExecutionService":
        from spellcast.workflow_execution import WorkflowExecutionService

        return WorkflowExecutionService
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
