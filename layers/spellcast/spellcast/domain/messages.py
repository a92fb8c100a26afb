"""The WebSocket messages of contract §5: `{type, payload, at}`, with the payload keys of original-system.md §5.2."""

from __future__ import annotations

from datetime import datetime

from spellcast.domain import documents, money, times
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.generations import Generation
from spellcast.domain.outputs import raw_answer, web_outputs
from spellcast.domain.resources import cast_resource, within
from spellcast.domain.results import ToolResult

# AWS posts at most 128 KB; a client that needs the outputs of a larger message reads the record.
MAX_MESSAGE_BYTES = 100_000


def connection_ack(now: datetime) -> Document:
    """The first message of a connection."""
    return _message("connection_ack", {"message": "WebSocket connection established."}, now)


def pong(now: datetime) -> Document:
    """The answer to `{"action": "ping"}`."""
    return _message("pong", {}, now)


def error_message(code: str, text: str, now: datetime) -> Document:
    """The answer to a message that cannot be done."""
    return _message("error", {"code": code, "message": text}, now)


def cast_update(cast: Cast, now: datetime) -> Document:
    """A new revision of a cast."""
    return _message("castUpdate", cast_resource(cast), now)


def cast_snapshot(resource: Document, now: datetime) -> Document:
    """The whole cast, so that a client that reconnects misses nothing."""
    return _message("castSnapshot", resource, now)


def generation_messages(generation: Generation, now: datetime) -> list[Document]:
    """A new revision of a generation; an immediate tool's answer is told as `tool-response` too, as it always was."""
    payload = generation.result.payload if generation.result else ()
    update = {
        **_identity(generation),
        "error": generation.failure.message if generation.failure else None,
        "outputs": web_outputs(payload),
        "costUsd": money.to_text(generation.cost_usd),
        "finalEventTimestamp": times.to_text(generation.response_timestamp) if generation.response_timestamp else None,
    }
    messages = [_message("generationUpdate", _without_unread(update, generation), now)]
    if generation.status == "completed" and generation.delivery_mode == "immediate":
        answer = {
            "toolId": generation.tool_id,
            "output": raw_answer(payload),
            "requestId": None,
            "generationId": generation.generation_id,
            "castId": generation.cast_id,
            "revision": generation.revision,
            **_collection(generation),
        }
        messages.append(_message("tool-response", _without_unread(answer, generation), now))
    return messages


def progress_message(generation: Generation, state: ToolResult, now: datetime) -> Document:
    """What the provider reports while it runs: passed on with the current revision and not stored."""
    progress = {
        **_identity(generation),
        "status": "queued" if state.is_queued else "running",
        "progress": state.progress,
        "liveStatus": state.live_status,
    }
    return _message("generationProgress", progress, now)


def fitted(message: Document) -> Document:
    """The message, without its outputs where it would be over 100 KB."""
    if documents.size(message) <= MAX_MESSAGE_BYTES:
        return message
    payload = dict(message["payload"])
    for key in ("outputs", "output"):
        payload.pop(key, None)
    # The envelope needs some bytes too.
    payload = within(payload, MAX_MESSAGE_BYTES - 1_000)
    payload.pop("truncated", None)
    smaller = {**message, "payload": payload, "truncated": True}
    if documents.size(smaller) <= MAX_MESSAGE_BYTES:
        return smaller
    return {**smaller, "payload": {key: value for key, value in payload.items() if not isinstance(value, dict | list)}}


def _identity(generation: Generation) -> Document:
    return {
        "generationId": generation.generation_id,
        "runId": generation.run_id,
        "status": generation.status,
        "toolId": generation.tool_id,
        "spellId": generation.spell_id,
        "castId": generation.cast_id,
        "stepIndex": generation.step_index,
        "revision": generation.revision,
        **_collection(generation),
    }


def _collection(generation: Generation) -> Document:
    return {key: generation.collection.get(key) for key in ("cookId", "collectionId")}


def _without_unread(payload: Document, generation: Generation) -> Document:
    if "responsePayload" not in generation.unread:
        return payload
    return {key: value for key, value in payload.items() if key not in ("outputs", "output")} | {"truncated": True}


def _message(kind: str, payload: Document, now: datetime) -> Document:
    message = {"type": kind, "payload": payload, "at": times.to_text(now)}
    if "truncated" not in payload:
        return message
    return {**message, "payload": {key: payload[key] for key in payload if key != "truncated"}, "truncated": True}
