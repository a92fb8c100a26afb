from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from spellcast.application.media_links import MediaLinks
from spellcast.application.notify import MAX_DETAIL_BYTES, Notify
from spellcast.domain import documents
from spellcast.domain.casts import Cast, CastFailure, Delivery
from spellcast.domain.documents import Document
from spellcast.domain.generations import Generation
from spellcast.domain.results import ToolResult
from spellcast.ports.announcer import Event
from spellcast.ports.store import Connection
from tests.fakes.announcer import FakeAnnouncer
from tests.fakes.clock import START, FakeClock
from tests.fakes.media import FakeMediaStore
from tests.fakes.records import a_cast, a_generation, in_seconds, text_result
from tests.fakes.world import ACCOUNT, World

INTERRUPTED = CastFailure("CAST_INTERRUPTED", "Closed by its caller.", 0, "n0", "c1.0.1")
GIVEN_UP = Delivery("failed", 3, in_seconds(60), "Webhook returned 500: err")


@pytest.fixture
def announcer() -> FakeAnnouncer:
    return FakeAnnouncer()


def notify(announcer: FakeAnnouncer, written: Cast | Generation | Connection) -> Event | None:
    Notify(announcer, MediaLinks(FakeMediaStore()), FakeClock())(written)
    return announcer.published[-1] if announcer.published else None


def test_a_connection_is_greeted_and_nobody_else_told(announcer: FakeAnnouncer) -> None:
    assert notify(announcer, Connection("conn", ACCOUNT, START, in_seconds(7200))) is None
    ((connection_id, message),) = announcer.sent
    assert (connection_id, message["type"]) == ("conn", "connection_ack")
    assert message["payload"] == {"message": "WebSocket connection established."}
    assert announcer.pushed == []


def test_a_cast_is_pushed_to_its_account_and_put_on_the_bus(announcer: FakeAnnouncer) -> None:
    event = notify(announcer, a_cast(revision=3))
    ((account, message),) = announcer.pushed
    assert (account, message["type"], message["payload"]["revision"]) == ("alice", "castUpdate", 3)
    assert event is not None
    assert (event.detail_type, event.detail["castId"], event.detail["revision"]) == ("Cast Updated", "c1", 3)


@pytest.mark.parametrize(
    ("changes", "due"),
    [
        pytest.param({}, False, id="it still runs"),
        pytest.param({"status": "completed", "completed_at": START}, True, id="it was just completed"),
        pytest.param({"status": "failed", "failed_at": START}, True, id="it has just failed"),
        pytest.param(
            {"status": "failed", "failed_at": START, "updated_at": in_seconds(60)}, False, id="a late bill was added"
        ),
        pytest.param(
            {"status": "failed", "failed_at": START, "updated_at": in_seconds(60), "delivery": GIVEN_UP},
            False,
            id="its caster was given up",
        ),
        pytest.param(
            {"status": "completed", "completed_at": START, "webhook_url": None}, False, id="nobody is to be called"
        ),
    ],
)
def test_the_webhook_is_due_once_when_the_cast_has_ended(
    announcer: FakeAnnouncer, changes: dict[str, Any], due: bool
) -> None:
    event = notify(announcer, a_cast(**changes))
    assert event is not None
    assert event.detail["webhookDue"] is due


@pytest.mark.parametrize(
    ("changes", "due"),
    [
        ({}, False),
        ({"cancel_requested_at": START}, True),
        ({"cancel_requested_at": START, "execution": 3}, True),
        ({"cancel_requested_at": START, "status": "cancelled", "cancelled_at": START}, False),
        ({"status": "failed", "failed_at": START, "failure": INTERRUPTED}, True),
        ({"status": "failed", "failed_at": START, "failure": INTERRUPTED, "updated_at": in_seconds(60)}, False),
        ({"status": "failed", "failed_at": START, "failure": CastFailure("CAST_INTERRUPTED", "No step began.")}, False),
        ({"status": "failed", "failed_at": START, "failure": replace(INTERRUPTED, code="JOB_FAILED")}, False),
    ],
)
def test_the_stop_of_what_may_run_on_is_due_until_it_is_closed(
    announcer: FakeAnnouncer, changes: dict[str, Any], due: bool
) -> None:
    cast = a_cast(**changes)
    event = notify(announcer, cast)
    assert event is not None
    assert (event.detail["cancelDue"], event.detail["execution"]) == (due, cast.execution_name)
    is_called = cast.status == "failed" and cast.has_just_ended
    assert event.detail["webhookDue"] is is_called, "nobody is called for a cancelled cast"


def test_a_generation_is_too(announcer: FakeAnnouncer) -> None:
    event = notify(announcer, a_generation(status="processing", revision=2))
    assert [(account, message["type"]) for account, message in announcer.pushed] == [("alice", "generationUpdate")]
    assert event is not None
    assert (event.detail_type, event.detail["generationId"]) == ("Generation Updated", "c1.0.1")
    assert (event.detail["revision"], event.detail["status"]) == (2, "processing")


def test_an_immediate_answer_is_pushed_as_a_tool_response_too(announcer: FakeAnnouncer) -> None:
    notify(announcer, a_generation(status="completed", delivery_mode="immediate", result=text_result()))
    assert [message["type"] for _, message in announcer.pushed] == ["generationUpdate", "tool-response"]
    assert len(announcer.published) == 1


