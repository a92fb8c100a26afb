"""What the contract's tests are given: the ports of one store, and moto's cloud for what only DynamoDB promises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spellcast.aws.access_store import DynamoAccessStore
from spellcast.aws.budget_store import DynamoBudgetStore
from spellcast.aws.cast_store import DynamoCastStore
from spellcast.aws.event_store import DynamoEventStore
from spellcast.aws.history_store import DynamoHistoryStore
from spellcast.aws.lease_store import DynamoLeaseStore
from spellcast.aws.ledger_store import DynamoLedgerStore
from spellcast.aws.settings_store import DynamoSettingsStore
from spellcast.aws.spell_store import DynamoSpellStore
from spellcast.aws.table import Table
from spellcast.aws.tool_store import DynamoToolStore
from spellcast.domain.tools import Tool
from spellcast.ports.store import (
    AccessStore,
    BudgetStore,
    CastStore,
    EventStore,
    HistoryStore,
    LeaseStore,
    LedgerStore,
    SettingsStore,
    SpellStore,
    ToolStore,
)
from tests.contract.records import make_own_tool

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

CATALOG = {tool.tool_id: tool for tool in (make_own_tool("built-in", "Built In"), make_own_tool("other", "Other"))}


@dataclass(frozen=True)
class Stores:
    """The ports of one store."""

    casts: CastStore
    spells: SpellStore
    tools: ToolStore
    history: HistoryStore
    settings: SettingsStore
    access: AccessStore
    events: EventStore
    leases: LeaseStore
    days: BudgetStore
    ledger: LedgerStore
    catalog: dict[str, Tool]


@dataclass(frozen=True)
class Cloud:
    """moto's table and bucket, with the stores on them."""

    dynamodb: DynamoDBClient
    s3: S3Client
    table: Table
    casts: DynamoCastStore
    spells: DynamoSpellStore
    tools: DynamoToolStore
    history: DynamoHistoryStore
    settings: DynamoSettingsStore
    access: DynamoAccessStore
    events: DynamoEventStore
    leases: DynamoLeaseStore
    days: DynamoBudgetStore
    ledger: DynamoLedgerStore
