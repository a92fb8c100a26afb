from __future__ import annotations

from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain import documents, messages, results
from spellcast.domain.documents import Document
from spellcast.domain.results import Failure, ToolResult
from tests.fakes.clock import START
from tests.fakes.records import a_cast, a_generation, in_seconds, text_result

# original-system.md §5.2, and what contract §5 adds to every message.
ALSO = {"castId", "revision", "stepIndex"}
UPDATE = {
    *("generationId", "runId", "status", "error", "outputs", "toolId", "spellId", "cookId", "collectionId"),
    *("costUsd", "finalEventTimestamp"),
} | ALSO
PROGRESS = {
    *("generationId", "runId", "status", "progress", "liveStatus", "toolId", "spellId", "cookId", "collectionId"),
} | ALSO
RESPONSE = {"toolId", "output", "requestId", "cookId", "collectionId", "generationId", "castId", "revision"}

COMPLETED = a_generation(
    status="completed",
    delivery_mode="immediate",
    run_id="r1",
    result=text_result("t"),
    response_timestamp=in_seconds(5),
    revision=3,
    collection={"cookId": "k1", "collectionId": "k2"},
)


def test_every_message_has_a_type_a_payload_and_its_time() -> None:
    told = [
        messages.connection_ack(START),
        messages.pong(START),
        messages.error_message("NO", "No.", START),
        messages.cast_update(a_cast(), START),
        messages.cast_snapshot({"castId": "c1"}, START),
        messages.progress_message(a_generation(), ToolResult("processing"), START),
        *messages.generation_messages(COMPLETED, START),
    ]
    kinds = {kind.name: kind for kind in messages.KINDS}
    assert {message["type"] for message in told} == kinds.keys()
    for message in told:
        assert set(message) == {"type", "payload", "at"}
        assert message["at"] == "2026-01-31T12:00:00.000Z"
        record = kinds[message["type"]].payload
        assert record is None or message["payload"].keys() == get_type_hints(record).keys()


def test_the_connections_own_messages() -> None:
    assert messages.connection_ack(START)["payload"] == {"message": "WebSocket connection established."}
    assert messages.pong(START)["payload"] == {}
    assert messages.error_message("NO", "No.", START)["payload"] == {"code": "NO", "message": "No."}


def test_a_generation_update_has_the_originals_keys() -> None:
    update = messages.generation_messages(COMPLETED, START)[0]["payload"]
    assert set(update) == UPDATE
    assert update == {
        "generationId": "c1.0.1",
        "runId": "r1",
        "status": "completed",
        "toolId": "tool",
        "spellId": "s1",
        "castId": "c1",
        "stepIndex": 0,
        "revision": 3,
        "cookId": "k1",
        "collectionId": "k2",
        "error": None,
        "outputs": {"text": "t"},
        "costUsd": "0",
        "finalEventTimestamp": "2026-01-31T12:00:05.000Z",
    }


def test_a_generation_that_runs_is_told_with_the_same_keys() -> None:
    update = messages.generation_messages(a_generation(), START)[0]["payload"]
    assert set(update) == UPDATE
    assert (update["outputs"], update["finalEventTimestamp"], update["runId"]) == ({}, None, None)


def test_a_failed_generation_says_why() -> None:
    failed = a_generation(status="failed", failure=Failure("JOB_FAILED", "No cats."))
    (update,) = messages.generation_messages(failed, START)
    assert (update["payload"]["status"], update["payload"]["error"]) == ("failed", "No cats.")


def test_an_immediate_answer_is_told_as_a_tool_response_too() -> None:
    response = messages.generation_messages(COMPLETED, START)[1]
    assert set(response["payload"]) == RESPONSE
    assert (response["payload"]["output"], response["payload"]["requestId"]) == ("t", None)
    assert response["payload"]["revision"] == 3


@pytest.mark.parametrize(
    "changes",
    [{"delivery_mode": "async"}, {"delivery_mode": "webhook"}, {"status": "processing"}, {"status": "failed"}],
)
def test_nothing_else_is(changes: dict[str, Any]) -> None:
    generation = a_generation(
        **{"status": "completed", "delivery_mode": "immediate", "result": text_result(), **changes}
    )
    assert [message["type"] for message in messages.generation_messages(generation, START)] == ["generationUpdate"]


