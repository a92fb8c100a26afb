"""Whatever an older version has written or sent, this one reads, and goes on with (reliability.md, replay)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from spellcast.aws.access_store import DynamoAccessStore, to_connection
from spellcast.aws.budget_store import DynamoBudgetStore
from spellcast.aws.cast_store import DynamoCastStore
from spellcast.aws.event_store import DynamoEventStore
from spellcast.aws.history_store import DynamoHistoryStore
from spellcast.aws.lease_store import DynamoLeaseStore
from spellcast.aws.ledger_store import DynamoLedgerStore
from spellcast.aws.settings_store import DynamoSettingsStore
from spellcast.aws.spell_store import DynamoSpellStore
from spellcast.aws.table import Row, from_item, to_item
from spellcast.aws.tool_store import DynamoToolStore
from spellcast.domain import money
from spellcast.domain.casts import Cast
from spellcast.domain.errors import StepEndedInFailure
from spellcast.domain.spells import Spell
from spellcast.ports.machine import Execution
from tests.chaos.conftest import Defends
from tests.chaos.handlers import Handlers
from tests.chaos.histories import FOLDER, History, Item, Items, found, put_back
from tests.chaos.record import KINDS, RATES, Kind, world_of
from tests.fakes.clock import FakeClock
from tests.fakes.crashes import StepFunctions
from tests.fakes.world import ACCOUNT

NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
OF_CASTS = [name for name in NAMES if History.read(name).cast_id]
Key = tuple[str, str]


def test_there_is_one_of_every_kind_and_they_are_small() -> None:
    assert {History.read(name).kind for name in NAMES} == KINDS.keys()
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 300_000


@dataclass
class Written(Items):
    """What stores need of a table; what they write is kept apart."""

    written: dict[Key, Item] = field(default_factory=dict)

    def put(self, row: Row) -> None:
        self.written[row["pk"], row["sk"]] = to_item(row)

    def put_some(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self.put(row)

    def get_all(self, keys: Sequence[Key]) -> list[Row]:
        return [from_item(self.items[key]) for key in keys if key in self.items]

    create = put

    def replace(self, row: Row, revision: int) -> None:
        self.put(row)

    def create_all(self, rows: Iterable[Row], **_: Any) -> None:
        self.put_some(rows)


class Again:
    """Reads a row as it was at a moment by its store, and has the store write what it read.

    A method for each entity of the table, named after it.
    """

    def __init__(self, history: History, moment: int, item: Item) -> None:
        self.table: Any = Written(history.items_at(moment))
        self.item, self.place = item, (item["pk"]["S"], item["sk"]["S"])
        self.name, self.part = (text.partition("#")[2] for text in self.place)
        self.documents = history.documents()
        table: Any = self.table
        self.casts = DynamoCastStore(table, self.documents)
        self.spells = DynamoSpellStore(table, self.documents)
        self.access = DynamoAccessStore(table)

    def written(self) -> Item:
        """The row as it is written now."""
        getattr(self, self.item["entity"]["S"].lower())()
        found: Item = self.table.written[self.place]
        return found

    def cast(self) -> None:
        self.casts.create_cast(self.casts.to_cast(from_item(self.item), whole=False))

    def generation(self) -> None:
        self.casts.save_generation(self.casts.to_generation(from_item(self.item), whole=False), None)

    def spell(self) -> None:
        self._spell(found(self.spells.get_spell(self.name)))

    def slug(self) -> None:
        self._spell(found(self.spells.get_spell_by_slug(self.name)))

    def spell_version(self) -> None:
        self._spell(found(self.spells.get_spell(self.name)))

    def _spell(self, spell: Spell) -> None:
        self.spells.create_spell(spell, found(self.spells.get_version(spell.spell_id, int(self.part or spell.version))))

    def permission(self) -> None:
        self.spells.create_permission(found(self.spells.get_permission(self.name, self.part)))

    def tool(self) -> None:
        tools = DynamoToolStore(self.table, self.documents, {})
        tool = found(tools.recall_tool(self.name, self.part))
        self.table.items = {}
        tools.create_tool(self.name, tool)
        if self.item.get("deleted"):
            self.table.items = dict(self.table.written)
            assert tools.delete_tool(self.name, self.part)

    def run(self) -> None:
        tool_id, _, _ = self.name.rpartition("#")
        runs = DynamoHistoryStore(self.table, {tool_id})
        runs.record_runs(ACCOUNT, runs.list_runs(ACCOUNT, [tool_id])[tool_id])

    def settings(self) -> None:
        settings = DynamoSettingsStore(self.table, self.documents)
        settings.put_settings(self.name, settings.get_settings(self.name))

    def leases(self) -> None:
        leases = DynamoLeaseStore(self.table, FakeClock())
        leases.save_leases(leases.get_leases(self.name))
        # What nobody holds expires a while after now.
        self.table.written[self.place]["expiresAt"] = self.item["expiresAt"]

    def day(self) -> None:
        day = DynamoBudgetStore(self.table).get_day(self.name, self.place[1])
        # Days are changed, and never written whole.
        held = {f"held:{holder}": amount for holder, amount in day.held.items()}
        self.table.put({"pk": self.place[0], "sk": self.place[1], "entity": "DAY", "total": day.total_usd, **held})

    def ledger(self) -> None:
        ledger = DynamoLedgerStore(self.table)
        for row in ledger.all_rows(self.name, start="", end=None):
            ledger.put_row(row)

    def key(self) -> None:
        self.access.create_api_key(found(self.access.get_api_key(self.name)))

    def connection(self) -> None:
        self.access.put_connection(to_connection(from_item(self.item)))

    def event(self) -> None:
        events = DynamoEventStore(self.table, self.documents)
        events.create_event(found(events.get_event(self.name)))


def whole_ids(item: Item) -> tuple[str, ...]:
    """A cast's generations as they were first named in its row; now by step and attempt."""
    named = json.loads(item.get("stepGenerationIds", {"S": "[]"})["S"])
    return tuple(name for name in named if isinstance(name, str))


