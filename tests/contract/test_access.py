"""ports.store.AccessStore: keys, tickets and connections."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain.identifiers import fingerprint
from spellcast.ports.store import Connection, Ticket
from tests.contract import records
from tests.contract.records import NOW, drawn, new_id
from tests.contract.stores import Cloud, Stores

# A time to live is in whole seconds.
SOON = (NOW + timedelta(seconds=60)).replace(microsecond=0)


def test_a_key_leads_to_its_account(stores: Stores) -> None:
    stores.access.put_api_key(fingerprint("a key"), "alice")
    assert stores.access.find_account(fingerprint("a key")) == "alice"
    assert stores.access.find_account(fingerprint("another key")) is None
    assert stores.access.find_account("a key") is None


def test_a_ticket_lets_one_in(stores: Stores) -> None:
    stores.access.put_ticket(Ticket("secret", "alice", SOON))
    assert stores.access.take_ticket("another", NOW) is None
    assert stores.access.take_ticket("secret", NOW) == "alice"
    assert stores.access.take_ticket("secret", NOW) is None


def test_an_expired_ticket_lets_nobody_in_and_stays_used(stores: Stores) -> None:
    stores.access.put_ticket(Ticket("secret", "alice", SOON))
    assert stores.access.take_ticket("secret", SOON) is None
    assert stores.access.take_ticket("secret", NOW) is None


def test_a_ticket_is_good_until_its_last_second(stores: Stores) -> None:
    stores.access.put_ticket(Ticket("secret", "alice", SOON))
    assert stores.access.take_ticket("secret", SOON - timedelta(milliseconds=1)) == "alice"


def test_only_the_fingerprint_of_a_ticket_is_stored(cloud: Cloud) -> None:
    cloud.access.put_ticket(Ticket("a secret ticket", "alice", SOON))
    assert "a secret ticket" not in str(cloud.dynamodb.scan(TableName=cloud.table.name)["Items"])


@drawn
@given(connected_at=records.moments, expires_at=records.moments, connection_id=st.text(min_size=1, max_size=12))
def test_a_connection_comes_back_as_it_was_written(
    stores: Stores, connected_at: datetime, expires_at: datetime, connection_id: str
) -> None:
    connection = Connection(connection_id, new_id(), connected_at, expires_at.replace(microsecond=0))
    stores.access.put_connection(connection)
    assert stores.access.list_connections(connection.account_id) == [connection]


def test_connections_are_listed_until_they_are_deleted_and_to_their_account_only(stores: Stores) -> None:
    first, second = (Connection(name, "alice", NOW, SOON) for name in ("a=", "b="))
    theirs = Connection("a=", "bob", NOW, SOON)
    for connection in (first, second, theirs):
        stores.access.put_connection(connection)
    assert stores.access.list_connections("alice") == [first, second]
    stores.access.delete_connection("alice", "a=")
    stores.access.delete_connection("alice", "a=")
    assert stores.access.list_connections("alice") == [second]
    assert stores.access.list_connections("bob") == [theirs]
    assert stores.access.list_connections("nobody") == []


def test_connecting_twice_is_one_connection(stores: Stores) -> None:
    connection = Connection("a=", "alice", NOW, SOON)
    stores.access.put_connection(connection)
    stores.access.put_connection(connection)
    assert stores.access.list_connections("alice") == [connection]
