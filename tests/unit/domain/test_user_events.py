from __future__ import annotations

from spellcast.domain.user_events import UserEvent
from tests.fakes.clock import START


def test_an_event_is_told_in_the_originals_shape_with_its_session_where_it_has_one() -> None:
    event = UserEvent(
        event_id="e1",
        account_id="alice",
        event_type="login",
        event_data={"from": "web"},
        source_platform="web",
        timestamp=START,
    )
    document = {
        "_id": "e1",
        "eventId": "e1",
        "masterAccountId": "alice",
        "eventType": "login",
        "eventData": {"from": "web"},
        "sourcePlatform": "web",
        "timestamp": "2026-01-31T12:00:00.000Z",
    }
    assert event.document() == document
    in_session = UserEvent(
        event_id="e1",
        account_id="alice",
        event_type="login",
        event_data={"from": "web"},
        source_platform="web",
        timestamp=START,
        session_id="s1",
    )
    assert in_session.document() == {**document, "sessionId": "s1"}
