"""WebSockets and the bus: what a connection does not take is lost to it alone, what the bus does not is raised."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.stub import Stubber

from spellcast.aws.announcer import OPENING, PATIENCE, PUT_BYTES, AwsAnnouncer, EventsRefused, MessageRefused
from spellcast.ports.announcer import Event
from spellcast.ports.store import Connection
from tests.fakes.clock import FakeClock
from tests.fakes.store import FakeStore
from tests.unit.aws.stubs import client_of, stubbed

NOW = datetime(2026, 1, 31, tzinfo=UTC)
MESSAGE = {"type": "pong", "payload": {"text": "ü"}, "at": "2026-01-31T00:00:00.000Z"}
DATA = '{"type":"pong","payload":{"text":"ü"},"at":"2026-01-31T00:00:00.000Z"}'.encode()


@pytest.fixture
def posts() -> Stubber:
    return stubbed("apigatewaymanagementapi", endpoint_url="https://socket.example/live")


@pytest.fixture
def events() -> Stubber:
    return stubbed("events")


@pytest.fixture
def store() -> FakeStore:
    store = FakeStore()
    for account_id, connection_id in (("alice", "a="), ("alice", "b="), ("bob", "c=")):
        store.put_connection(Connection(connection_id, account_id, NOW, NOW))
    return store


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW + OPENING + timedelta(seconds=1))


@pytest.fixture
def announcer(posts: Stubber, events: Stubber, store: FakeStore, clock: FakeClock) -> AwsAnnouncer:
    return AwsAnnouncer(lambda: client_of(posts), lambda: client_of(events), "spellcast-test", store, clock)


def entries(first: int, last: int) -> list[dict[str, Any]]:
    return [
        {
            "Source": "spellcast",
            "DetailType": "Cast Updated",
            "Detail": f'{{"castId":"c{number}"}}',
            "EventBusName": "spellcast-test",
        }
        for number in range(first, last)
    ]


def updates(count: int) -> list[Event]:
    return [Event("Cast Updated", {"castId": f"c{number}"}) for number in range(count)]


def taken(count: int) -> dict[str, Any]:
    return {"FailedEntryCount": 0, "Entries": [{"EventId": str(number)} for number in range(count)]}


def test_a_push_reaches_each_connection_of_the_account(announcer: AwsAnnouncer, posts: Stubber) -> None:
    for connection_id in ("a=", "b="):
        posts.add_response("post_to_connection", {}, {"ConnectionId": connection_id, "Data": DATA})
    announcer.push("alice", MESSAGE)
    posts.assert_no_pending_responses()


def test_a_connection_that_is_gone_is_forgotten_and_the_others_are_told(
    announcer: AwsAnnouncer, posts: Stubber, store: FakeStore, capsys: pytest.CaptureFixture[str]
) -> None:
    posts.add_client_error("post_to_connection", "GoneException", http_status_code=410)
    posts.add_response("post_to_connection", {}, {"ConnectionId": "b=", "Data": DATA})
    announcer.push("alice", MESSAGE)
    posts.assert_no_pending_responses()
    assert [connection.connection_id for connection in store.list_connections("alice")] == ["b="]
    assert [connection.connection_id for connection in store.list_connections("bob")] == ["c="]
    [measured] = capsys.readouterr().out.splitlines()
    assert json.loads(measured)["ConnectionsGone"] == [1.0]


def test_a_connection_that_is_still_opening_is_not_forgotten(
    announcer: AwsAnnouncer, posts: Stubber, store: FakeStore, clock: FakeClock
) -> None:
    clock.moment = NOW + OPENING
    posts.add_client_error("post_to_connection", "GoneException", http_status_code=410)
    announcer.push("bob", MESSAGE)
    assert len(store.list_connections("bob")) == 1


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The connections that a warning named, with what they met."""
    found: list[Any] = []
    logger = SimpleNamespace(warning=lambda message, connections: found.append(connections))
    monkeypatch.setattr("spellcast.aws.announcer.logger", lambda: logger)
    return found


