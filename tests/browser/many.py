"""An account that has cast much."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from spellcast.application.issue_api_key import IssueApiKey
from spellcast.aws.access_store import DynamoAccessStore
from spellcast.aws.cast_store import DynamoCastStore
from spellcast.aws.clock import SystemClock
from spellcast.aws.documents import DocumentStore
from spellcast.aws.table import Table
from spellcast.domain.casts import CastFailure
from tests.cloud import Cloud
from tests.contract.records import NOW, make_cast

FAILURE = CastFailure("JOB_FAILED", "The provider's job failed.")


def table_of(cloud: Cloud) -> Table:
    return Table(cloud.aws("dynamodb"), cloud.outputs["tableName"])


def key_of(cloud: Cloud, account_id: str) -> str:
    """A new API key of an account."""
    return IssueApiKey(DynamoAccessStore(table_of(cloud)), SystemClock())(account_id)


def many_casts(cloud: Cloud, account_id: str, number: int) -> None:
    """Ended casts, a minute apart, written as they are stored: nothing runs for them. Every tenth has failed."""
    store = DynamoCastStore(table_of(cloud), DocumentStore(lambda: cloud.aws("s3"), ""))
    for place in range(number):
        began = NOW + timedelta(minutes=place)
        ended = began + timedelta(seconds=4)
        cast = make_cast(
            account_id=account_id, spell_name=f"Cast {place}", started_at=began, cost_usd=Decimal("0.0125")
        )
        if place % 10:
            cast = replace(cast, status="completed", completed_at=ended)
        else:
            cast = replace(cast, status="failed", failed_at=ended, failure=FAILURE)
        store.create_cast(cast)
