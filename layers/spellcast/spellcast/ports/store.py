"""Where records live. Reads are consistent but for lists, which may lag a moment behind.

Every `save` is one write, on the condition that nobody wrote in between.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Generic, Protocol, TypeVar

from spellcast.domain.account_settings import AccountSettings
from spellcast.domain.budgets import Day, Reservation
from spellcast.domain.casts import Cast, CastStatus, OpenCast
from spellcast.domain.generations import Generation
from spellcast.domain.history import Run
from spellcast.domain.ledger import LedgerRow
from spellcast.domain.limits import Leases
from spellcast.domain.spells import Permission, Spell, SpellVersion
from spellcast.domain.tools import Tool
from spellcast.domain.user_events import UserEvent

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A part of a list, and the cursor at which the next part begins."""

    items: Sequence[Item]
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """An open WebSocket of an account."""

    connection_id: str
    account_id: str
    connected_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Ticket:
    """What lets one WebSocket in, once."""

    secret: str = field(repr=False)
    account_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept of an API key: its fingerprint, which is also its id, and until when it is good."""

    fingerprint: str
    account_id: str
    created_at: datetime
    expires_at: datetime | None = None  # in whole seconds
    version: int = 1

    def is_good(self, now: datetime) -> bool:
        """Whether it still speaks for its account."""
        return self.expires_at is None or now < self.expires_at


class CastStore(Protocol):
    """Casts and their generations. A document that should be there and is not raises DocumentLost."""

    def create_cast(self, cast: Cast) -> None:
        """Raises WriteConflict where the cast exists."""

    def get_cast(self, cast_id: str) -> Cast | None: ...

    def load_cast(self, cast_id: str, *, whole: bool = True) -> tuple[Cast, list[Generation]] | None:
        """The cast with its generations in the order of steps and attempts, in one read.

        Not whole, they have their large documents `unread`.
        """

    def list_casts(
        self,
        account_id: str,
        *,
        status: CastStatus | None,
        limit: int,
        cursor: str | None,
        spell_id: str | None = None,
    ) -> Page[Cast]:
        """The account's casts, latest first, their large documents `unread`.

        Raises InvalidInput for a cursor that is none.
        """

    def list_open_casts(self, before: datetime) -> Iterator[OpenCast]:
        """All accounts' open casts that were started before a moment, in no order; read as they are asked for."""

    def save_cast(self, cast: Cast, previous: Cast) -> None:
        """Raises WriteConflict where the row is not `previous` any more."""

    def erase_cast(self, cast_id: str) -> None:
        """With its generations, as if it had never been; harmless where it is gone."""

    def get_generation(self, generation_id: str) -> Generation | None: ...

    def save_generation(self, generation: Generation, previous: Generation | None) -> None:
        """Raises WriteConflict where the row is not `previous` any more; None means that there is no row."""


class EventStore(Protocol):
    """What the original's callers log of their users."""

    def create_event(self, event: UserEvent) -> None: ...

    def get_event(self, event_id: str) -> UserEvent | None: ...


class SpellStore(Protocol):
    """Spells and their versions."""

    def create_spell(self, spell: Spell, version: SpellVersion) -> None:
        """Writes all or nothing. Raises WriteConflict where the slug, the id or the version is taken."""

    def save_spell(self, spell: Spell, version: SpellVersion) -> None:
        """Writes a further version and its head, or nothing; the head's usage count stays as it is stored.

        Raises WriteConflict where the head is not that of the version before.
        """

    def count_usage(self, spell_id: str) -> None:
        """One more; nothing where there is no such head."""

    def delete_spell(self, spell: Spell) -> bool:
        """Deletes the head, keeps versions and slug; False where there is no such head."""

    def erase_spell(self, spell: Spell) -> None:
        """With its versions and its slug, as if it had never been; harmless where it is gone."""

    def get_spell(self, spell_id: str) -> Spell | None: ...

    def get_spell_by_slug(self, slug: str) -> Spell | None: ...

    def list_spells(self, account_id: str, *, limit: int, cursor: str | None) -> Page[Spell]:
        """The account's spells, latest first."""

    def get_version(self, spell_id: str, version: int) -> SpellVersion | None: ...

    def create_permission(self, permission: Permission) -> None:
        """Raises WriteConflict where the account has one for this spell."""

    def delete_permission(self, spell_id: str, account_id: str) -> None:
        """Harmless where it is gone."""

    def get_permission(self, spell_id: str, account_id: str) -> Permission | None: ...

    def list_permissions(self, spell_id: str) -> list[Permission]:
        """In the order of the accounts' ids."""


