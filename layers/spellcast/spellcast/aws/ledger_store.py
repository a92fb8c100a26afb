"""Accounts' ledgers: a row for each closing of a cast that moved something, never changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from spellcast.aws.budget_store import settled_late
from spellcast.aws.table import Row, Table, from_cursor, to_cursor
from spellcast.domain import documents, money, times
from spellcast.domain.errors import Fault, InvalidInput, WriteConflict
from spellcast.domain.ledger import Entry, LedgerRow
from spellcast.ports.store import Page

LEDGER = "LEDGER"
_ROW_ID = re.compile(r"[0-9TZ:.-]{24}#[A-Za-z0-9_.#-]{1,90}")
_SOON = "~"  # sorts behind every time


@dataclass(frozen=True, slots=True)
class DynamoLedgerStore:
    """Implements `ports.store.LedgerStore`. A row's entries are short lists in one text: most rows are one unit."""

    table: Table

    def put_row(self, row: LedgerRow) -> None:
        """One write. Where the row exists it is the same row, since it is derived from what is stored."""
        try:
            self.table.create(_row(row))
        except WriteConflict:
            return

    def put_late_row(self, row: LedgerRow, day: str) -> None:
        """One transaction of two; one read where the row exists, or the day is being written."""
        while True:
            try:
                self.table.create_and_update(_row(row), settled_late(row.account_id, day, row.settled_usd))
            except WriteConflict:
                if self.table.get(_pk(row.account_id), row.row_id) is None:
                    continue
            return

    def list_rows(
        self, account_id: str, *, start: str, end: str | None, limit: int, cursor: str | None
    ) -> Page[LedgerRow]:
        """Latest first. Raises InvalidInput for a cursor that is none, or of a later period."""
        before, latest = None if cursor is None else from_cursor(cursor, _ROW_ID)[0], end or _SOON
        # DynamoDB refuses a place outside of what is asked for.
        if before is not None and before > latest:
            raise InvalidInput([Fault("cursor", "is of a later period than is asked for")])
        if before is not None and before < start:
            return Page([], None)  # a period that is counted from now has moved on since the last part
        found = self.table.between(_pk(account_id), start, latest, before=before, limit=limit + 1)
        rows = [_to_row(row) for row in found]
        listed = rows[:limit]
        return Page(listed, to_cursor(listed[-1].row_id) if len(rows) > limit else None)

    def all_rows(self, account_id: str, *, start: str, end: str | None) -> Iterator[LedgerRow]:
        """One question for each megabyte."""
        return map(_to_row, self.table.between(_pk(account_id), start, end or _SOON))


def _row(row: LedgerRow) -> Row:
    return {
        "pk": _pk(row.account_id),
        "sk": row.row_id,
        "entity": LEDGER,
        "scope": row.scope,
        "castId": row.cast_id,
        "at": times.to_text(row.at),
        "day": row.day,
        "entries": documents.to_text(
            [
                [entry.kind, _step(entry, row.cast_id), money.to_text(entry.amount_usd), entry.points]
                for entry in row.entries
            ]
        ),
    }


def _to_row(row: Row) -> LedgerRow:
    cast_id = row["castId"]
    return LedgerRow(
        account_id=row["pk"].removeprefix(f"{LEDGER}#"),
        scope=row["scope"],
        cast_id=cast_id,
        at=times.from_text(row["at"]),
        entries=tuple(
            Entry(kind, f"{cast_id}.{step}" if step else None, Decimal(amount), points)
            for kind, step, amount, points in documents.from_text(row["entries"])
        ),
        day=row.get("day"),
    )


def _step(entry: Entry, cast_id: str) -> str:
    """A generation's id without its cast's, which the row has once."""
    return (entry.generation_id or "").removeprefix(f"{cast_id}.")


def _pk(account_id: str) -> str:
    return f"{LEDGER}#{account_id}"