@pytest.mark.parametrize(
    "code", ["LimitExceededException", "ForbiddenException", "PayloadTooLargeException", "InternalServerError"]
)
def test_a_connection_that_does_not_take_a_message_keeps_it_from_nobody_else(
    announcer: AwsAnnouncer, posts: Stubber, store: FakeStore, warned: list[Any], code: str
) -> None:
    for _ in range(2):
        posts.add_client_error("post_to_connection", code)
    posts.add_response("delete_connection", {}, {"ConnectionId": "a="})
    posts.add_response("post_to_connection", {}, {"ConnectionId": "b=", "Data": DATA})
    announcer.push("alice", MESSAGE)
    posts.assert_no_pending_responses()
    assert warned == [{"a=": code}]
    assert len(store.list_connections("alice")) == 2


def test_a_post_is_tried_twice(announcer: AwsAnnouncer, posts: Stubber, warned: list[Any]) -> None:
    posts.add_client_error("post_to_connection", "InternalServerError", http_status_code=500)
    posts.add_response("post_to_connection", {}, {"ConnectionId": "c=", "Data": DATA})
    announcer.push("bob", MESSAGE)
    posts.assert_no_pending_responses()
    assert warned == []


def test_where_nobody_answers_the_others_wait_no_longer_than_a_moment(
    announcer: AwsAnnouncer, posts: Stubber, clock: FakeClock, warned: list[Any]
) -> None:
    def time_out(**asked: Any) -> None:
        clock.moment += PATIENCE
        raise ReadTimeoutError(endpoint_url="https://socket.example/live")

    client_of(posts).meta.events.register("before-call.apigatewaymanagementapi.PostToConnection", time_out)
    posts.deactivate()
    announcer.push("alice", MESSAGE)
    assert warned == [{"a=": "ReadTimeoutError", "b=": "no time was left"}]


