"""The store's ports in memory. The contract suite holds it and DynamoDB to the same promises."""

from __future__ import annotations

import base64
import binascii
import re
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from spellcast.domain import money
from spellcast.domain.account_settings import AccountSettings
from spellcast.domain.budgets import Day, Reservation
from spellcast.domain.casts import Cast, CastStatus, OpenCast
from spellcast.domain.documents import MAX_ROW_BYTES, size
from spellcast.domain.errors import Fault, InvalidInput, WriteConflict
from spellcast.domain.generations import Generation
from spellcast.domain.history import Run
from spellcast.domain.ledger import LedgerRow
from spellcast.domain.limits import Leases
from spellcast.domain.spells import Permission, Spell, SpellVersion
from spellcast.domain.times import to_text
from spellcast.domain.tools import Tool
from spellcast.domain.user_events import UserEvent
from spellcast.ports.store import ApiKey, Connection, Page, Ticket

_MOST_CONFLICTS = 1_000
Record = TypeVar("Record", Cast, Generation)
# Who writes a day's row: threads of one test.
_one_at_a_time = threading.Lock()


class FakeStore:
    """Implements CastStore, EventStore, SpellStore, ToolStore, HistoryStore, LeaseStore, BudgetStore, LedgerStore,
    SettingsStore, AccessStore.

    `writes` lists every cast and generation written, in order. `meanwhile` holds what somebody else does just before
    the next writes: one entry before each of them.
    """

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        self.writes: list[Cast | Generation] = []
        self.meanwhile: deque[Callable[[], object]] = deque()
        self._conflicts = 0
        self.keys: dict[str, ApiKey] = {}
        self._catalog = {tool.tool_id: tool for tool in tools}
        self._casts: dict[str, Cast] = {}
        self._generations: dict[str, Generation] = {}
        self._events: dict[str, UserEvent] = {}
        self._spells: dict[str, Spell] = {}
        self._versions: dict[tuple[str, int], SpellVersion] = {}
        self._slugs: dict[str, str] = {}
        self._permissions: dict[tuple[str, str], Permission] = {}
        self._tools: dict[tuple[str, str], Tool] = {}
        self._runs: dict[tuple[str | None, str, int], Run] = {}
        self._deleted_tools: dict[tuple[str, str], Tool] = {}
        self.leases: dict[str, Leases] = {}
        self._days: dict[tuple[str, str], Day] = {}
        self._ledger: dict[tuple[str, str], LedgerRow] = {}
        self._settings: dict[str, AccountSettings] = {}
        self._tickets: dict[str, Ticket] = {}
        self._connections: dict[tuple[str, str], Connection] = {}

    # --- casts ---

    def create_cast(self, cast: Cast) -> None:
        self._let_others_write()
        if cast.cast_id in self._casts:
            raise self._conflict(cast.cast_id)
        self._casts[cast.cast_id] = cast
        self._written(cast)

    def get_cast(self, cast_id: str) -> Cast | None:
        return self._casts.get(cast_id)

    def load_cast(self, cast_id: str, *, whole: bool = True) -> tuple[Cast, list[Generation]] | None:
        cast = self._casts.get(cast_id)
        if cast is None:
            return None
        # Copied at once: another thread may write meanwhile.
        own = [generation for generation in list(self._generations.values()) if generation.cast_id == cast_id]
        own.sort(key=lambda generation: (generation.step_index, generation.attempt))
        return (cast, own) if whole else (in_row(cast), [in_row(generation) for generation in own])

    def list_casts(
        self,
        account_id: str,
        *,
        status: CastStatus | None,
        limit: int,
        cursor: str | None,
        spell_id: str | None = None,
    ) -> Page[Cast]:
        own = {
            f"{to_text(cast.started_at)}#{cast.cast_id}": in_row(cast)
            for cast in self._casts.values()
            if cast.account_id == account_id and status in (None, cast.status) and spell_id in (None, cast.spell_id)
        }
        return _page(own, limit, cursor)

    def list_open_casts(self, before: datetime) -> Iterator[OpenCast]:
        return iter([OpenCast.of(cast) for cast in self._casts.values() if cast.is_open and cast.started_at < before])

    def save_cast(self, cast: Cast, previous: Cast) -> None:
        self._let_others_write()
        known = self._casts.get(cast.cast_id)
        if known is None or known.revision != previous.revision:
            raise self._conflict(cast.cast_id)
        cast = read_again(cast, known)
        self._casts[cast.cast_id] = cast
        self._written(cast)

    def erase_cast(self, cast_id: str) -> None:
        self._casts.pop(cast_id, None)
        for generation in [found for found in self._generations.values() if found.cast_id == cast_id]:
            del self._generations[generation.generation_id]

    def get_generation(self, generation_id: str) -> Generation | None:
        return self._generations.get(generation_id)

    def save_generation(self, generation: Generation, previous: Generation | None) -> None:
        self._let_others_write()
        known = self._generations.get(generation.generation_id)
        if (known.revision if known else None) != (previous.revision if previous else None):
            raise self._conflict(generation.generation_id)
        generation = read_again(generation, known or generation)
        self._generations[generation.generation_id] = generation
        self._written(generation)

    def _let_others_write(self) -> None:
        if self.meanwhile:
            self.meanwhile.popleft()()

    def _written(self, record: Cast | Generation) -> None:
        self._conflicts = 0
        self.writes.append(record)

    def _conflict(self, record_id: str) -> WriteConflict:
        self._conflicts += 1
        # Whoever loses reads again and decides anew: a test that comes here would hang for ever.
        assert self._conflicts < _MOST_CONFLICTS, f"the same write of {record_id} is tried again and again"
        return WriteConflict(record_id)

    # --- events ---

    def create_event(self, event: UserEvent) -> None:
        self._events[event.event_id] = event

    def get_event(self, event_id: str) -> UserEvent | None:
        return self._events.get(event_id)

    # --- spells ---

    def create_spell(self, spell: Spell, version: SpellVersion) -> None:
        self._let_others_write()
        written = (version.spell_id, version.version) in self._versions
        if written or spell.slug in self._slugs or spell.spell_id in self._spells:
            raise self._conflict(spell.slug)
        self._slugs[spell.slug] = spell.spell_id
        self._spells[spell.spell_id] = spell
        self._versions[version.spell_id, version.version] = version

    def save_spell(self, spell: Spell, version: SpellVersion) -> None:
        self._let_others_write()
        known = self._spells.get(spell.spell_id)
        if known is None or known.version != spell.version - 1:
            raise self._conflict(spell.spell_id)
        self._spells[spell.spell_id] = replace(spell, usage_count=known.usage_count)
        self._versions[version.spell_id, version.version] = version

    def count_usage(self, spell_id: str) -> None:
        if known := self._spells.get(spell_id):
            self._spells[spell_id] = replace(known, usage_count=known.usage_count + 1)

    def delete_spell(self, spell: Spell) -> bool:
        return self._spells.pop(spell.spell_id, None) is not None

    def erase_spell(self, spell: Spell) -> None:
        self._slugs.pop(spell.slug, None)
        self._spells.pop(spell.spell_id, None)
        self._versions = {key: version for key, version in self._versions.items() if key[0] != spell.spell_id}

    def get_spell(self, spell_id: str) -> Spell | None:
        return self._spells.get(spell_id)

    def get_spell_by_slug(self, slug: str) -> Spell | None:
        return self._spells.get(self._slugs.get(slug, ""))

    def list_spells(self, account_id: str, *, limit: int, cursor: str | None) -> Page[Spell]:
        own = {
            f"{to_text(spell.created_at)}#{spell.spell_id}": spell
            for spell in self._spells.values()
            if spell.account_id == account_id
        }
        return _page(own, limit, cursor)

    def get_version(self, spell_id: str, version: int) -> SpellVersion | None:
        return self._versions.get((spell_id, version))

    def forget_version(self, spell_id: str, version: int) -> None:
        """The version's row is gone, as no caller can make it go."""
        del self._versions[spell_id, version]

    def create_permission(self, permission: Permission) -> None:
        key = (permission.spell_id, permission.account_id)
        if key in self._permissions:
            raise self._conflict(permission.spell_id)
        self._permissions[key] = permission

    def delete_permission(self, spell_id: str, account_id: str) -> None:
        self._permissions.pop((spell_id, account_id), None)

    def get_permission(self, spell_id: str, account_id: str) -> Permission | None:
        return self._permissions.get((spell_id, account_id))

    def list_permissions(self, spell_id: str) -> list[Permission]:
        return [permission for (of, _), permission in sorted(self._permissions.items()) if of == spell_id]

    # --- tools ---

    def get_tool(self, account_id: str, identifier: str) -> Tool | None:
        candidates = self.list_tools(account_id)
        return next((tool for tool in candidates if identifier in (tool.tool_id, tool.display_name)), None)

    def list_tools(self, account_id: str) -> list[Tool]:
        own = sorted((key, tool) for key, tool in self._tools.items() if key[0] == account_id)
        return [*self._catalog.values(), *(tool for _, tool in own)]

    def create_tool(self, account_id: str, tool: Tool) -> None:
        if (account_id, tool.tool_id) in self._tools:
            raise WriteConflict(tool.tool_id)
        self._tools[account_id, tool.tool_id] = tool

    def recall_tool(self, account_id: str, tool_id: str) -> Tool | None:
        key = (account_id, tool_id)
        return self._catalog.get(tool_id) or self._tools.get(key) or self._deleted_tools.get(key)

    def delete_tool(self, account_id: str, tool_id: str) -> bool:
        tool = self._tools.pop((account_id, tool_id), None)
        if tool is not None:
            self._deleted_tools[account_id, tool_id] = tool
        return tool is not None

    def forget_tool(self, account_id: str, tool_id: str) -> None:
        """The tool's row is gone, as no caller can make it go."""
        del self._tools[account_id, tool_id]

    # --- history ---

    def record_runs(self, account_id: str, runs: Sequence[Run]) -> None:
        for run in runs:
            self._runs[self._historian(account_id, run.tool_id), run.tool_id, run.slot] = run

    def list_runs(self, account_id: str, tool_ids: Collection[str]) -> dict[str, list[Run]]:
        return {
            tool_id: [
                run
                for (owner, known, _), run in sorted(self._runs.items(), key=lambda item: item[1].slot)
                if (owner, known) == (self._historian(account_id, tool_id), tool_id)
            ]
            for tool_id in tool_ids
        }

    def _historian(self, account_id: str, tool_id: str) -> str | None:
        return None if tool_id in self._catalog else account_id

    # --- leases ---

    def get_leases(self, scope: str) -> Leases:
        return self.leases.get(scope, Leases(scope))

    def save_leases(self, leases: Leases) -> None:
        if self.get_leases(leases.scope).revision != leases.revision - 1:
            raise self._conflict(leases.scope)
        self._conflicts = 0
        self.leases[leases.scope] = leases

    # --- settings ---

    def get_settings(self, account_id: str) -> AccountSettings:
        return self._settings.get(account_id, AccountSettings())

    def put_settings(self, account_id: str, settings: AccountSettings) -> None:
        self._settings[account_id] = settings

    # --- budgets and ledgers ---

    def get_day(self, account_id: str, day: str) -> Day:
        return self._days.get((account_id, day), Day())

    def reserve(
        self,
        account_id: str,
        generation_id: str,
        reservation: Reservation,
        most_usd: Decimal,
        before: Decimal | None = None,
    ) -> None:
        with _one_at_a_time:
            day = self.get_day(account_id, reservation.day)
            total = money.total([day.total_usd, reservation.amount_usd, -(before or Decimal(0))])
            if day.held.get(generation_id) != before or total > most_usd:
                raise WriteConflict(generation_id)
            held = {**day.held, generation_id: reservation.amount_usd}
            self._days[account_id, reservation.day] = Day(total, held)

    def settle(self, account_id: str, generation_id: str, reservation: Reservation, cost_usd: Decimal) -> None:
        with _one_at_a_time:
            day = self.get_day(account_id, reservation.day)
            if day.held.get(generation_id) != reservation.amount_usd:
                raise WriteConflict(generation_id)
            total = money.total([day.total_usd, cost_usd, -reservation.amount_usd])
            self._days[account_id, reservation.day] = Day(total, {**day.held, generation_id: cost_usd})

    def close(self, account_id: str, day: str, held: Mapping[str, Decimal], cost_usd: Decimal) -> None:
        with _one_at_a_time:
            known = self.get_day(account_id, day)
            if any(known.held.get(holder) != amount for holder, amount in held.items()):
                raise WriteConflict(day)
            rest = {holder: amount for holder, amount in known.held.items() if holder not in held}
            total = money.total([known.total_usd, cost_usd, -money.total(held.values())])
            self._days[account_id, day] = Day(total, rest)

    def put_row(self, row: LedgerRow) -> None:
        self._ledger.setdefault((row.account_id, row.row_id), row)

    def put_late_row(self, row: LedgerRow, day: str) -> None:
        with _one_at_a_time:
            if (row.account_id, row.row_id) not in self._ledger:
                self.put_row(row)
                known = self.get_day(row.account_id, day)
                total = money.total([known.total_usd, row.settled_usd])
                self._days[row.account_id, day] = replace(known, total_usd=total)

    def list_rows(
        self, account_id: str, *, start: str, end: str | None, limit: int, cursor: str | None
    ) -> Page[LedgerRow]:
        rows = {row.row_id: row for row in self.all_rows(account_id, start=start, end=end)}
        if cursor is not None and end is not None and _place(cursor) > end:
            raise InvalidInput([Fault("cursor", "is of a later period than is asked for")])
        return _page(rows, limit, cursor)

    def all_rows(self, account_id: str, *, start: str, end: str | None) -> Iterator[LedgerRow]:
        found = [
            row
            for (owner, row_id), row in list(self._ledger.items())
            if owner == account_id and start <= row_id < (end or "~")
        ]
        return iter(sorted(found, key=lambda row: row.row_id, reverse=True))

    # --- access ---

    def get_api_key(self, fingerprint: str) -> ApiKey | None:
        return self.keys.get(fingerprint)

    def create_api_key(self, key: ApiKey) -> None:
        if key.fingerprint in self.keys:
            raise self._conflict(key.fingerprint)
        self.keys[key.fingerprint] = key

    def replace_api_key(self, key: ApiKey, ended: ApiKey) -> None:
        self._let_others_write()
        known = self.keys.get(ended.fingerprint)
        if known is None or known.version != ended.version - 1:
            raise self._conflict(ended.fingerprint)
        self.create_api_key(key)
        self.keys[ended.fingerprint] = ended

    def delete_api_key(self, account_id: str, fingerprint: str) -> bool:
        known = self.keys.get(fingerprint)
        if known is None or known.account_id != account_id:
            return False
        del self.keys[fingerprint]
        return True

    def list_api_keys(self, account_id: str, *, limit: int, cursor: str | None) -> Page[ApiKey]:
        own = {
            f"{to_text(key.created_at)}#{key.fingerprint}": key
            for key in self.keys.values()
            if key.account_id == account_id
        }
        return _page(own, limit, cursor)

    def put_ticket(self, ticket: Ticket) -> None:
        self._tickets[ticket.secret] = ticket

    def take_ticket(self, secret: str, now: datetime) -> str | None:
        ticket = self._tickets.pop(secret, None)
        return ticket.account_id if ticket and ticket.expires_at > now else None

    def put_connection(self, connection: Connection) -> None:
        self._connections[connection.account_id, connection.connection_id] = connection

    def delete_connection(self, account_id: str, connection_id: str) -> None:
        self._connections.pop((account_id, connection_id), None)

    def list_connections(self, account_id: str) -> list[Connection]:
        return [connection for (owner, _), connection in sorted(self._connections.items()) if owner == account_id]