def test_progress_is_passed_on_as_it_was_reported_with_the_current_revision() -> None:
    state = ToolResult("processing", progress=0.47, live_status="Sampling…")
    progress = messages.progress_message(a_generation(run_id="r1", revision=2), state, START)["payload"]
    assert set(progress) == PROGRESS
    assert (progress["status"], progress["progress"], progress["liveStatus"]) == ("running", 0.47, "Sampling…")
    assert (progress["revision"], progress["castId"]) == (2, "c1")


@pytest.mark.parametrize(
    ("state", "status"),
    [
        # S5: what the provider says, unchanged.
        (ToolResult("processing", progress=0, is_queued=True), "queued"),
        (ToolResult("processing", progress=1), "running"),
        (ToolResult("processing"), "running"),
    ],
)
def test_a_job_is_queued_until_it_runs(state: ToolResult, status: str) -> None:
    progress = messages.progress_message(a_generation(), state, START)["payload"]
    assert (progress["status"], progress["progress"], progress["liveStatus"]) == (status, state.progress, None)


def test_a_tool_response_is_the_raw_answer_where_it_is_no_text() -> None:
    picture = results.succeeded("image", {"images": [{"url": "https://o/1.png"}], "seed": 7})
    generation = a_generation(status="completed", delivery_mode="immediate", result=picture)
    update, response = messages.generation_messages(generation, START)
    assert update["payload"]["outputs"] == response["payload"]["output"] == {"images": [{"url": "https://o/1.png"}]}


def test_no_message_holds_the_webhook_secret() -> None:
    told = [messages.cast_update(a_cast(), START), *messages.generation_messages(COMPLETED, START)]
    assert "s3cr3t" not in documents.to_text(told)


def size(message: Document) -> int:
    return len(documents.to_text(message).encode())


def test_a_message_of_100_kb_is_sent_whole_and_a_larger_one_without_its_outputs() -> None:
    def with_text(length: int) -> Document:
        generation = a_generation(status="completed", result=text_result("x" * length))
        return messages.generation_messages(generation, START)[0]

    room = messages.MAX_MESSAGE_BYTES - size(with_text(0))
    assert messages.MAX_MESSAGE_BYTES == 100_000
    whole = with_text(room)
    assert messages.fitted(whole) == whole
    smaller = messages.fitted(with_text(room + 1))
    assert smaller["truncated"] is True
    assert set(smaller["payload"]) == UPDATE - {"outputs"}


def test_the_size_is_counted_in_bytes() -> None:
    generation = a_generation(status="completed", result=text_result("é" * 60_000))
    assert messages.fitted(messages.generation_messages(generation, START)[0])["truncated"] is True


