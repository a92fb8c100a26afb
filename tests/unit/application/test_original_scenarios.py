"""The worked scenarios of original-system.md §9, with the values given there; its "upstream slips" are not made.

S9 and S12 are in tests/integration/test_original_scenarios.py, since their effects lie outside of the process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from local.demo import progress_label
from spellcast.application.notify import Notify
from spellcast.domain import callback_tokens, results
from spellcast.domain.casts import Cast, CastFailure
from spellcast.domain.cost import cost_of
from spellcast.domain.documents import Document
from spellcast.domain.errors import GenerationNotFound, IllegalTransition, JobFailed
from spellcast.domain.generations import Generation
from spellcast.domain.money import ZERO, to_text
from spellcast.domain.payloads import normalise
from spellcast.domain.resources import cast_resource, generation_resource
from spellcast.domain.results import ToolResult, Usage
from spellcast.domain.tools import Tool
from tests.fakes.adapters import FakeAdapter
from tests.fakes.records import a_cast, a_generation
from tests.fakes.world import SIGNING_KEY, World, make_tool


class Workflows(FakeAdapter):
    """A provider with the callbacks that the original knew (original-system.md §6.4)."""

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, tool: Tool, now: datetime) -> ToolResult:
        told = json.loads(body)
        match told["status"]:
            case "success":
                return ToolResult("succeeded", normalise(told["outputs"]))
            case "failed":
                return results.failed(JobFailed(told["error"]))
        return ToolResult(
            "processing",
            progress=told.get("progress"),
            live_status=told.get("live_status"),
            is_queued=told["status"] == "queued",
        )


def workflow(tool_id: str, **fields: Document) -> Tool:
    """A Comfy workflow at $0.001 a second, which calls back. The original copied nothing."""
    costing = {"rateSource": "machine", "rate": "0.001", "unit": "second"}
    metadata = {"outputType": "image", "keepOutputs": False}
    return make_tool(tool_id, mode="webhook", inputSchema=fields, costingModel=costing, metadata=metadata)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(
        workflow("make", input_prompt={"type": "string"}),
        workflow("effect", input_prompt={"type": "string"}, input_image={"type": "image"}),
    )
    monkeypatch.setattr(made.adapter, "parse_webhook", Workflows().parse_webhook)
    return made


def call_back(world: World, generation: Generation, **told: Any) -> None:
    token = callback_tokens.sign(generation.generation_id, generation.deadline_at, SIGNING_KEY)
    world.receive_callback(token, {}, json.dumps({"run_id": generation.run_id, **told}).encode())


def pushed(world: World, kind: str) -> list[Document]:
    return [message["payload"] for _, message in world.announcer.pushed if message["type"] == kind]


# --- S3: a chain of pictures ---


@pytest.mark.parametrize("keyed", [False, True], ids=["elements", "keyed by node"])
def test_s3_webhook_image_chain(world: World, keyed: bool) -> None:
    """Each of the two jobs takes 30 s at $0.001 a second; the second gets the picture of the first."""
    steps: list[Document] = [
        {"id": "n1", "toolIdentifier": "make"},
        {
            "id": "n2",
            "toolIdentifier": "effect",
            "parameterMappings": {"input_prompt": {"type": "static", "value": "oil paint"}},
        },
    ]
    cast = world.cast_steps("chain", steps, {"prompt": "a cat"})
    expected = [{"input_prompt": "a cat"}, {"input_prompt": "oil paint", "input_image": "https://o/1.png"}]
    for position in range(2):
        world.execute(cast, position)
        generation = world.generation(cast, position)
        assert generation.request_payload == expected[position]
        assert generation.run_id == f"job-{position + 1}"
        call_back(world, generation, status="running", progress=0.5, live_status="Sampling")
        world.clock.advance(30)
        data = {"images": [{"url": f"https://o/{position + 1}.png"}]}
        call_back(
            world,
            generation,
            status="success",
            outputs={"9": {"node_meta": {}, "data": data}} if keyed else [{"data": data}],
        )
        world.process(cast, position)
    ended = world.settle(cast)
    assert (ended.status, len(ended.step_generation_ids)) == ("completed", 2)
    assert ended.outputs == {"images": [{"url": "https://o/2.png"}]}
    assert [to_text(world.generation(cast, position).cost_usd) for position in range(2)] == ["0.03", "0.03"]
    assert to_text(ended.cost_usd) == "0.06"
    first, second = pushed(world, "generationProgress")
    for progress, tool_id in ((first, "make"), (second, "effect")):
        told = {key: progress[key] for key in ("status", "progress", "liveStatus", "castId", "spellId", "toolId")}
        assert told == {
            "status": "running",
            "progress": 0.5,
            "liveStatus": "Sampling",
            "castId": cast.cast_id,
            "spellId": cast.spell_id,
            "toolId": tool_id,
        }


# --- S4: what a run costs ---


@pytest.mark.parametrize(
    ("rate", "milliseconds", "cost"),
    [
        pytest.param(("0.001", "second"), 30_000, "0.03", id="30 s at 0.001 a second"),
        pytest.param(("0.05", "request"), 0, "0.05", id="a request, no start"),
        pytest.param(("0.02", "run"), 0, "0.02", id="a run, no start"),
        pytest.param(("0.10", "fixed"), 0, "0.1", id="fixed, no start"),
        pytest.param(None, 30_000, "0", id="no rate: null there, 0 here"),
        pytest.param(("0.001", "second"), 0, "0", id="a second, no start or an end before it: null or 0 there, 0 here"),
    ],
)
def test_s4_the_original_s_cost_function(rate: tuple[str, str] | None, milliseconds: int, cost: str) -> None:
    costing = {"rateSource": "static", "staticCost": {"amount": rate[0], "unit": rate[1]}} if rate else None
    tool = make_tool("t", costingModel=costing)
    assert to_text(cost_of(tool, ToolResult("succeeded"), milliseconds, {})) == cost


PRICES = {
    "gpt-3.5-turbo": {"input": "0.0005", "output": "0.0015"},
    "gpt-4": {"input": "0.03", "output": "0.06"},
    "default": {"input": "0.0005", "output": "0.0015"},
}
TABLE = {"dall-e-3": {"1024x1024": {"standard": "0.04", "hd": "0.08"}, "1024x1792": {"standard": "0.08", "hd": "0.12"}}}


@pytest.mark.parametrize(
    ("inputs", "usage", "cost"),
    [
        ({"model": "gpt-3.5-turbo"}, Usage(25, 20), "0.0000425"),
        ({"model": "gpt-4o-mini"}, Usage(1_000, 500), "0.00125"),
        ({"model": "gpt-4"}, Usage(1_000, 500), "0.06"),
        ({"model": "gpt-4"}, Usage(0, 0), "0"),
        ({"size": "1024x1792", "quality": "hd"}, None, "0.12"),
        ({"size": "1024x1024", "quality": "unheard of"}, None, "0.04"),
        ({"size": "1x1"}, None, "0"),
    ],
)
def test_s4_the_providers_tables(inputs: Document, usage: Usage | None, cost: str) -> None:
    metadata: Document = {"tokenPrices": PRICES} if usage else {"costTable": TABLE}
    tool = make_tool("t", amount="0", unit="token" if usage else "request", metadata=metadata)
    assert to_text(cost_of(tool, ToolResult("succeeded", usage=usage), 0, inputs)) == cost


# --- S5: what a provider's callback tells clients ---


@pytest.mark.parametrize(
    ("told", "status", "label"),
    [
        ({"status": "queued", "progress": 0}, "queued", "Queued… 0%"),
        ({"status": "running", "progress": 0.47, "live_status": "Sampling…"}, "running", "Sampling… 47%"),
        ({"status": "running", "progress": 0.1}, "running", "Running… 10%"),
        ({"status": "running", "progress": 1}, "running", "Running… 100%"),
    ],
)
def test_s5_progress(world: World, told: Document, status: str, label: str) -> None:
    cast = world.cast("make", inputs={"prompt": "a cat"})
    world.execute(cast)
    generation = world.generation(cast, 0)
    call_back(world, generation, **told)
    ((account, message),) = world.announcer.pushed
    payload = message["payload"]
    assert (account, message["type"]) == ("alice", "generationProgress")
    assert payload["generationId"] == generation.generation_id
    assert (payload["status"], payload["progress"]) == (status, told["progress"])
    assert payload["liveStatus"] == told.get("live_status")
    assert progress_label(payload) == label


@pytest.mark.parametrize(
    ("told", "status", "outputs"),
    [
        (
            {"status": "success", "outputs": {"images": [{"url": "https://o/1.png"}]}},
            "completed",
            {"images": [{"url": "https://o/1.png"}]},
        ),
        ({"status": "failed", "error": "out of memory"}, "failed", {}),
    ],
)
def test_s5_the_end(world: World, told: Document, status: str, outputs: Document) -> None:
    cast = world.cast("make", inputs={"prompt": "a cat"})
    world.execute(cast)
    call_back(world, world.generation(cast, 0), **told)
    world.process(cast)
    Notify(world.announcer, world.links, world.clock)(world.generation(cast, 0))
    (update,) = pushed(world, "generationUpdate")
    assert (update["status"], update["outputs"]) == (status, outputs)
    assert update["error"] == told.get("error")


# --- S6: what becomes of a cast ---


def settled(cast: Cast, failure: CastFailure | None = None, cost: Decimal = ZERO) -> Cast:
    return cast.settled(
        cost_usd=cost, points=0, step_generation_ids=("g",), outputs=None, failure=failure, now=cast.deadline_at
    )


def test_s6_a_failed_cast_has_its_reason_and_its_time_and_was_not_completed() -> None:
    failed = settled(a_cast(), CastFailure("JOB_FAILED", "out of paint"))
    shown = cast_resource(failed)
    assert (shown["status"], shown["failureReason"]) == ("failed", "out of paint")
    assert "failedAt" in shown and "completedAt" not in shown


def test_s6_a_completed_cast_has_its_time() -> None:
    shown = cast_resource(settled(a_cast()))
    assert shown["status"] == "completed" and "completedAt" in shown and "failedAt" not in shown


def test_s6_every_change_stamps_updated_at_and_none_adds_a_cost_twice() -> None:
    before = a_cast()
    done = settled(before, cost=Decimal("0.0844825"))
    assert done.updated_at > before.updated_at
    with pytest.raises(IllegalTransition):
        settled(done)


def test_s6_costs_add_up_and_a_generation_counts_once(world: World) -> None:
    """The sequence of the original: 0.0000425, 0.08, 0.00444 make 0.0844825."""
    cast = world.cast("called", "called", "called")
    for position, cost in enumerate(("0.0000425", "0.08", "0.00444")):
        world.execute(cast, position)
        generation_id = world.generation(cast, position).generation_id
        for _ in range(2):
            world.complete_job(generation_id, results.succeeded("text", {"text": "t"}, cost_usd=Decimal(cost)))
            world.process(cast, position)
    ended = world.settle(cast)
    assert to_text(ended.cost_usd) == "0.0844825"
    assert ended.step_generation_ids == tuple(f"{cast.cast_id}.{position}.1" for position in range(3))


def test_s6_an_unknown_cast_is_none(world: World) -> None:
    assert world.store.get_cast("unknown") is None


# --- S7: when a completion continues the cast ---


@pytest.mark.parametrize(
    ("status", "continues"),
    [("completed", True), ("failed", True), ("processing", False)],
)
def test_s7_only_a_terminal_update_continues(world: World, status: str, continues: bool) -> None:
    cast = world.cast("called")
    world.execute(cast)
    generation = world.generation(cast, 0)
    told = {"completed": "success", "failed": "failed", "processing": "running"}[status]
    call_back(world, generation, status=told, outputs="t", error="no")
    assert world.machine.answers == ({"token": generation.generation_id} if continues else {})


def test_s7_what_was_delivered_is_not_applied_again(world: World) -> None:
    cast = world.cast("called")
    world.execute(cast)
    generation_id = world.generation(cast, 0).generation_id
    world.complete_job(generation_id, results.succeeded("text", {"text": "first"}))
    world.process(cast)
    world.settle(cast)
    written = len(world.store.writes)
    world.complete_job(generation_id, results.succeeded("text", {"text": "second"}))
    assert len(world.store.writes) == written
    assert generation_resource(world.generation(cast, 0))["outputs"] == {"text": "first"}


def test_s7_a_missing_record_is_an_error(world: World) -> None:
    with pytest.raises(GenerationNotFound):
        world.complete_job("c.0.1", results.succeeded("text", {"text": "t"}))


@pytest.mark.parametrize(("cost", "stored"), [("0.0042", "0.0042"), ("0", "0"), (None, "0")])
def test_s7_a_step_s_record_is_a_step_s_and_its_cost_exact(cost: str | None, stored: str) -> None:
    """The original stored an absent cost as '0' too; its `deliveryStrategy` of a spell's record is `spell_step`."""
    result = replace(results.succeeded("text", {"text": "t"}), cost_usd=None if cost is None else Decimal(cost))
    received = a_generation().received(result, a_generation().request_timestamp)
    done = received.completed(cost_usd=result.cost_usd or ZERO, points=0, now=received.request_timestamp)
    shown = generation_resource(done)
    assert (shown["costUsd"], shown["deliveryStrategy"], shown["deliveryStatus"]) == (stored, "spell_step", "sent")