class ToolStore(Protocol):
    """The built-in tools and the accounts' own. A tool that was deleted is kept for the jobs that run with it."""

    def get_tool(self, account_id: str, identifier: str) -> Tool | None:
        """By display name or id."""

    def recall_tool(self, account_id: str, tool_id: str) -> Tool | None:
        """By id, also where it is deleted: the tool of a generation that exists."""

    def list_tools(self, account_id: str) -> list[Tool]:
        """The catalog's, then the account's own."""

    def create_tool(self, account_id: str, tool: Tool) -> None:
        """In the place of a deleted one of this id. Raises WriteConflict where the id is taken."""

    def delete_tool(self, account_id: str, tool_id: str) -> bool:
        """Deletes one of the account's own; False where there is no such tool."""


class HistoryStore(Protocol):
    """What runs cost: a sample for quotes, of which runs may be missing.

    All accounts' runs of a built-in tool are one history; of an account's own tool nobody else has any.
    """

    def record_runs(self, account_id: str, runs: Sequence[Run]) -> None:
        """Each run takes the place of the one in its slot; no two of them have the same. Repeating it is harmless."""

    def list_runs(self, account_id: str, tool_ids: Collection[str]) -> Mapping[str, Sequence[Run]]:
        """The sampled runs of each tool, in the order of their slots."""


class LeaseStore(Protocol):
    """Who holds places under the providers' limits."""

    def get_leases(self, scope: str) -> Leases:
        """Those of a scope; at revision 0 where nobody ever held one."""

    def save_leases(self, leases: Leases) -> None:
        """Raises WriteConflict where the row is not at the revision before."""


class SettingsStore(Protocol):
    """What accounts have set for themselves."""

    def get_settings(self, account_id: str) -> AccountSettings:
        """Empty where the account never set any."""

    def put_settings(self, account_id: str, settings: AccountSettings) -> None:
        """In the place of what was set before."""


class BudgetStore(Protocol):
    """What counts for accounts' days, and for which generations it is held until their casts are closed."""

    def get_day(self, account_id: str, day: str) -> Day:
        """Zero where nothing ever counted."""

    def reserve(
        self,
        account_id: str,
        generation_id: str,
        reservation: Reservation,
        most_usd: Decimal,
        before: Decimal | None = None,
    ) -> None:
        """Holds the amount. Raises WriteConflict where something else than `before` is held for the generation, or the
        day's total would be over `most_usd`.
        """

    def settle(self, account_id: str, generation_id: str, reservation: Reservation, cost_usd: Decimal) -> None:
        """Holds the cost instead. Raises WriteConflict where the reservation is not what is held any more."""

    def close(self, account_id: str, day: str, held: Mapping[str, Decimal], cost_usd: Decimal) -> None:
        """Holds nothing any more for these generations, which cost so much together.

        Raises WriteConflict where that is not what is held for them.
        """


class LedgerStore(Protocol):
    """Accounts' ledgers. Rows are never changed, and those of a period are from its first time, before its last."""

    def put_row(self, row: LedgerRow) -> None:
        """Harmless where it is there."""

    def put_late_row(self, row: LedgerRow, day: str) -> None:
        """The row, and with it what it settles as spent on the day; harmless where it is there."""

    def list_rows(
        self, account_id: str, *, start: str, end: str | None, limit: int, cursor: str | None
    ) -> Page[LedgerRow]:
        """Latest first. Raises InvalidInput for a cursor that is none."""

    def all_rows(self, account_id: str, *, start: str, end: str | None) -> Iterator[LedgerRow]:
        """Latest first."""


class AccessStore(Protocol):
    """API keys, WebSocket tickets and connections."""

    def get_api_key(self, fingerprint: str) -> ApiKey | None: ...

    def create_api_key(self, key: ApiKey) -> None: ...

    def replace_api_key(self, key: ApiKey, ended: ApiKey) -> None:
        """Both in one write. Raises WriteConflict where the old one is not at the version before, or is gone."""

    def delete_api_key(self, account_id: str, fingerprint: str) -> bool:
        """Whether the account had it: one write, on that condition."""

    def list_api_keys(self, account_id: str, *, limit: int, cursor: str | None) -> Page[ApiKey]:
        """Latest first. Raises InvalidInput for a cursor that is none."""

    def put_ticket(self, ticket: Ticket) -> None: ...

    def take_ticket(self, secret: str, now: datetime) -> str | None:
        """The ticket's account, to exactly one of those who ask; None if it is used, expired or unknown."""

    def put_connection(self, connection: Connection) -> None: ...

    def delete_connection(self, account_id: str, connection_id: str) -> None: ...

    def list_connections(self, account_id: str) -> list[Connection]: ...
