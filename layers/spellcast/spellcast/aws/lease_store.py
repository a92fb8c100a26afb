"""Places under the providers' limits: one row a scope, with everybody who holds one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from spellcast.aws.table import Row, Table
from spellcast.domain import documents
from spellcast.domain.limits import Leases
from spellcast.ports.clock import Clock

# A row in which nobody holds a place any more goes by itself.
_KEPT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DynamoLeaseStore:
    """Implements `ports.store.LeaseStore`. `expiresAt` is the table's time to live, in seconds since 1970."""

    table: Table
    clock: Clock

    def get_leases(self, scope: str) -> Leases:
        """One read."""
        row = self.table.get(_pk(scope), "LEASES")
        if row is None:
            return Leases(scope)
        held = documents.from_text(row["held"])
        return Leases(scope, row["revision"], {holder: _moment(expiry) for holder, expiry in held.items()})

    def save_leases(self, leases: Leases) -> None:
        """One write. Raises WriteConflict where the row is not at the revision before."""
        latest = max(leases.held.values(), default=self.clock.now())
        row: Row = {
            "pk": _pk(leases.scope),
            "sk": "LEASES",
            "entity": "LEASES",
            "revision": leases.revision,
            "held": documents.to_text({holder: round(expiry.timestamp()) for holder, expiry in leases.held.items()}),
            "expiresAt": int((latest + _KEPT).timestamp()),
        }
        if leases.revision == 1:
            self.table.create(row)
        else:
            self.table.replace(row, leases.revision - 1)


def _pk(scope: str) -> str:
    return f"LIMIT#{scope}"


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)