def test_every_row_is_read_and_written_as_it_was(defends: Defends) -> None:
    kinds: Counter[str] = Counter()
    for name in NAMES:
        history = History.read(name)
        for moment, item in history.rows():
            again = Again(history, moment, item)
            written = again.written()
            if whole := whole_ids(item):
                assert again.casts.to_cast(from_item(written), whole=False).step_generation_ids == whole
                item = {**item, "stepGenerationIds": written["stepGenerationIds"]}
            # There may be more in it than there was.
            assert {at: written.get(at) for at in item} == item, f"{name}, after {moment} entries"
            kinds[item["entity"]["S"]] += 1
    assert len(kinds) >= 15
    defends("I2, I5", "rows of an older version", f"{kinds.total()} revisions of rows of {len(kinds)} entities")


@pytest.mark.parametrize("name", NAMES)
def test_every_revision_can_still_be_announced(name: str) -> None:
    history = History.read(name)
    world, _ = world_of(KINDS[history.kind])
    handlers = Handlers(world)
    for _, item in history.rows():
        if item["entity"]["S"] in ("CAST", "GENERATION"):
            handlers.announce(item)
            _, message = world.announcer.pushed[-1]
            assert message["payload"]["revision"] == int(item["revision"]["N"])
        if item["entity"]["S"] == "CONNECTION":
            handlers.announce(item)
            assert world.announcer.sent[-1][1]["type"] == "connection_ack"


