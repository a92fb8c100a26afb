"""ports.store.AccessStore: keys, tickets and connections."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain.errors import WriteConflict
from spellcast.domain.identifiers import fingerprint
from spellcast.ports.store import ApiKey, Connection, Ticket
from tests.contract import records
from tests.contract.records import NOW, drawn, new_id
from tests.contract.stores import Cloud, Stores

# A time to live is in whole seconds.
SOON = (NOW + timedelta(seconds=60)).replace(microsecond=0)


def a_key(secret: str = "a key", account_id: str = "alice", **more: Any) -> ApiKey:
    return ApiKey(fingerprint(secret), account_id, NOW, **more)


@pytest.mark.parametrize("expires_at", [None, SOON])
def test_a_key_comes_back_as_it_was_written(stores: Stores, expires_at: datetime | None) -> None:
    key = a_key(expires_at=expires_at)
    stores.access.create_api_key(key)
    assert stores.access.get_api_key(fingerprint("a key")) == key
    assert stores.access.get_api_key(fingerprint("another key")) is None
    assert stores.access.get_api_key("a key") is None
    with pytest.raises(WriteConflict):
        stores.access.create_api_key(a_key(account_id="bob"))


def test_a_key_is_replaced_in_one_write(stores: Stores) -> None:
    stores.access.create_api_key(a_key())
    ended = a_key(expires_at=SOON, version=2)
    stores.access.replace_api_key(a_key("a new key"), ended)
    assert stores.access.get_api_key(fingerprint("a key")) == ended
    assert stores.access.get_api_key(fingerprint("a new key")) == a_key("a new key")


def test_of_two_who_replace_a_key_at_once_one_wins(stores: Stores) -> None:
    stores.access.create_api_key(a_key())
    ended = a_key(expires_at=SOON, version=2)
    stores.access.replace_api_key(a_key("first"), ended)
    with pytest.raises(WriteConflict):
        stores.access.replace_api_key(a_key("second"), replace(ended, expires_at=None))
    assert stores.access.get_api_key(fingerprint("second")) is None
    assert stores.access.get_api_key(fingerprint("a key")) == ended


def test_a_revoked_key_is_not_replaced(stores: Stores) -> None:
    with pytest.raises(WriteConflict):
        stores.access.replace_api_key(a_key("a new key"), a_key(expires_at=SOON, version=2))
    assert stores.access.get_api_key(fingerprint("a new key")) is None


def test_a_key_is_deleted_by_its_account_only_and_once(stores: Stores) -> None:
    stores.access.create_api_key(a_key())
    assert not stores.access.delete_api_key("bob", fingerprint("a key"))
    assert stores.access.get_api_key(fingerprint("a key"))
    assert stores.access.delete_api_key("alice", fingerprint("a key"))
    assert not stores.access.delete_api_key("alice", fingerprint("a key"))
    assert stores.access.get_api_key(fingerprint("a key")) is None


def test_an_accounts_keys_are_listed_latest_first(stores: Stores) -> None:
    own = [replace(a_key(str(number)), created_at=NOW + timedelta(seconds=number)) for number in range(3)]
    for key in (*own, a_key("theirs", "bob")):
        stores.access.create_api_key(key)
    first = stores.access.list_api_keys("alice", limit=2, cursor=None)
    assert list(first.items) == [own[2], own[1]]
    second = stores.access.list_api_keys("alice", limit=2, cursor=first.cursor)
    assert (list(second.items), second.cursor) == ([own[0]], None)


def test_only_the_fingerprint_of_a_key_is_stored(cloud: Cloud) -> None:
    cloud.access.create_api_key(a_key("a secret key"))
    assert "a secret key" not in str(cloud.dynamodb.scan(TableName=cloud.table.name)["Items"])


def test_a_ticket_is_taken_by_one_of_those_who_bring_it_at_once(stores: Stores) -> None:
    stores.access.put_ticket(Ticket("secret", "alice", SOON))
    together = Barrier(8)

    def take(_: int) -> str | None:
        together.wait()
        return stores.access.take_ticket("secret", NOW)

    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(take, range(8)))
    assert sorted(map(str, taken)) == ["None"] * 7 + ["alice"]


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
