"""Records a cast of every kind, as today's code writes it: `python -m tests.chaos.record` from the repository.

What lies in tests/fixtures/histories is what a deployment may hold when a new version takes it over. It is added to,
and recorded anew only where nothing that was deployed has written the old form.
"""

from __future__ import annotations

import io
import itertools
import json
import uuid
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from spellcast.application.record_event import RecordEvent
from spellcast.aws import documents as aws_documents
from spellcast.aws.access_store import DynamoAccessStore
from spellcast.aws.budget_store import DynamoBudgetStore
from spellcast.aws.cast_store import DynamoCastStore
from spellcast.aws.documents import DocumentStore
from spellcast.aws.event_store import DynamoEventStore
from spellcast.aws.history_store import DynamoHistoryStore
from spellcast.aws.lease_store import DynamoLeaseStore
from spellcast.aws.ledger_store import DynamoLedgerStore
from spellcast.aws.settings_store import DynamoSettingsStore
from spellcast.aws.spell_store import DynamoSpellStore
from spellcast.aws.table import Table
from spellcast.aws.tool_store import DynamoToolStore
from spellcast.domain import identifiers, results, times
from spellcast.domain.casts import Cast
from spellcast.domain.documents import MAX_ROW_BYTES, Document
from spellcast.domain.errors import JobFailed, ProviderUnavailable
from spellcast.domain.limits import Limits
from spellcast.domain.results import Failure, ToolResult
from spellcast.domain.segments import Segment
from spellcast.ports.adapter import Request
from spellcast.ports.machine import Execution
from spellcast.ports.store import Connection
from tests.chaos.handlers import Handlers
from tests.chaos.histories import History, Item
from tests.contract.deployment import BUCKET, TABLE, deployed, stored_rows
from tests.fakes.crashes import Provider, StepFunctions
from tests.fakes.machine import FakeMachine
from tests.fakes.media import FakeMediaStore
from tests.fakes.store import FakeStore
from tests.fakes.world import ACCOUNT, World, make_tool

# So that a large document is small in a fixture: where it lies, and how its row says so, is the same.
LARGE_BYTES = 400
RATES = {"free": "0", "paid": "0.01", "polled": "0.02", "called": "0.03", "paid-b": "0.05", "called-b": "0.09"}
WEBHOOK: dict[str, Any] = {"webhookUrl": "https://hooks.example/done", "webhookSecret": "a secret of the caster"}


def world_of(kind: Kind, through: Callable[[Any], Any] = lambda port: port) -> tuple[World, Provider]:
    """The world in which casts of this kind run, and its provider."""
    fallbacks = [
        make_tool("paid-b", "immediate", RATES["paid-b"], service="other"),
        make_tool("called-b", "webhook", RATES["called-b"], service="other"),
    ]
    world = World(*fallbacks, through=through)
    return world, kind.provider(world)


def drawing(world: World) -> Provider:
    return Provider(world, draws=True)


def failing(world: World) -> Provider:
    """Its jobs fail."""
    provider = Provider(world)
    world.adapter.on_poll = lambda run_id: results.failed(JobFailed("The model gave up."))
    return provider


def never(world: World) -> Provider:
    """Its jobs do not end."""
    provider = Provider(world)
    world.adapter.on_poll = lambda run_id: ToolResult("processing", progress=0.5)
    return provider


def busy(world: World) -> Provider:
    """The first provider begins nothing, the second does."""

    def refuse(request: Request) -> Any:
        raise ProviderUnavailable("Not now.", nothing_started=True)

    world.adapter.on_start = world.adapter.on_execute = refuse
    return Provider(world, adapter=world.other)


def limited(world: World) -> Provider:
    world.adapters.configured = Limits(jobs=1, account_requests=1)
    return Provider(world)


