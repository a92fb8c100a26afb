"""ports.store.EventStore: what callers log of their users."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain.user_events import UserEvent
from tests.contract import records
from tests.contract.deployment import stored_rows
from tests.contract.records import NOW, drawn
from tests.contract.stores import Cloud, Stores


def make_event(**changes: Any) -> UserEvent:
    values: dict[str, Any] = {
        "event_id": "e1",
        "account_id": "alice",
        "event_type": "spell_step_triggered",
        "event_data": {"spellId": "s1"},
        "source_platform": "web",
        "timestamp": NOW,
        **changes,
    }
    return UserEvent(**values)


events = st.builds(
    UserEvent,
    event_id=records.ids,
    account_id=records.texts,
    event_type=records.texts,
    event_data=records.documents,
    source_platform=records.texts,
    timestamp=records.moments,
    session_id=st.none() | records.texts,
)


@drawn
@given(event=events)
def test_an_event_comes_back_as_it_was_written(stores: Stores, event: UserEvent) -> None:
    stores.events.create_event(event)
    assert stores.events.get_event(event.event_id) == event


def test_what_was_not_logged_is_not_found(stores: Stores) -> None:
    assert stores.events.get_event("e1") is None


def test_its_row_is_where_the_architecture_says(cloud: Cloud) -> None:
    cloud.events.create_event(make_event(event_data={"text": "x" * 300_000}))
    (row,) = stored_rows(cloud.dynamodb)
    assert (row["pk"]["S"], row["sk"]["S"], row["entity"]["S"]) == ("EVENT#e1", "EVENT", "EVENT")
    assert row["eventData"]["S"].startswith("s3:documents/events/e1/")
