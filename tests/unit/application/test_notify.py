from __future__ import annotations

from typing import Any

import pytest

from spellcast.application.media_links import MediaLinks
from spellcast.application.notify import MAX_DETAIL_BYTES, Notify
from spellcast.domain import documents
from spellcast.domain.casts import Cast, Delivery
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
    messages = [message for _, message in announcer.pushed]
    told = documents.to_text([*messages, *(event.detail for event in announcer.published)])
    link = FakeMediaStore().link(pointer.removeprefix("s3:"))
    assert len(announcer.pushed) == 3
    # castUpdate, generationUpdate, tool-response; the cast and the record (twice in it) on the bus.
    assert (told.count(pointer), told.count(link)) == (0, 6)
