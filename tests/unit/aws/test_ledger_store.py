"""What the ledger's store asks DynamoDB, which refuses a start outside of what is asked for; moto does not."""

from __future__ import annotations

from typing import Any

import pytest

from spellcast.aws.ledger_store import DynamoLedgerStore
from spellcast.aws.table import Table, to_cursor
from spellcast.domain.errors import InvalidInput
from tests.unit.aws.stubs import client_of, stubbed

PERIOD: Any = {"start": "2026-03-01T00:00:00.000Z", "end": "2026-03-31T00:00:00.000Z", "limit": 10}


@pytest.mark.parametrize(
    ("at", "outcome"),
    [
        ("2026-02-28T23:59:59.999Z", "nothing is left"),
        ("2026-03-01T00:00:00.000Z", "asked"),
        ("2026-03-30T23:59:59.999Z", "asked"),
        ("2026-03-31T00:00:00.000Z", "refused"),
    ],
)
def test_no_start_outside_of_the_period_is_asked_for(at: str, outcome: str) -> None:
    stub = stubbed("dynamodb")
    started: list[str] = []

    def note(params: Any, **_: Any) -> None:
        started.append(params["ExclusiveStartKey"]["sk"]["S"])

    client_of(stub).meta.events.register("provide-client-params.dynamodb.Query", note)
    stub.add_response("query", {"Items": []})
    store, place = DynamoLedgerStore(Table(client_of(stub), "t")), f"{at}#c1#1"
    if outcome == "refused":
        with pytest.raises(InvalidInput, match="cursor: is of a later period"):
            store.list_rows("alice", cursor=to_cursor(place), **PERIOD)
    else:
        page = store.list_rows("alice", cursor=to_cursor(place), **PERIOD)
        assert (page.items, page.cursor) == ([], None)
    assert started == ([place] if outcome == "asked" else [])