@pytest.mark.parametrize("character", ["x", "é", "\U0001f600", '"', "\n"])
@pytest.mark.parametrize("over", [0, 1])
def test_the_limit_of_a_message_is_met_to_the_byte(character: str, over: int) -> None:
    def with_text(text: str) -> Document:
        return messages.cast_update(a_cast(outputs={"text": text}), START)

    room = messages.MAX_MESSAGE_BYTES - size(with_text(""))
    each = size(with_text(character)) - size(with_text(""))
    message = with_text(character * (room // each) + "y" * (room % each + over))
    assert size(message) == messages.MAX_MESSAGE_BYTES + over
    fitted = messages.fitted(message)
    assert (fitted == message) is not over or over
    assert ("outputs" in fitted["payload"], "truncated" in fitted) == (not over, bool(over))
    # API Gateway posts 128 KB, in frames of 32 KB.
    assert size(fitted) <= 128 * 1024


def test_what_was_not_read_is_left_out_and_said() -> None:
    generation = a_generation(
        status="completed", delivery_mode="immediate", unread={"responsePayload": "s3:documents/a"}
    )
    update, response = messages.generation_messages(generation, START)
    assert (set(update["payload"]), update["truncated"]) == (UPDATE - {"outputs"}, True)
    assert (set(response["payload"]), response["truncated"]) == (RESPONSE - {"output"}, True)
    cast = messages.cast_update(a_cast(outputs={"text": "t"}, unread={"inputs": "s3:documents/a"}), START)
    assert (cast["payload"]["outputs"], "inputs" in cast["payload"], cast["truncated"]) == ({"text": "t"}, False, True)
    assert "truncated" not in cast["payload"]
    # What a message does not tell of is not missing from it.
    inputs = a_generation(unread={"requestPayload": "s3:documents/a"})
    assert "truncated" not in messages.generation_messages(inputs, START)[0]


def test_a_tool_response_drops_its_output() -> None:
    generation = a_generation(status="completed", delivery_mode="immediate", result=text_result("x" * 100_001))
    response = messages.fitted(messages.generation_messages(generation, START)[1])
    assert set(response["payload"]) == RESPONSE - {"output"}


def test_a_snapshot_keeps_its_generations_without_their_documents() -> None:
    generation = {"generationId": "c1.0.1", "status": "completed", "outputs": {"text": "x" * 100_001}}
    snapshot = messages.fitted(messages.cast_snapshot({"castId": "c1", "generations": [generation]}, START))
    assert snapshot["payload"] == {
        "castId": "c1",
        "generations": [{"generationId": "c1.0.1", "status": "completed", "truncated": True}],
    }


def test_where_that_is_not_enough_the_facts_are_left() -> None:
    cast = a_cast(inputs={"prompt": "x" * 100_001}, outputs={"text": "t"}, revision=4)
    update = messages.fitted(messages.cast_update(cast, START))
    assert update["truncated"] is True
    assert (update["payload"]["castId"], update["payload"]["revision"]) == ("c1", 4)
    assert not {"inputs", "outputs", "metadata"} & set(update["payload"])


def test_where_even_the_facts_of_its_generations_are_too_many_the_casts_own_are_left() -> None:
    generations = [{"generationId": f"c1.{number}.1", "toolId": "x" * 100} for number in range(1_000)]
    snapshot = messages.fitted(messages.cast_snapshot({"castId": "c1", "generations": generations}, START))
    assert (snapshot["payload"], snapshot["truncated"]) == ({"castId": "c1"}, True)


def test_only_the_outputs_are_left_out_where_that_is_enough() -> None:
    cast = a_cast(inputs={"prompt": "p"}, outputs={"text": "x" * 100_001}, metadata={"cookId": "k"})
    whole = messages.cast_update(cast, START)
    assert messages.fitted(whole) == {
        **whole,
        "payload": {key: value for key, value in whole["payload"].items() if key != "outputs"},
        "truncated": True,
    }


def test_the_lists_of_a_snapshot_stay_up_to_the_last_byte() -> None:
    def snapshot(length: int) -> Document:
        generations = [{"generationId": "c1.0.1", "error": "x" * length}]
        outputs = {"text": "y" * 100}
        return messages.cast_snapshot({"castId": "c1", "generations": generations, "outputs": outputs}, START)

    def without_outputs(message: Document) -> Document:
        payload = {key: value for key, value in message["payload"].items() if key != "outputs"}
        return {**message, "payload": payload, "truncated": True}

    room = messages.MAX_MESSAGE_BYTES - size(without_outputs(snapshot(0)))
    assert messages.fitted(snapshot(room)) == without_outputs(snapshot(room))
    assert messages.fitted(snapshot(room + 1)) == {
        "type": "castSnapshot",
        "payload": {"castId": "c1"},
        "at": "2026-01-31T12:00:00.000Z",
        "truncated": True,
    }


@given(st.integers(0, 200_000), st.integers(0, 200_000), st.integers(0, 200_000))
def test_whatever_its_documents_a_message_fits(inputs: int, outputs: int, metadata: int) -> None:
    cast = a_cast(
        inputs={"prompt": "x" * inputs}, outputs={"text": "é" * (outputs // 2)}, metadata={"note": "y" * metadata}
    )
    message = messages.fitted(messages.cast_update(cast, START))
    assert size(message) <= messages.MAX_MESSAGE_BYTES
    assert {"castId", "revision", "status"} <= set(message["payload"])