def in_row(record: Record) -> Record:
    """The record without its largest documents, until the rest has 200 KB."""
    documents = _large(record)
    sizes = {name: size(document) for name, document in documents.items() if document}
    unread = {}
    for name in sorted(sizes, key=sizes.__getitem__, reverse=True):
        if sum(sizes.values()) <= MAX_ROW_BYTES:
            break
        unread[name] = f"s3:documents/{name}"
        sizes[name] = len(unread[name])
    return replace(record, **_with(record, {**documents, **dict.fromkeys(unread)}), unread=unread) if unread else record


def read_again(record: Record, known: Record) -> Record:
    """The record as it is written over the known one: what was not read stays what it is."""
    kept = {name: document for name, document in _large(known).items() if name in record.unread}
    return replace(record, **_with(record, {**_large(record), **kept}), unread={}) if kept else record


def _large(record: Cast | Generation) -> dict[str, Any]:
    if isinstance(record, Cast):
        return {name: getattr(record, name) for name in ("inputs", "metadata", "settings", "overrides", "outputs")}
    payload = list(record.result.payload) if record.result else None
    return {
        "requestPayload": record.request_payload,
        "responsePayload": payload,
        "collection": record.collection,
    }


def _with(record: Cast | Generation, documents: dict[str, Any]) -> dict[str, Any]:
    if isinstance(record, Cast):
        return {name: document if name == "outputs" else document or {} for name, document in documents.items()}
    result = record.result
    return {
        "request_payload": documents["requestPayload"] or {},
        "result": result and replace(result, payload=tuple(documents["responsePayload"] or ())),
        "collection": documents["collection"] or {},
    }


def _place(cursor: str) -> str:
    try:
        place = base64.urlsafe_b64decode(cursor).decode()
    except (binascii.Error, ValueError):
        place = ""
    if not re.fullmatch(r"[^#/]+#[^/]+", place):
        raise InvalidInput([Fault("cursor", "is not a cursor of this list")])
    return place


def _page(items: dict[str, Any], limit: int, cursor: str | None) -> Page[Any]:
    keys: Sequence[str] = sorted(items, reverse=True)
    if cursor is not None:
        start = _place(cursor)
        keys = [key for key in keys if key < start]
    following = base64.urlsafe_b64encode(keys[limit - 1].encode()).decode() if len(keys) > limit else None
    return Page([items[key] for key in keys[:limit]], following)