class Recorder:
    """A caster and the cloud around one cast, and what came to pass."""

    def __init__(self, kind: Kind, dynamodb: Any, s3: Any) -> None:
        self.timeline: list[Document] = []
        self.cast_id = ""
        self._dynamodb, self._s3 = dynamodb, s3
        self._known: dict[tuple[str, str], Item] = {}
        self.world, self.provider = world_of(kind, self._through)
        self.world.store = self._store  # type: ignore[assignment]
        self._store.leases = DynamoLeaseStore(self._store.table, self.world.clock)
        for adapter in (self.world.adapter, self.world.other):
            adapter.on_start, adapter.on_execute = self._asked(adapter.on_start), self._asked(adapter.on_execute)
        self.handlers = Handlers(self.world, self._event)
        self.machines = StepFunctions(self.handlers, self.provider)  # type: ignore[arg-type]

    def history(self, name: str) -> History:
        listed = self._s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        objects = {
            item["Key"]: self._s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read().decode() for item in listed
        }
        # A link is for whoever was given it.
        link = FakeMediaStore().link("").partition("?")[2]
        timeline = json.loads(json.dumps(self.timeline).replace(f"?{link}", ""))
        return History(name, name, self.cast_id, timeline, objects)

    # --- what a caster does ---

    def cast(self, *tools: str, spell: Sequence[Document] = (), **more: Any) -> None:
        """Casts a spell of these tools."""
        steps = list(spell) or [{"id": f"n{at}", "toolIdentifier": tool} for at, tool in enumerate(tools)]
        made, _, _ = self.world.create_spell(ACCOUNT, "a spell", "private", {"steps": steps})
        order = {"spell": made.spell_id, "inputs": {"prompt": "a cat"}, **more}
        self.cast_id = self.handlers.ask("POST", "/v1/casts", order, "the cast")["castId"]

    def run(self) -> Cast:
        """Its state machine, to its end."""
        return self.machines.run(self.cast_id, self.execution)

    @property
    def execution(self) -> str:
        found = self.world.store.get_cast(self.cast_id)
        assert found
        return found.execution_name

    @property
    def segments(self) -> list[Segment]:
        return self.world.machine.casts[self.execution]

    def tell_the_world(self) -> None:
        """The stream's newest image of the cast, and what follows from it on the bus."""
        key = (f"CAST#{self.cast_id}", "CAST")
        for event in self.handlers.announce(self._known[key]):
            self.handlers.deliver(event)

    # --- what is noted ---

    def _note(self, **entry: Any) -> None:
        self.timeline.append({"at": times.to_text(self.world.clock.now()), **entry})

    def _event(self, function: str, event: Document) -> None:
        self.world.clock.advance(1)
        if function != "notify":
            # The images that it is given are the rows.
            self._note(event=[function, event])

    def _through(self, port: Any) -> Any:
        if isinstance(port, FakeStore):
            self._store = _Stores(port, self._dynamodb, self._s3, self._note_rows)
            return self._store
        return _Told(port, self._note) if isinstance(port, FakeMachine) else port

    def _note_rows(self) -> None:
        found = {(row["pk"]["S"], row["sk"]["S"]): row for row in stored_rows(self._dynamodb)}
        if changed := [row for key, row in sorted(found.items()) if self._known.get(key) != row]:
            self._known = found
            self._note(rows=changed)

    def _asked(self, ask: Callable[[Request], Any]) -> Callable[[Request], Any]:
        def asked(request: Request) -> Any:
            answer = ask(request)
            entry = {"generationId": request.generation_id, "toolId": request.tool.tool_id}
            job = (
                {} if isinstance(answer, ToolResult) else {"runId": answer.run_id, "callbackUrl": request.callback_url}
            )
            self._note(asked={**entry, **job})
            return answer

        return asked


class _Stores:
    """The ports of the deployed stores in one object; after each call, what it wrote is noted."""

    def __init__(self, fake: FakeStore, dynamodb: Any, s3: Any, note: Callable[[], None]) -> None:
        self.table = table = Table(dynamodb, TABLE)
        documents = DocumentStore(lambda: s3, BUCKET)
        catalog = {tool.tool_id: tool for tool in fake.list_tools("")}
        self.leases: Any = None
        self._note = note
        self._access = DynamoAccessStore(table)
        self._stores = [
            DynamoCastStore(table, documents),
            DynamoSpellStore(table, documents),
            DynamoToolStore(table, documents, catalog),
            DynamoHistoryStore(table, catalog.keys()),
            DynamoSettingsStore(table, documents),
            DynamoEventStore(table, documents),
            DynamoBudgetStore(table),
            DynamoLedgerStore(table),
            self._access,
        ]

    @property
    def keys(self) -> _Keys:
        return _Keys(self._access)

    def __getattr__(self, name: str) -> Any:
        store = next(store for store in (*self._stores, self.leases) if hasattr(store, name))

        def call(*args: Any, **kwargs: Any) -> Any:
            answer = getattr(store, name)(*args, **kwargs)
            self._note()
            return answer

        return call