def test_nothing_that_is_announced_holds_a_secret(announcer: FakeAnnouncer) -> None:
    notify(announcer, a_cast())
    notify(announcer, a_generation(task_token="t0ken"))
    told = documents.to_text([announcer.pushed, [event.detail for event in announcer.published]])
    for secret in ("s3cr3t", "webhookSecret", "t0ken"):
        assert secret not in told


@pytest.mark.parametrize(
    "written",
    [
        a_cast(inputs={"prompt": "x" * MAX_DETAIL_BYTES}, outputs={"text": "é" * MAX_DETAIL_BYTES}),
        a_generation(request_payload={"prompt": "x" * MAX_DETAIL_BYTES}, result=text_result("é" * MAX_DETAIL_BYTES)),
    ],
    ids=["cast", "generation"],
)
def test_a_large_resource_goes_on_the_bus_without_its_documents(
    announcer: FakeAnnouncer, written: Cast | Generation
) -> None:
    event = notify(announcer, written)
    assert event is not None
    assert event.detail["truncated"] is True
    assert len(documents.to_text(event.detail).encode()) < 2_000
    assert {"castId", "status", "revision", "costUsd"} <= event.detail.keys()
    if isinstance(written, Cast):
        assert event.detail["webhookDue"] is False


def test_one_below_the_limit_goes_whole(announcer: FakeAnnouncer) -> None:
    event = notify(announcer, a_cast(inputs={"prompt": "x" * (MAX_DETAIL_BYTES - 2_000)}))
    assert event is not None
    assert "truncated" not in event.detail
    assert event.detail["inputs"]


@pytest.mark.parametrize("character", ["x", "é"])
@pytest.mark.parametrize("over", [0, 1])
def test_the_limit_of_an_event_is_met_to_the_byte(announcer: FakeAnnouncer, character: str, over: int) -> None:
    def detail(text: str) -> Document:
        event = notify(announcer, a_cast(outputs={"text": text}))
        assert event is not None
        return event.detail

    room = MAX_DETAIL_BYTES - documents.size(detail(""))
    each = len(character.encode())
    told = detail(character * (room // each) + "y" * (room % each + over))
    assert ("outputs" in told, "truncated" in told) == (not over, bool(over))
    assert (documents.size(told) == MAX_DETAIL_BYTES) is not over or over
    # With the envelope of an event, and whatever it is wrapped into, an invocation and a message of a queue have room.
    assert MAX_DETAIL_BYTES + 16_384 < 256 * 1024


@pytest.mark.parametrize("failing", ["push", "publish"])
def test_a_revision_that_could_not_be_announced_is_announced_again(announcer: FakeAnnouncer, failing: str) -> None:
    def fail(*arguments: Any) -> None:
        raise ConnectionError

    setattr(announcer, failing, fail)
    with pytest.raises(ConnectionError):
        notify(announcer, a_cast())


@pytest.mark.parametrize("written", [a_cast(), a_generation()], ids=["cast", "generation"])
def test_the_bus_is_told_before_anybodys_websocket(
    announcer: FakeAnnouncer, monkeypatch: pytest.MonkeyPatch, written: Cast | Generation
) -> None:
    def fail(*arguments: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(announcer, "push", fail)
    with pytest.raises(ConnectionError):
        notify(announcer, written)
    assert len(announcer.published) == 1


def test_i7_every_revision_of_a_cast_is_announced_with_its_number_and_one_is_terminal(
    announcer: FakeAnnouncer,
) -> None:
    world = World()
    cast = world.cast("paid", "polled")
    world.execute(cast)
    world.complete_job(f"{cast.cast_id}.1.1", text_result())
    world.process(cast)
    world.settle(cast)
    for record in world.store.writes:
        notify(announcer, record)
    by_record: dict[str, list[Document]] = {}
    for event in announcer.published:
        key = event.detail["castId"] if event.detail_type == "Cast Updated" else event.detail["generationId"]
        by_record.setdefault(key, []).append(event.detail)
    assert len(by_record) == 3
    for details in by_record.values():
        revisions = [detail["revision"] for detail in details]
        assert revisions == sorted(set(revisions))
        assert [detail["status"] in ("completed", "failed") for detail in details].count(True) == 1


def test_what_is_announced_has_links_to_what_was_kept(announcer: FakeAnnouncer) -> None:
    pointer = "s3:media/c1/c1.0.1/0.png"
    images = {"images": [{"url": pointer}]}
    done = ToolResult("succeeded", ({"type": "image", "data": images},))
    generation = a_generation(status="completed", result=done, delivery_mode="immediate")
    for written in (a_cast(outputs=images), generation):
        notify(announcer, written)
    messages = [message for _, message in announcer.pushed]
    announced = documents.to_text([*messages, *(event.detail for event in announcer.published)])
    link = FakeMediaStore().link(pointer.removeprefix("s3:"))
    assert len(messages) == 3
    # castUpdate, generationUpdate, tool-response; on the bus the cast, and the record, which has it twice.
    assert (announced.count(pointer), announced.count(link)) == (0, 6)