class Scene:
    """The world of a history at one of its moments; whoever was at work is dead."""

    def __init__(self, history: History, moment: int) -> None:
        kind: Kind = KINDS[history.kind]
        self.history, self.moment = history, moment
        self.world, self.provider = world_of(kind)
        put_back(history, moment, self.world, self.provider)
        self.handlers = Handlers(self.world)
        self.machines = StepFunctions(self.handlers, self.provider, tokens="again")  # type: ignore[arg-type]

    @property
    def cast(self) -> Cast | None:
        return self.world.store.get_cast(self.history.cast_id)

    @property
    def is_open(self) -> bool:
        return self.cast is not None and not self.cast.is_terminal

    def run(self) -> None:
        """The cast's newest execution, to its end."""
        assert self.cast
        self.machines.run(self.cast.cast_id, self.cast.execution_name)

    def sweep_until_closed(self) -> None:
        """Executions that a sweep begins are run."""
        for _ in range(3):
            known = set(self.world.machine.casts)
            if self.is_open:
                self.handlers.sweep()
            if set(self.world.machine.casts) - known and self.is_open:
                self.run()
        assert not self.is_open, self.told

    @property
    def told(self) -> str:
        return f"{self.history.name}, after {self.moment} entries: {self.cast}"

    def check(self) -> None:
        """Terminal, nothing asked twice that costs, and paid for what was asked."""
        loaded = self.world.store.load_cast(self.history.cast_id)
        assert loaded, self.told
        cast, generations = loaded
        assert cast.is_terminal, self.told
        assert cast.cost_usd == money.total(generation.cost_usd for generation in generations), self.told
        assert all(generation.is_terminal for generation in generations), self.told
        costs = {generation.generation_id for generation in generations if RATES[generation.tool_id] != "0"}
        asked = Counter(self.provider.asked)
        assert all(asked[generation_id] <= 1 for generation_id in costs), (self.told, asked)


def delivered_again(scene: Scene) -> None:
    """What was being done is done again, by whoever had it done; and its machine goes on from there."""
    events = [entry["event"] for entry in scene.history.timeline[: scene.moment] if "event" in entry]
    function, event = events[-1]
    try:
        scene.handlers(function, event)
    except StepEndedInFailure:
        pass
    if scene.is_open and scene.cast and scene.cast.execution_name in scene.world.machine.casts:
        _leave_out_what_is_done(scene, events)
        scene.run()
    scene.sweep_until_closed()


def _leave_out_what_is_done(scene: Scene, events: list[tuple[str, Any]]) -> None:
    """Segments that were processed are not executed again."""
    assert scene.cast
    segments = scene.world.machine.casts[scene.cast.execution_name]
    for function, event in events:
        if function == "execute_step" and event["execution"] == scene.cast.execution_name:
            begun = [list(segment) for segment in segments].index(event["segment"])
            scene.world.machine.casts[scene.cast.execution_name] = segments[begun:]


def swept(scene: Scene) -> None:
    """Its machines ended with the embedded cloud, which was started again with another version."""
    cut = Execution(False, "States.ServiceRestart", "", was_cut_off=True)
    scene.world.machine.ended = dict.fromkeys(scene.world.machine.casts, cut)
    scene.world.machine.forget_polling()
    scene.world.clock.advance(180)
    scene.sweep_until_closed()


def overdue(scene: Scene) -> None:
    """Nobody went on with it in its time, and its provider has forgotten it."""
    assert scene.cast
    scene.provider.jobs.clear()
    scene.world.clock.moment = scene.cast.deadline_at
    scene.world.clock.advance(1)
    scene.sweep_until_closed()


WAYS: list[tuple[str, Callable[[Scene], None]]] = [
    ("what was being done is done again", delivered_again),
    ("swept after a restart", swept),
    ("overdue", overdue),
]


@pytest.mark.parametrize(("way", "goes_on"), WAYS, ids=[way for way, _ in WAYS])
def test_an_open_cast_goes_on_from_every_moment_to_its_end(
    way: str, goes_on: Callable[[Scene], None], defends: Defends
) -> None:
    moments = 0
    for name in OF_CASTS:
        history = History.read(name)
        for moment in range(1, len(history.timeline) + 1):
            scene = Scene(history, moment)
            if scene.is_open:
                goes_on(scene)
                scene.check()
                moments += 1
    assert moments > 250
    size = f"{moments} moments of {len(OF_CASTS)} casts"
    defends("I1, I2", f"a new version takes over an older one's cast: {way}", size)


def test_an_event_of_every_function_was_recorded() -> None:
    functions = {entry["event"][0] for name in NAMES for entry in History.read(name).timeline if "event" in entry}
    assert functions == {
        *("cast_api", "complete_job", "execute_step", "finalize_cost", "poll_job", "process_output"),
        *("send_webhook", "sweep"),
    }
