"""API keys and tickets by their fingerprints, and the open connections of an account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from spellcast.aws.table import Row, Table
from spellcast.domain import times
from spellcast.domain.identifiers import fingerprint
from spellcast.ports.store import Connection, Ticket

CONNECTION = "CONNECTION"


@dataclass(frozen=True, slots=True)
class DynamoAccessStore:
    """Implements `ports.store.AccessStore`. `expiresAt` is the table's time to live, in seconds since 1970."""

    table: Table

    def find_account(self, key_fingerprint: str) -> str | None:
        """The account of an API key."""
        row = self.table.get(f"KEY#{key_fingerprint}", "KEY")
        return row["accountId"] if row else None

    def put_api_key(self, key_fingerprint: str, account_id: str) -> None:
        """Only the fingerprint is stored."""
        self.table.put({"pk": f"KEY#{key_fingerprint}", "sk": "KEY", "entity": "KEY", "accountId": account_id})

    def put_ticket(self, ticket: Ticket) -> None:
        """Only the fingerprint is stored."""
        self.table.put(
            {
                "pk": f"TICKET#{fingerprint(ticket.secret)}",
                "sk": "TICKET",
                "entity": "TICKET",
                "accountId": ticket.account_id,
                "expiresAt": int(ticket.expires_at.timestamp()),
            }
        )

    def take_ticket(self, secret: str, now: datetime) -> str | None:
        """DynamoDB deletes expired rows late, so the time is compared here too."""
        row = self.table.take(f"TICKET#{fingerprint(secret)}", "TICKET")
        return row["accountId"] if row and row["expiresAt"] > now.timestamp() else None

    def put_connection(self, connection: Connection) -> None:
        """Its row leaves the table's stream, and the connection is acknowledged then."""
        self.table.put(
            {
                "pk": f"ACCOUNT#{connection.account_id}",
                "sk": f"{CONNECTION}#{connection.connection_id}",
                "entity": CONNECTION,
                "accountId": connection.account_id,
                "connectionId": connection.connection_id,
                "connectedAt": times.to_text(connection.connected_at),
                "expiresAt": int(connection.expires_at.timestamp()),
            }
        )

    def delete_connection(self, account_id: str, connection_id: str) -> None:
        """Harmless where it is gone."""
        self.table.take(f"ACCOUNT#{account_id}", f"{CONNECTION}#{connection_id}")

    def list_connections(self, account_id: str) -> list[Connection]:
        """Those that were opened and not closed."""
        return [to_connection(row) for row in self.table.query(f"ACCOUNT#{account_id}", f"{CONNECTION}#")]


def to_connection(row: Row) -> Connection:
    """A connection's row, from the table or from its stream."""
    return Connection(
        row["connectionId"],
        row["accountId"],
        times.from_text(row["connectedAt"]),
        datetime.fromtimestamp(row["expiresAt"], tz=UTC),
    )
