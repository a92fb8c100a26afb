"""What deployments have written and sent, as recorded in tests/fixtures/histories; and a world in such a state."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from spellcast.aws.budget_store import DynamoBudgetStore
from spellcast.aws.cast_store import DynamoCastStore
from spellcast.aws.documents import DocumentStore
from spellcast.aws.lease_store import DynamoLeaseStore
from spellcast.aws.ledger_store import DynamoLedgerStore
from spellcast.aws.settings_store import DynamoSettingsStore
from spellcast.aws.spell_store import DynamoSpellStore
from spellcast.aws.table import Row, from_item
from spellcast.domain import times
from spellcast.domain.documents import Document
from spellcast.domain.results import Failure
from spellcast.domain.segments import Segment
from spellcast.domain.tools import Tool
from spellcast.ports.adapter import Request
from tests.fakes.crashes import Provider
from tests.fakes.world import World

FOLDER = Path(__file__).parents[1] / "fixtures" / "histories"
Item = dict[str, Any]
Found = TypeVar("Found")


@dataclass(frozen=True)
class History:
    """One cast, from its spell to its end, of a kind of `record.KINDS`.

    Each entry of `timeline` is one thing that happened, with its time: `rows` that were written at once, as DynamoDB
    has them; an `event` that a function was about to be given; what the state `machine` was told; or what a provider
    was `asked`.
    """

    name: str
    kind: str
    cast_id: str
    timeline: list[Document]
    objects: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, name: str) -> History:
        found = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
        return cls(name, found["kind"], found["castId"], found["timeline"], found["objects"])

    def write(self) -> None:
        """An entry a line: what a change of the code changes can be read."""
        lines = ",\n".join(json.dumps(entry, separators=(",", ":"), sort_keys=True) for entry in self.timeline)
        objects = json.dumps(self.objects, sort_keys=True)
        head = f'{{"kind": "{self.kind}", "castId": "{self.cast_id}",\n"objects": {objects},\n'
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / f"{self.name}.json").write_text(f'{head}"timeline": [\n{lines}\n]}}\n', "utf-8")

    def rows(self) -> Iterator[tuple[int, Item]]:
        """Every revision of every row, and how many entries there are with it."""
        for moment, entry in enumerate(self.timeline, start=1):
            for row in entry.get("rows", ()):
                yield moment, row

    def items_at(self, moment: int) -> dict[tuple[str, str], Item]:
        """The table after so many entries."""
        return {(row["pk"]["S"], row["sk"]["S"]): row for until, row in self.rows() if until <= moment}

    def documents(self) -> DocumentStore:
        """The bucket."""
        return DocumentStore(lambda: Bucket(self.objects), "bucket")  # type: ignore[arg-type,return-value]


@dataclass
class Bucket:
    """What `DocumentStore` needs of S3."""

    objects: Mapping[str, str]

    def get_object(self, Bucket: str, Key: str) -> Document:
        return {"Body": io.BytesIO(self.objects[Key].encode())}


@dataclass
class Items:
    """What stores need of a table in order to read."""

    items: Mapping[tuple[str, str], Item]

    def get(self, pk: str, sk: str) -> Row | None:
        item = self.items.get((pk, sk))
        return from_item(item) if item else None

    def query(self, pk: str, prefix: str = "") -> Iterator[Row]:
        return (from_item(self.items[key]) for key in sorted(self.items) if key[0] == pk and key[1].startswith(prefix))

    def between(self, pk: str, low: str, high: str, **_: Any) -> Iterator[Row]:
        return (row for row in self.query(pk) if low <= row["sk"] <= high)


def put_back(history: History, moment: int, world: World, provider: Provider) -> None:
    """The world as it was after so many entries; whoever was at work then is dead."""
    for entry in history.timeline[:moment]:
        world.clock.moment = times.from_text(entry["at"])
        if told := entry.get("machine"):
            _tell(world, told)
        if asked := entry.get("asked"):
            provider.asked.append(asked["generationId"])
            if run_id := asked.get("runId"):
                tool = world.store.get_tool("", asked["toolId"])
                assert isinstance(tool, Tool)
                provider.jobs[run_id] = Request(asked["generationId"], tool, {}, asked["callbackUrl"])
    items = history.items_at(moment)
    _fill(world, Items(items), items, history.documents())
    world.store.writes.clear()


def _tell(world: World, told: Document) -> None:
    match told:
        case {"start_cast": name, "segments": segments}:
            world.machine.casts.setdefault(name, [Segment(*segment) for segment in segments])
        case {"start_polling": generation_id, "execution": execution}:
            world.machine.start_polling(generation_id, execution)
        case {"answer": token, "generationId": generation_id}:
            world.machine.answer(token, generation_id)
        case {"refuse": token, "failure": failure}:
            world.machine.refuse(token, Failure(**failure))


def _fill(world: World, table: Any, items: Mapping[tuple[str, str], Item], documents: DocumentStore) -> None:
    """Reads the rows as the deployed stores do, into the store in memory."""
    store, casts, spells = world.store, DynamoCastStore(table, documents), DynamoSpellStore(table, documents)
    for (pk, sk), item in items.items():
        kind, _, name = pk.partition("#")
        match item["entity"]["S"]:
            case "CAST":
                store.create_cast(found(casts.get_cast(name)))
            case "GENERATION":
                _, step, attempt = sk.split("#")
                store.save_generation(found(casts.get_generation(f"{name}.{int(step)}.{int(attempt)}")), None)
            case "SPELL":
                store._spells[name] = found(spells.get_spell(name))
            case "SPELL_VERSION":
                number = int(sk.partition("#")[2])
                store._versions[name, number] = found(spells.get_version(name, number))
            case "SLUG":
                store._slugs[name] = found(spells.get_spell_by_slug(name)).spell_id
            case "DAY":
                store._days[name, sk] = DynamoBudgetStore(table).get_day(name, sk)
            case "LEDGER":
                for row in DynamoLedgerStore(table).all_rows(name, start="", end=None):
                    store.put_row(row)
            case "LEASES":
                leases = DynamoLeaseStore(table, world.clock).get_leases(name)
                store.leases[leases.scope] = leases
            case "SETTINGS":
                store.put_settings(name, DynamoSettingsStore(table, documents).get_settings(name))
            case entity:
                assert entity in ("RUN", "KEY"), f"who reads a row of {kind}?"


def found(record: Found | None) -> Found:
    """What is read by its own key."""
    assert record is not None, "a row is not found by its own key"
    return record
