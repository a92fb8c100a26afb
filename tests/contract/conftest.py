"""The two stores that keep the same promises."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from spellcast.aws.access_store import DynamoAccessStore
from spellcast.aws.budget_store import DynamoBudgetStore
from spellcast.aws.cast_store import DynamoCastStore
from spellcast.aws.clock import SystemClock
from spellcast.aws.documents import DocumentStore
from spellcast.aws.event_store import DynamoEventStore
from spellcast.aws.history_store import DynamoHistoryStore
from spellcast.aws.lease_store import DynamoLeaseStore
from spellcast.aws.ledger_store import DynamoLedgerStore
from spellcast.aws.settings_store import DynamoSettingsStore
from spellcast.aws.spell_store import DynamoSpellStore
from spellcast.aws.table import Table
from spellcast.aws.tool_store import DynamoToolStore
from tests.contract.deployment import BUCKET, TABLE, deployed
from tests.contract.stores import CATALOG, Cloud, Stores
from tests.fakes.store import FakeStore


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with deployed() as (dynamodb, s3):
        table = Table(dynamodb, TABLE)
        documents = DocumentStore(lambda: s3, BUCKET)
        yield Cloud(
            dynamodb,
            s3,
            table,
            DynamoCastStore(table, documents),
            DynamoSpellStore(table, documents),
            DynamoToolStore(table, documents, CATALOG),
            DynamoHistoryStore(table, CATALOG.keys()),
            DynamoSettingsStore(table, documents),
            DynamoAccessStore(table),
            DynamoEventStore(table, documents),
            DynamoLeaseStore(table, SystemClock()),
            DynamoBudgetStore(table),
            DynamoLedgerStore(table),
        )


@pytest.fixture(params=["fake", "dynamodb"])
def stores(request: pytest.FixtureRequest) -> Stores:
    if request.param == "fake":
        fake = FakeStore(CATALOG.values())
        return Stores(fake, fake, fake, fake, fake, fake, fake, fake, fake, fake, CATALOG)
    cloud: Cloud = request.getfixturevalue("cloud")
    return Stores(
        cloud.casts,
        cloud.spells,
        cloud.tools,
        cloud.history,
        cloud.settings,
        cloud.access,
        cloud.events,
        cloud.leases,
        cloud.days,
        cloud.ledger,
        CATALOG,
    )
