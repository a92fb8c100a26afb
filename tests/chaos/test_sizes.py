"""Casts of documents around every limit, by the functions' events and the deployed stores (reliability.md, sizes).

That each limit is met to the byte is shown where it is kept (docs/limits.md names the tests); here, that a whole cast
exceeds none of them, and loses nothing.
"""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import Any

from spellcast.adapters.exchange import provider_client
from spellcast.application.keep_outputs import MAX_BYTES
from spellcast.aws.media_store import PART_BYTES, S3MediaStore
from spellcast.domain import results
from spellcast.domain.documents import MAX_ROW_BYTES
from spellcast.domain.messages import fitted
from spellcast.domain.results import ToolResult
from spellcast.outbound.downloads import HttpMediaSource
from spellcast.ports.adapter import Request
from tests.chaos.conftest import Defends
from tests.chaos.histories import Item
from tests.chaos.record import Kind, Recorder, simply
from tests.contract.deployment import deployed
from tests.fakes.media import BUCKET_URL
from tests.unit.outbound.test_downloads import served

KIB = 1024
MIB = KIB * KIB
STEPS: list[dict[str, Any]] = [
    {"id": "n0", "toolIdentifier": "paid"},
    {
        "id": "n1",
        "toolIdentifier": "called",
        "parameterMappings": {"prompt": {"type": "nodeOutput", "nodeId": "n0", "outputKey": "text"}},
    },
]
# Bytes of a cast's inputs. A step answers with all of them, and its answer is an input of the next.
SIZES = [
    *(199_000, MAX_ROW_BYTES, MAX_ROW_BYTES + 1, 201_000),
    *(256 * KIB - 1, 256 * KIB, 256 * KIB + 1),
    *(400_000, 400 * KIB + 1),
]
MAX_ITEM = 400 * KIB
# Step Functions takes 256 KB; ids and small facts are all that goes through it.
MAX_STATE = 4_096
# API Gateway posts 128 KB, in frames of 32 KB that it makes itself.
MAX_MESSAGE = 100_000
# The bus and the queue behind it take 256 KB with the envelope.
MAX_EVENT = 200_000
# Lambda's, of an answer; a byte more, and the caller gets a 502.
MAX_ANSWER = 6 * MIB
OF_MACHINES = ("execute_step", "process_output", "finalize_cost", "poll_job")
DOCUMENTS = ("inputs", "metadata", "settings", "outputs", "requestPayload", "responsePayload", "collection")