@dataclass
class _Keys:
    """As `FakeStore.keys` is written to."""

    access: DynamoAccessStore

    def __setitem__(self, fingerprint: str, key: Any) -> None:
        self.access.create_api_key(key)


@dataclass
class _Told:
    """The state machines, with a note of what they are told."""

    machine: FakeMachine
    note: Callable[..., None]

    def start_cast(self, cast: Cast, segments: Sequence[Segment]) -> None:
        self.machine.start_cast(cast, segments)
        self.note(machine={"start_cast": cast.execution_name, "segments": [list(segment) for segment in segments]})

    def start_polling(self, generation_id: str, execution: int) -> None:
        self.machine.start_polling(generation_id, execution)
        self.note(machine={"start_polling": generation_id, "execution": execution})

    def answer(self, task_token: str, generation_id: str) -> None:
        self.machine.answer(task_token, generation_id)
        self.note(machine={"answer": task_token, "generationId": generation_id})

    def refuse(self, task_token: str, failure: Failure) -> None:
        self.machine.refuse(task_token, failure)
        told = {"code": failure.code, "message": failure.message, "retryable": failure.retryable}
        self.note(machine={"refuse": task_token, "failure": told})

    def __getattr__(self, name: str) -> Any:
        return getattr(self.machine, name)


@dataclass(frozen=True)
class Kind:
    """How a cast of one kind comes to pass."""

    play: Callable[[Recorder], object]
    provider: Callable[[World], Provider] = Provider


def simply(*tools: str, **more: Any) -> Callable[[Recorder], None]:
    """Cast and run."""

    def play(recorder: Recorder) -> None:
        recorder.cast(*tools, **more)
        recorder.run()

    return play


def told(recorder: Recorder) -> None:
    recorder.cast("free", **WEBHOOK)
    recorder.run()
    recorder.tell_the_world()


def cancelled(recorder: Recorder) -> None:
    recorder.cast("paid", "polled", "free", **WEBHOOK)
    recorder.handlers.execute_step(recorder.cast_id, recorder.segments[0], "token-1", recorder.execution)
    recorder.handlers.ask("POST", f"/v1/casts/{recorder.cast_id}/cancel")
    recorder.tell_the_world()


def billed_late(recorder: Recorder) -> None:
    """Cancelled, and then its job is done all the same."""
    recorder.cast("called", "free")
    recorder.handlers.execute_step(recorder.cast_id, recorder.segments[0], "token-1", recorder.execution)
    recorder.handlers.ask("POST", f"/v1/casts/{recorder.cast_id}/cancel")
    recorder.tell_the_world()
    (request,) = recorder.provider.jobs.values()
    body = json.dumps({"status": "succeeded", "output": {"text": "late"}}).encode()
    token = request.callback_url.rpartition("/")[2]
    assert recorder.handlers.receive_callback(token, {"x-signature": "good"}, body) == 200


def over_budget(recorder: Recorder) -> None:
    """Resumed with a larger one."""
    recorder.cast("paid", "called", "free", budgetUsd="0.02")
    recorder.run()
    recorder.handlers.ask("POST", f"/v1/casts/{recorder.cast_id}/resume", {"budgetUsd": "1"}, "the resumption")
    recorder.run()


def daily_budget(recorder: Recorder) -> None:
    recorder.handlers.ask("PUT", "/v1/accounts/me/settings", {"tools": {}, "dailyBudgetUsd": "5"})
    recorder.cast("paid", "polled")
    recorder.run()


def retried(recorder: Recorder) -> None:
    """Its first step, with other inputs, and with it the second."""
    recorder.cast("paid", "called")
    recorder.run()
    path = f"/v1/generations/{recorder.cast_id}.0.1/retry"
    recorder.handlers.ask("POST", path, {"inputs": {"prompt": "a dog"}}, "the retry")
    recorder.run()