def test_a_connection_that_cannot_be_closed_is_no_error(
    announcer: AwsAnnouncer, posts: Stubber, warned: list[Any]
) -> None:
    for action in ("post_to_connection", "post_to_connection", "delete_connection"):
        posts.add_client_error(action, "LimitExceededException")
    announcer.push("bob", MESSAGE)
    posts.assert_no_pending_responses()
    assert warned == [{"c=": "LimitExceededException"}]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited, without the waiting."""
    found: list[float] = []
    monkeypatch.setattr("spellcast.aws.announcer.time.sleep", found.append)
    return found


def test_a_greeting_waits_until_the_connection_is_open(
    announcer: AwsAnnouncer, posts: Stubber, pauses: list[float]
) -> None:
    for _ in range(2):
        posts.add_client_error("post_to_connection", "GoneException", http_status_code=410)
    posts.add_response("post_to_connection", {}, {"ConnectionId": "a=", "Data": DATA})
    announcer.greet("a=", MESSAGE)
    posts.assert_no_pending_responses()
    assert len(pauses) == 2


def test_a_greeting_gives_up_within_a_second(announcer: AwsAnnouncer, posts: Stubber, pauses: list[float]) -> None:
    for _ in range(20):
        posts.add_client_error("post_to_connection", "GoneException", http_status_code=410)
    announcer.greet("a=", MESSAGE)
    assert sum(pauses) < 1


def test_a_greeting_is_tried_for_as_long_whatever_it_meets(
    announcer: AwsAnnouncer, posts: Stubber, pauses: list[float], warned: list[Any]
) -> None:
    for _ in range(4):
        posts.add_client_error("post_to_connection", "LimitExceededException")
    posts.add_response("post_to_connection", {}, {"ConnectionId": "a=", "Data": DATA})
    announcer.greet("a=", MESSAGE)
    posts.assert_no_pending_responses()
    assert (len(pauses), warned) == (2, [])


def test_a_greeting_that_failed_is_no_error(
    announcer: AwsAnnouncer, posts: Stubber, pauses: list[float], warned: list[Any]
) -> None:
    for _ in range(20):
        posts.add_client_error("post_to_connection", "LimitExceededException")
    announcer.greet("a=", MESSAGE)
    assert warned == [{"a=": "LimitExceededException"}]


def test_a_greeting_that_nobody_answers_is_given_up(
    announcer: AwsAnnouncer, posts: Stubber, clock: FakeClock, pauses: list[float], warned: list[Any]
) -> None:
    def time_out(**asked: Any) -> None:
        clock.moment += PATIENCE
        raise ReadTimeoutError(endpoint_url="https://socket.example/live")

    client_of(posts).meta.events.register("before-call.apigatewaymanagementapi.PostToConnection", time_out)
    posts.deactivate()
    announcer.greet("a=", MESSAGE)
    assert (pauses, warned) == ([], [{"a=": "ReadTimeoutError"}])


def test_sending_to_a_connection_that_is_gone_is_no_error(announcer: AwsAnnouncer, posts: Stubber) -> None:
    posts.add_client_error("post_to_connection", "GoneException", http_status_code=410)
    announcer.send("z=", MESSAGE)
    posts.assert_no_pending_responses()


def test_a_send_that_failed_is_raised(announcer: AwsAnnouncer, posts: Stubber) -> None:
    for _ in range(2):
        posts.add_client_error("post_to_connection", "LimitExceededException")
    with pytest.raises(MessageRefused, match="LimitExceededException"):
        announcer.send("a=", MESSAGE)


@pytest.mark.parametrize("told", ["push", "send"])
def test_a_message_over_the_limit_goes_without_its_outputs(
    announcer: AwsAnnouncer, posts: Stubber, store: FakeStore, told: str
) -> None:
    message = {"type": "castUpdate", "payload": {"castId": "c1", "outputs": {"text": "x" * 200_000}}, "at": "now"}
    smaller = {"type": "castUpdate", "payload": {"castId": "c1"}, "at": "now", "truncated": True}
    data = json.dumps(smaller, separators=(",", ":")).encode()
    posts.add_response("post_to_connection", {}, {"ConnectionId": "c=", "Data": data})
    if told == "push":
        announcer.push("bob", message)
    else:
        announcer.send("c=", message)
    posts.assert_no_pending_responses()


def test_events_are_put_in_batches_of_ten(announcer: AwsAnnouncer, events: Stubber) -> None:
    events.add_response("put_events", taken(10), {"Entries": entries(0, 10)})
    events.add_response("put_events", taken(10), {"Entries": entries(10, 20)})
    events.add_response("put_events", taken(3), {"Entries": entries(20, 23)})
    announcer.publish(updates(23))
    events.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("together", "calls"),
    [(PUT_BYTES - 1, [2]), (PUT_BYTES, [1, 1]), (PUT_BYTES + 1, [1, 1])],
    ids=["256 KiB - 1", "256 KiB", "256 KiB + 1"],
)
def test_a_call_has_fewer_bytes_than_the_bus_takes(
    announcer: AwsAnnouncer, events: Stubber, together: int, calls: list[int]
) -> None:
    """Counted as EventBridge does: source, detail-type and detail, in UTF-8."""
    other = len("spellcast") + len("Cast Updated") + len('{"t":""}')
    half = together // 2
    texts = ["é" * ((half - other) // 2), "x" * (together - half - other)]
    texts[0] += "x" * (half - other - len(texts[0].encode()))
    sent = [Event("Cast Updated", {"t": text}) for text in texts]
    details = [json.dumps(event.detail, ensure_ascii=False, separators=(",", ":")) for event in sent]
    assert sum(len(f"spellcastCast Updated{detail}".encode()) for detail in details) == together
    entry = {"Source": "spellcast", "DetailType": "Cast Updated", "EventBusName": "spellcast-test"}
    expected = [{**entry, "Detail": detail} for detail in details]
    for count in calls:
        events.add_response("put_events", taken(count), {"Entries": expected[:count]})
        del expected[:count]
    announcer.publish(sent)
    events.assert_no_pending_responses()


def test_nothing_to_publish_is_no_call(announcer: AwsAnnouncer, events: Stubber) -> None:
    announcer.publish([])
    events.assert_no_pending_responses()


def test_an_entry_that_was_not_taken_is_raised(announcer: AwsAnnouncer, events: Stubber) -> None:
    refusal = {"FailedEntryCount": 1, "Entries": [{"EventId": "1"}, {"ErrorCode": "ThrottlingException"}]}
    events.add_response("put_events", refusal, {"Entries": entries(0, 2)})
    with pytest.raises(EventsRefused, match="1 events"):
        announcer.publish(updates(2))


def test_a_put_that_failed_is_raised(announcer: AwsAnnouncer, events: Stubber) -> None:
    events.add_client_error("put_events", "InternalException")
    with pytest.raises(ClientError, match="InternalException"):
        announcer.publish(updates(1))
