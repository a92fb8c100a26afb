"""The resources of contract §4 as callers see them, from the API, on the bus and over the WebSocket."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any

from spellcast.domain import money, times
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document, Unread, size
from spellcast.domain.generations import Generation
from spellcast.domain.outputs import web_outputs
from spellcast.domain.spells import Permission, Spell, SpellVersion

# Under which keys a resource shows what may lie apart from its record.
_SHOWN_UNDER = {
    "inputs": ("inputs",),
    "overrides": ("stepOverrides",),
    "outputs": ("outputs",),
    "metadata": ("metadata",),
    "requestPayload": ("requestPayload",),
    "responsePayload": ("responsePayload", "outputs"),
}
_DOCUMENTS = frozenset(
    {"inputs", "stepOverrides", "outputs", "output", "metadata", "requestPayload", "responsePayload"}
)


def spell_resource(spell: Spell, version: SpellVersion | None = None) -> Document:
    """A spell; with a version, what that version holds."""
    return _present(
        {
            "spellId": spell.spell_id,
            "slug": spell.slug,
            "publicSlug": None if spell.visibility == "private" else spell.slug,
            "name": version.name if version else spell.name,
            "version": version.version if version else spell.version,
            "visibility": spell.visibility,
            "ownedBy": spell.account_id,
            "usageCount": spell.usage_count,
            "createdAt": times.to_text(spell.created_at),
            "updatedAt": times.to_text(spell.updated_at),
            **(version.content if version else {}),
        }
    )


def permission_resource(permission: Permission) -> Document:
    """To whom a spell is granted, by whom and since when."""
    return {
        "accountId": permission.account_id,
        "grantedBy": permission.granted_by,
        "grantedAt": times.to_text(permission.granted_at),
    }


def cast_resource(cast: Cast, generations: Iterable[Generation] | None = None) -> Document:
    """A cast; with generations, the whole of it."""
    generations = None if generations is None else list(generations)
    ids = cast.step_generation_ids
    if generations and not cast.is_terminal:
        current = cast.current(generations)
        ids = tuple(current[index].generation_id for index in sorted(current) if current[index].status == "completed")
    resource = _present(
        {
            "castId": cast.cast_id,
            "spellId": cast.spell_id,
            "spellSlug": cast.spell_slug,
            "spellName": cast.spell_name,
            "version": cast.version,
            "status": cast.status,
            "revision": cast.revision,
            "inputs": cast.inputs,
            "stepOverrides": cast.overrides or None,
            "stepCount": cast.step_count,
            "stepGenerationIds": list(ids),
            "costUsd": money.to_text(cast.cost_usd),
            "pointsSpent": cast.points_spent,
            "outputs": {} if cast.outputs is None else cast.outputs,
            "startedAt": times.to_text(cast.started_at),
            "resumedAt": _time(cast.resumed_at),
            "updatedAt": times.to_text(cast.updated_at),
            "completedAt": _time(cast.completed_at),
            "failedAt": _time(cast.failed_at),
            "cancelRequestedAt": _time(cast.cancel_requested_at),
            "cancelledAt": _time(cast.cancelled_at),
            "failureReason": cast.failure.message if cast.failure else None,
            "failure": _present(
                {
                    "stepIndex": cast.failure.step_index,
                    "stepId": cast.failure.step_id,
                    "generationId": cast.failure.generation_id,
                    "code": cast.failure.code,
                    "message": cast.failure.message,
                }
            )
            if cast.failure
            else None,
            "delivery": _delivery(cast) if cast.tells_its_end else None,
            "budgetUsd": None if cast.budget_usd is None else money.to_text(cast.budget_usd),
            "metadata": cast.metadata,
            "generations": None if generations is None else [generation_resource(item) for item in generations],
        }
    )
    return _without_unread(resource, cast.unread)


def generation_resource(generation: Generation, assembled: Document | None = None) -> Document:
    """A generation; `assembled` adds what is not stored in it (spell, contexts) to its metadata."""
    payload = generation.result.payload if generation.result else ()
    # The one key that is null rather than absent: it is not optional, and a running step has no duration yet.
    resource = {"durationMs": generation.duration_ms} | _present(
        {
            "generationId": generation.generation_id,
            "castId": generation.cast_id,
            "spellId": generation.spell_id,
            "stepIndex": generation.step_index,
            "stepId": generation.step_id,
            "attempt": generation.attempt,
            "toolId": generation.tool_id,
            "toolDisplayName": generation.tool_display_name,
            "serviceName": generation.service_name,
            "status": generation.status,
            "revision": generation.revision,
            "requestPayload": generation.request_payload,
            "responsePayload": list(payload),
            "outputs": web_outputs(payload),
            "costUsd": money.to_text(generation.cost_usd),
            "pointsSpent": generation.points_spent,
            "requestTimestamp": times.to_text(generation.request_timestamp),
            "responseTimestamp": _time(generation.response_timestamp),
            "deliveryStrategy": "spell_step",
            "deliveryStatus": "sent" if generation.is_terminal else "pending",
            "error": {
                "code": generation.failure.code,
                "message": generation.failure.message,
                "retryable": generation.failure.retryable,
            }
            if generation.failure
            else None,
            "metadata": _present(
                {
                    "isSpell": True,
                    "castId": generation.cast_id,
                    "stepIndex": generation.step_index,
                    "run_id": generation.run_id,
                    "submission": generation.submission,
                    "fallbackFrom": generation.fallback_from or None,
                    **(assembled or {}),
                }
            ),
        }
    )
    return _without_unread(resource, generation.unread)


def cast_record(resource: Document, account_id: str) -> Document:
    """A cast's resource as the original's callers know it."""
    return {"_id": resource["castId"], "initiatorAccountId": account_id, **resource}


def generation_record(resource: Document, account_id: str) -> Document:
    """A generation's resource as the original's callers know it."""
    return {"_id": resource["generationId"], "masterAccountId": account_id, **resource}


def within(resource: Document, limit: int, size_of: Callable[[object], int] = size) -> Document:
    """The resource in at most so many bytes: without the documents of its generations, or without any.

    What comes without its documents says `truncated`; the record itself has them.
    """
    if size_of(resource) <= limit:
        return resource
    if "generations" in resource:
        resource = {**resource, "generations": [_facts(generation) for generation in resource["generations"]]}
        if size_of(resource) <= limit:
            return resource
    return _facts(resource)


def _facts(resource: Document) -> Document:
    return _without(_DOCUMENTS, resource)


def _without_unread(resource: Document, unread: Unread) -> Document:
    left_out = {key for name in unread for key in _SHOWN_UNDER.get(name, ())}
    return _without(left_out, resource) | {"truncated": True} if left_out else resource


def _without(left_out: AbstractSet[str], resource: Document) -> Document:
    if left_out.isdisjoint(resource):
        return resource
    return {key: value for key, value in resource.items() if key not in left_out} | {"truncated": True}


def _delivery(cast: Cast) -> Document:
    """The webhook's, in the original's words; the attempts are known when it has ended."""
    if cast.delivery is None:
        return {"deliveryStatus": "pending"}
    return _present(
        {
            "deliveryStatus": cast.delivery.status,
            "deliveryAttempts": cast.delivery.attempts,
            "deliveryError": cast.delivery.error,
            "deliveryTimestamp": times.to_text(cast.delivery.at),
        }
    )


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else times.to_text(moment)


def _present(document: dict[str, Any]) -> Document:
    return {key: value for key, value in document.items() if value is not None}