def cut_off(recorder: Recorder) -> None:
    """Its machine ended with the embedded cloud, while its job ran."""
    recorder.cast("free", "polled", "free")
    recorder.handlers.execute_step(recorder.cast_id, recorder.segments[0], "token-1", recorder.execution)
    cut = Execution(False, "States.ServiceRestart", "", was_cut_off=True)
    recorder.world.machine.ended[recorder.execution] = cut
    recorder.handlers.sweep()
    recorder.run()


def on_the_bus(recorder: Recorder) -> None:
    """Completed by an event."""
    recorder.cast("called", "free")
    recorder.handlers.execute_step(recorder.cast_id, recorder.segments[0], "token-1", recorder.execution)
    recorder.handlers.complete_on_bus(
        generationId=f"{recorder.cast_id}.0.1", status="succeeded", type="text", data={"text": "b"}, costUsd="0.007"
    )
    recorder.handlers.process_output(recorder.cast_id, recorder.segments)
    recorder.handlers.execute_step(recorder.cast_id, recorder.segments[1], "token-2", recorder.execution)
    recorder.handlers.process_output(recorder.cast_id, recorder.segments[1:])
    recorder.handlers.finalize_cost(recorder.cast_id, None, recorder.execution)


def no_cast(recorder: Recorder) -> None:
    """What else an account may have."""
    world, now = recorder.world, recorder.world.clock.now()
    spell, _, _ = world.create_spell(ACCOUNT, "a spell", "listed", {"steps": [{"toolIdentifier": "free"}]})
    world.grant_permission(ACCOUNT, spell.spell_id, "bob")
    world.update_spell(ACCOUNT, spell.spell_id, "another", "listed", {"steps": [{"toolIdentifier": "paid"}]})
    world.store.create_tool(ACCOUNT, make_tool("mine"))
    world.store.delete_tool(ACCOUNT, "mine")
    world.store.put_connection(Connection("an-id=", ACCOUNT, now, now + timedelta(hours=2)))
    RecordEvent(world.store, world.clock)(ACCOUNT, "button_pressed", {"button": "cast"}, "web", now, "a session")


FALLBACK = [
    {"id": "n0", "toolIdentifier": "paid", "fallbackTool": "paid-b"},
    {"id": "n1", "toolIdentifier": "called", "fallbackTool": "called-b"},
]
WIRED = [
    {"id": "n0", "toolIdentifier": "paid"},
    {
        "id": "n1",
        "toolIdentifier": "called",
        "parameterMappings": {"text": {"type": "nodeOutput", "nodeId": "n0", "outputKey": "text"}},
    },
]
KINDS = {
    "immediate": Kind(simply("free", "paid", "free")),
    "called": Kind(simply("called", metadata={"cookId": "cook-1"})),
    "polled": Kind(simply("polled")),
    "pictures": Kind(simply("paid", "polled", "called"), drawing),
    "failed": Kind(simply("paid", "polled", **WEBHOOK), failing),
    "timed-out": Kind(simply("free", "polled"), never),
    "told": Kind(told),
    "cancelled": Kind(cancelled),
    "billed-late": Kind(billed_late),
    "over-budget": Kind(over_budget),
    "daily-budget": Kind(daily_budget),
    "retried": Kind(retried),
    "large": Kind(simply(spell=WIRED, inputs={"prompt": "a cat " * 70})),
    "fallback": Kind(simply(spell=FALLBACK), busy),
    "limited": Kind(simply("paid", "polled"), limited),
    "cut-off": Kind(cut_off),
    "on-the-bus": Kind(on_the_bus),
    "no-cast": Kind(no_cast),
}


def record(name: str) -> History:
    """The same history every time."""
    numbers = itertools.count(1)
    drawn = SimpleNamespace(uuid4=lambda: uuid.UUID(int=next(numbers)), uuid5=uuid.uuid5, UUID=uuid.UUID)
    with (
        patch.object(identifiers, "uuid", drawn),
        patch.object(aws_documents, "MAX_ROW_BYTES", LARGE_BYTES if name == "large" else MAX_ROW_BYTES),
        deployed() as (dynamodb, s3),
        redirect_stdout(io.StringIO()),
    ):
        recorder = Recorder(KINDS[name], dynamodb, s3)
        KINDS[name].play(recorder)
        return recorder.history(name)


def main() -> None:
    for name in KINDS:
        record(name).write()


if __name__ == "__main__":
    main()
