"""The WebSocket messages of contract §5: `{type, payload, at}`, with the payload keys of original-system.md §5.2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypedDict

from spellcast.domain import documents, money, times
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.generations import Generation
from spellcast.domain.outputs import raw_answer, web_outputs
from spellcast.domain.resources import cast_resource, within
from spellcast.domain.results import ToolResult

# AWS posts at most 128 KB; a client that needs the outputs of a larger message reads the record.
MAX_MESSAGE_BYTES = 100_000


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of message: when it is sent, and the record that its payload is; None where that is a whole cast."""

    name: str
    sent: str
    payload: type | None


class Greeting(TypedDict):
    """What a connection begins with."""

    message: Annotated[str, "A sentence for people."]


class Nothing(TypedDict):
    """No key at all."""


class Refusal(TypedDict):
    """Why a message of the client's was not understood, or not done."""

    code: Annotated[str, "One of the closed list."]
    message: Annotated[str, "What is wrong."]


CookId = Annotated[str | None, "The caster's own collection, from the cast's `metadata`."]
CollectionId = Annotated[str | None, "The same."]


class _Collection(TypedDict):
    cookId: CookId
    collectionId: CollectionId


class _Identity(TypedDict):
    generationId: Annotated[str, "The record."]
    runId: Annotated[str | None, "The provider's job, once it is known."]
    toolId: Annotated[str, "The tool that runs."]
    spellId: Annotated[str, "The spell."]
    castId: Annotated[str, "The cast."]
    stepIndex: Annotated[int, "The step's position, from 0."]
    revision: Annotated[int, "The record's: it only grows, so that a lower one is old news."]
    cookId: CookId
    collectionId: CollectionId


class GenerationUpdate(_Identity):
    """A step's record as it is now."""

    status: Annotated[str, "The record's: `pending`, `processing`, `completed`, `failed` or `cancelled`."]
    error: Annotated[str | None, "Why it failed."]
    outputs: Annotated[Any, "`{text}`, `{images}`, `{files}`, or the elements as `[{type, data}]`."]
    costUsd: Annotated[str, "US dollars."]
    finalEventTimestamp: Annotated[str | None, "When the result was there."]


class GenerationProgress(_Identity):
    """What a provider says while it works."""

    status: Annotated[str, "`queued` or `running`, as the provider says."]
    progress: Annotated[float | None, "From 0 to 1, where the provider says it."]
    liveStatus: Annotated[str | None, "What the provider is at, in its words."]


class ToolResponse(TypedDict):
    """An immediate tool's answer."""

    toolId: Annotated[str, "The tool that ran."]
    output: Annotated[Any, "A text as itself, anything else as `outputs` of a `generationUpdate`."]
    requestId: Annotated[None, "Always null: the original's."]
    generationId: Annotated[str, "The record."]
    castId: Annotated[str, "The cast."]
    revision: Annotated[int, "The record's."]
    cookId: CookId
    collectionId: CollectionId


CONNECTION_ACK = Kind("connection_ack", "First, a moment after the connection is open.", Greeting)
CAST_UPDATE = Kind("castUpdate", "At every revision of a cast of the account's: begun, ended, resumed, billed.", None)
GENERATION_UPDATE = Kind("generationUpdate", "At every revision of a step's record.", GenerationUpdate)
GENERATION_PROGRESS = Kind(
    "generationProgress", "When a provider reports on a job that runs. It is not stored.", GenerationProgress
)
TOOL_RESPONSE = Kind("tool-response", "Beside the update, when an immediate step is completed.", ToolResponse)
CAST_SNAPSHOT = Kind("castSnapshot", "In answer to `subscribe`: the cast with its records.", None)
PONG = Kind("pong", "In answer to `ping`.", Nothing)
ERROR = Kind("error", "In answer to a message that is neither, or names no cast of the account's.", Refusal)
KINDS = (
    CONNECTION_ACK,
    CAST_UPDATE,
    GENERATION_UPDATE,
    GENERATION_PROGRESS,
    TOOL_RESPONSE,
    CAST_SNAPSHOT,
    PONG,
    ERROR,
)


def connection_ack(now: datetime) -> Document:
    """The first message of a connection."""
    greeting: Greeting = {"message": "WebSocket connection established."}
    return _message(CONNECTION_ACK, greeting, now)


def pong(now: datetime) -> Document:
    """The answer to `{"action": "ping"}`."""
    return _message(PONG, {}, now)


def error_message(code: str, text: str, now: datetime) -> Document:
    """The answer to a message that cannot be done."""
    refusal: Refusal = {"code": code, "message": text}
    return _message(ERROR, refusal, now)


def cast_update(cast: Cast, now: datetime) -> Document:
    """A new revision of a cast."""
    return _message(CAST_UPDATE, cast_resource(cast), now)


def cast_snapshot(resource: Document, now: datetime) -> Document:
    """The whole cast, so that a client that reconnects misses nothing."""
    return _message(CAST_SNAPSHOT, resource, now)


def generation_messages(generation: Generation, now: datetime) -> list[Document]:
    """A new revision of a generation; an immediate tool's answer is told as `tool-response` too, as it always was."""
    payload = generation.result.payload if generation.result else ()
    update: GenerationUpdate = {
        **_identity(generation),
        "status": generation.status,
        "error": generation.failure.message if generation.failure else None,
        "outputs": web_outputs(payload),
        "costUsd": money.to_text(generation.cost_usd),
        "finalEventTimestamp": times.to_text(generation.response_timestamp) if generation.response_timestamp else None,
    }
    messages = [_message(GENERATION_UPDATE, _without_unread(update, generation), now)]
    if generation.status == "completed" and generation.delivery_mode == "immediate":
        answer: ToolResponse = {
            "toolId": generation.tool_id,
            "output": raw_answer(payload),
            "requestId": None,
            "generationId": generation.generation_id,
            "castId": generation.cast_id,
            "revision": generation.revision,
            **_collection(generation),
        }
        messages.append(_message(TOOL_RESPONSE, _without_unread(answer, generation), now))
    return messages


def progress_message(generation: Generation, state: ToolResult, now: datetime) -> Document:
    """What the provider reports while it runs: passed on with the current revision and not stored."""
    progress: GenerationProgress = {
        **_identity(generation),
        "status": "queued" if state.is_queued else "running",
        "progress": state.progress,
        "liveStatus": state.live_status,
    }
    return _message(GENERATION_PROGRESS, progress, now)


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


def _identity(generation: Generation) -> _Identity:
    return {
        "generationId": generation.generation_id,
        "runId": generation.run_id,
        "toolId": generation.tool_id,
        "spellId": generation.spell_id,
        "castId": generation.cast_id,
        "stepIndex": generation.step_index,
        "revision": generation.revision,
        **_collection(generation),
    }


def _collection(generation: Generation) -> _Collection:
    named = generation.collection
    return {"cookId": named.get("cookId"), "collectionId": named.get("collectionId")}


def _without_unread(payload: Mapping[str, Any], generation: Generation) -> Mapping[str, Any]:
    if "responsePayload" not in generation.unread:
        return payload
    return {**{key: value for key, value in payload.items() if key not in ("outputs", "output")}, "truncated": True}


def _message(kind: Kind, payload: Mapping[str, Any], now: datetime) -> Document:
    message = {"type": kind.name, "payload": dict(payload), "at": times.to_text(now)}
    if "truncated" not in payload:
        return message
    return {**message, "payload": {key: payload[key] for key in payload if key != "truncated"}, "truncated": True}
