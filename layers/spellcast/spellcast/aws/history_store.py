"""Samples of what runs of a tool cost: a row a slot, so that writers never meet and no partition is hot."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from spellcast.aws.table import Table
from spellcast.domain import times
from spellcast.domain.history import SLOTS, Run

RUN = "RUN"
# A price of last year says nothing of the next run's. Seconds since 1970, the table's time to live.
KEPT = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class DynamoHistoryStore:
    """Implements `ports.store.HistoryStore`. Built-in tools have one history, accounts' own tools each their own."""

    table: Table
    catalog: Collection[str]

    def record_runs(self, account_id: str, runs: Sequence[Run]) -> None:
        """Plain puts in one request."""
        self.table.put_some(
            [
                {
                    "pk": self._pk(account_id, run.tool_id, run.slot),
                    "sk": RUN,
                    "entity": RUN,
                    "costUsd": run.cost_usd,
                    "durationMs": run.duration_ms,
                    "at": times.to_text(run.at),
                    "expiresAt": int((run.at + KEPT).timestamp()),
                }
                for run in runs
            ]
        )

    def list_runs(self, account_id: str, tool_ids: Collection[str]) -> dict[str, list[Run]]:
        """The runs by tool, in the order of their slots."""
        places = {self._pk(account_id, tool_id, slot): (tool_id, slot) for tool_id in tool_ids for slot in range(SLOTS)}
        found: dict[str, list[Run]] = {tool_id: [] for tool_id in tool_ids}
        for row in self.table.get_all([(pk, RUN) for pk in places]):
            tool_id, slot = places[row["pk"]]
            run = Run(tool_id, slot, Decimal(row["costUsd"]), row["durationMs"], times.from_text(row["at"]))
            found[tool_id].append(run)
        return found

    def _pk(self, account_id: str, tool_id: str, slot: int) -> str:
        # No tool's id holds a slash, so that no account's name leads into another history.
        key = tool_id if tool_id in self.catalog else f"{account_id}/{tool_id}"
        return f"HISTORY#{key}#{slot}"