def bytes_of(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def item_bytes(item: Item) -> int:
    """At least as many as DynamoDB counts: names and values as text."""
    return sum(len(name.encode()) + len(str(next(iter(value.values()))).encode()) for name, value in item.items())


def rows(recorder: Recorder, entity: str) -> list[Item]:
    return [row for entry in recorder.timeline for row in entry.get("rows", ()) if row["entity"]["S"] == entity]


def largest(recorder: Recorder) -> dict[str, int]:
    """The bytes of the largest row, document left in a row, state, message and event of a cast."""
    records = rows(recorder, "CAST") + rows(recorder, "GENERATION")
    events = [entry["event"] for entry in recorder.timeline if "event" in entry]
    told = [entry["machine"] for entry in recorder.timeline if "machine" in entry]
    announcer = recorder.world.announcer
    for row in records:
        recorder.handlers.announce(row)
    return {
        "row": max(map(item_bytes, records)),
        "documents": max(sum(len(row[name]["S"].encode()) for name in DOCUMENTS if name in row) for row in records),
        "state": max(bytes_of(state) for state in [*told, *(event for name, event in events if name in OF_MACHINES)]),
        "message": max(bytes_of(fitted(message)) for _, message in announcer.pushed),
        "event": max(bytes_of(event.detail) for event in announcer.published),
    }


def test_no_row_state_message_or_event_is_too_large_whatever_a_cast_holds(defends: Defends) -> None:
    for size in SIZES:
        text = "x" * (size - len('{"text":""}'))
        with deployed() as (dynamodb, s3):
            kind = Kind(simply(spell=STEPS, inputs={"text": text}))
            recorder = Recorder(kind, dynamodb, s3)
            kind.play(recorder)
            found = largest(recorder)
            # There is nothing yet but the inputs.
            begun = rows(recorder, "CAST")[0]
            assert begun["inputs"]["S"].startswith("s3:") == (size > MAX_ROW_BYTES), size
            assert found["row"] < MAX_ITEM, (size, found)
            assert found["documents"] <= MAX_ROW_BYTES, (size, found)
            assert found["state"] <= MAX_STATE, (size, found)
            assert found["message"] <= MAX_MESSAGE, (size, found)
            assert found["event"] <= MAX_EVENT, (size, found)
            cast = recorder.handlers.ask("GET", f"/v1/casts/{recorder.cast_id}")
            assert (cast["status"], cast["inputs"]["text"]) == ("completed", text)
            first, second = (
                recorder.handlers.ask("GET", f"/v1/generations/{recorder.cast_id}.{step}.1") for step in range(2)
            )
            assert first["outputs"]["text"] == second["requestPayload"]["prompt"] == f"<{text}>"
    defends("I2", "documents around each limit", f"{len(SIZES)} casts of {SIZES[0]:,} to {SIZES[-1]:,} bytes, complete")


def saying(text: str, request: Request) -> ToolResult:
    return results.succeeded("text", {"text": text})


def test_an_answer_of_6_mb_comes_by_a_link(defends: Defends) -> None:
    for size in (MAX_ANSWER - 1, MAX_ANSWER, MAX_ANSWER + 1):
        with deployed() as (dynamodb, s3):
            kind = Kind(simply("paid"))
            recorder = Recorder(kind, dynamodb, s3)
            text = "y" * size
            recorder.world.adapter.on_execute = partial(saying, text)
            kind.play(recorder)
            found = largest(recorder)
            assert found["row"] < MAX_ITEM and found["state"] <= MAX_STATE, (size, found)
            assert found["message"] <= MAX_MESSAGE and found["event"] <= MAX_EVENT, (size, found)
            shown = recorder.handlers.ask("GET", f"/v1/generations/{recorder.cast_id}.0.1")
            assert bytes_of(shown) < MAX_ANSWER
            key = shown["wholeUrl"].removeprefix(BUCKET_URL).partition("?")[0]
            whole, _ = recorder.world.media.objects[key]
            assert json.loads(whole)["outputs"]["text"] == text
    defends("I2", "an output of 6 MB, a byte less and a byte more", "3 casts, complete by their link")


class Bucket:
    """Implements what `S3MediaStore` needs of S3, and keeps nothing but sizes."""

    def __init__(self) -> None:
        self.parts: list[int] = []

    def create_multipart_upload(self, **_: Any) -> dict[str, str]:
        return {"UploadId": "u"}

    def upload_part(self, *, Body: bytes, **_: Any) -> dict[str, str]:
        self.parts.append(len(Body))
        return {"ETag": "e"}

    def complete_multipart_upload(self, **_: Any) -> None:
        """All of them."""


@contextmanager
def peak() -> Iterator[list[int]]:
    """The most bytes that were held at once, beyond what there was before."""
    found: list[int] = []
    tracemalloc.start()
    try:
        yield found
        found.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


def test_25_mb_are_copied_in_the_memory_of_two_parts(defends: Defends) -> None:
    size, chunk = 25 * MIB, bytes(64 * KIB)

    def send(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(size))
        request.end_headers()
        for _ in range(size // len(chunk)):
            request.wfile.write(chunk)

    bucket = Bucket()
    store = S3MediaStore(lambda: bucket, "bucket")  # type: ignore[arg-type,return-value]
    with served() as server, provider_client() as client:
        server.answers["/video"] = send
        source = HttpMediaSource(lambda: client, lambda: client)
        url = f"{server.url}/video"
        with peak() as most, source.open(url, lambda url: {}, max_bytes=MAX_BYTES, seconds=60) as chunks:
            assert store.write("media/c/g/0.mp4", chunks, "video/mp4") == size
    assert sum(bucket.parts) == size
    assert most[0] < 2.5 * PART_BYTES, f"{most[0]:,} bytes at once"
    defends("I2", "an output of 25 MB, streamed", f"in parts of 8 MiB, {most[0] / MIB:.0f} MiB at once")
