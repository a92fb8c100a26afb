"""The bodies of the internal routes. Keys are the original's; those that have no meaning here are faults."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints

from spellcast.api.bodies import Body, Name

# An account, a session or an event of the Node service's.
Id = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class EventBody(Body):
    """What a user did, as the caller wants it kept."""

    master_account_id: Id
    event_type: Id
    event_data: dict[str, Any]
    source_platform: Id
    session_id: Id | None = None
    timestamp: Annotated[str, StringConstraints(max_length=64)] | None = None


class UserBody(Body):
    """Who runs a tool; the platform's keys beside the account are kept with the run."""

    model_config = ConfigDict(extra="allow")

    master_account_id: Id


class ExecuteBody(Body):
    """A run of one tool."""

    tool_id: Name
    inputs: dict[Name, Any]
    user: UserBody
    session_id: Id | None = None
    event_id: Id | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)

    def context(self) -> dict[str, Any]:
        """What is kept with the run."""
        said = self.document()
        ids = {key: said[key] for key in ("sessionId", "eventId") if said.get(key)}
        return {**said["user"], **self.metadata, **ids}


class CastUpdateBody(Body):
    """What a caller says of a cast."""

    status: Name | None = None
    failure_reason: Annotated[str, StringConstraints(max_length=1_000)] | None = None
    failed_at: str | None = None
    generation_id: Name | None = None
    cost_delta_usd: float | str | None = None
    master_account_id: Id | None = None


# What a PUT of a generation may hold: the outcome, and what the record knows better by itself.
OUTCOME_KEYS = frozenset(
    {"status", "responsePayload", "costUsd", "statusReason", "deliveryError", "durationMs", "metadata"}
    | {"responseTimestamp", "masterAccountId"}
)
