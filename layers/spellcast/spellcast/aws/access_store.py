"""API keys and tickets by their fingerprints, and the open connections of an account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from spellcast.aws.table import Row, Table
from spellcast.domain import times
from spellcast.domain.identifiers import fingerprint
from spellcast.ports.store import ApiKey, Connection, Page, Ticket

CONNECTION = "CONNECTION"
KEY = "KEY"


@dataclass(frozen=True, slots=True)
class DynamoAccessStore:
    """Implements `ports.store.AccessStore`. `expiresAt` is the table's time to live, in seconds since 1970."""

    table: Table

    def get_api_key(self, fingerprint: str) -> ApiKey | None:
        """As of now: what was revoked is unknown to the next request."""
        row = self.table.get(f"KEY#{fingerprint}", KEY)
        return _to_api_key(row) if row else None

    def create_api_key(self, key: ApiKey) -> None:
        """Only the fingerprint is stored."""
        self.table.create(_key_row(key))

    def replace_api_key(self, key: ApiKey, ended: ApiKey) -> None:
        """One transaction; the old one's end is also its row's."""
        self.table.create_all([_key_row(key)], newer=_key_row(ended))

    def delete_api_key(self, account_id: str, fingerprint: str) -> bool:
        """One write."""
        return self.table.delete_of(f"KEY#{fingerprint}", KEY, account_id)

    def list_api_keys(self, account_id: str, *, limit: int, cursor: str | None) -> Page[ApiKey]:
        """One query of the index, one batch read."""
        partition = f"ACCOUNT#{account_id}#KEYS"
        rows, following = self.table.list_index(partition, status=None, limit=limit, cursor=cursor, key="KEY#{id}/KEY")
        return Page([_to_api_key(row) for row in rows], following)

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


def _key_row(key: ApiKey) -> Row:
    created_at = times.to_text(key.created_at)
    return {
        "pk": f"KEY#{key.fingerprint}",
        "sk": KEY,
        "entity": KEY,
        "accountId": key.account_id,
        "createdAt": created_at,
        "version": key.version,
        "gsi1pk": f"ACCOUNT#{key.account_id}#KEYS",
        "gsi1sk": f"{created_at}#{key.fingerprint}",
        **({"expiresAt": int(key.expires_at.timestamp())} if key.expires_at else {}),
    }


def _to_api_key(row: Row) -> ApiKey:
    expires_at = row.get("expiresAt")
    return ApiKey(
        row["pk"].removeprefix("KEY#"),
        row["accountId"],
        times.from_text(row["createdAt"]),
        datetime.fromtimestamp(expires_at, tz=UTC) if expires_at is not None else None,
        row["version"],
    )


def to_connection(row: Row) -> Connection:
    """A connection's row, from the table or from its stream."""
    return Connection(
        row["connectionId"],
        row["accountId"],
        times.from_text(row["connectedAt"]),
        datetime.fromtimestamp(row["expiresAt"], tz=UTC),
    )
