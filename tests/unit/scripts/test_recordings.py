"""What an export may look like, and that everything wrong with it is named by its path."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from scripts.replay_casts.recordings import read_export
from spellcast.domain.errors import InvalidInput

SAMPLE = Path(__file__).parents[2] / "fixtures" / "original_export.json"
EXPORT: dict[str, Any] = json.loads(SAMPLE.read_text("utf-8"))
Change = Callable[[dict[str, Any]], Any]


def faults_of(change: Change) -> set[str]:
    export = copy.deepcopy(EXPORT)
    change(export)
    with pytest.raises(InvalidInput) as raised:
        read_export(export)
    return {fault.path for fault in raised.value.faults}


def test_casts_are_read_with_the_spell_that_they_ran_and_their_generations_in_order() -> None:
    export = copy.deepcopy(EXPORT)
    export["spells"] = [spell for spell in export["spells"] if spell["slug"] == "describe-65f0a1"]
    export["generationOutputs"].reverse()
    recordings = read_export(export)
    chain = next(cast for cast in recordings.casts if cast.version.name == "Paint")
    assert [step.position for step in chain.steps] == [0, 1]
    assert [step.tool_identifier for step in chain.version.steps] == ["comfy-make", "comfy-effect"]
    assert chain.inputs == {"prompt": "a cat", "input_prompt": "a cat"}
    assert chain.generation_ids == ("65f0a1b2c3d4e5f600001020", "65f0a1b2c3d4e5f600001021")


def test_plain_json_reads_as_the_extended_one_does() -> None:
    plain = json.loads(SAMPLE.read_text("utf-8"), object_hook=unwrapped)
    assert read_export(plain) == read_export(EXPORT)


def unwrapped(value: dict[str, Any]) -> Any:
    return next(iter(value.values())) if next(iter(value), "").startswith("$") else value


@pytest.mark.parametrize(
    ("value", "cost"),
    [
        ({"$numberDecimal": "0.0042"}, "0.0042"),
        ({"$numberDouble": "0.0042"}, "0.0042"),
        ({"$numberInt": "2"}, "2"),
        ({"$numberLong": "2"}, "2"),
        (0.1, "0.1"),
        ("0.012", "0.012"),
        (None, "0"),
    ],
)
def test_money_in_every_form_is_the_figure_that_was_meant(value: Any, cost: str) -> None:
    export = copy.deepcopy(EXPORT)
    export["casts"][0]["costUsd"] = value
    assert read_export(export).casts[0].cost_usd == Decimal(cost)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ({"$date": "2026-03-01T10:00:00Z"}, {"$date": "2026-03-01T10:00:30.500Z"}),
        ({"$date": 1772359200000}, {"$date": {"$numberLong": "1772359230500"}}),
        ("2026-03-01T10:00:00.000Z", "2026-03-01T11:00:30.500+01:00"),
    ],
)
def test_a_job_without_a_duration_took_the_time_between_its_start_and_its_answer(start: Any, end: Any) -> None:
    export = copy.deepcopy(EXPORT)
    generation = export["generationOutputs"][3]
    del generation["durationMs"]
    generation["metadata"]["jobStartTime"] = start
    generation["responseTimestamp"] = end
    assert read_export(export).casts[2].steps[0].duration_ms == 30_500


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda export: export.pop("casts"), "casts"),
        (lambda export: export.update(tools={}), "tools"),
        (lambda export: export["spells"].append("cats"), "spells[5]"),
        (lambda export: export["tools"][1].pop("service"), "tools[1].service"),
        (lambda export: export["tools"][1]["costingModel"]["staticCost"].update(amount="a lot"), "tools[1]"),
        (lambda export: export["casts"][2].pop("_id"), "casts[2]._id"),
        (lambda export: export["casts"][2].update(stepGenerationIds="g"), "casts[2].stepGenerationIds"),
        (lambda export: export["casts"][6].update(spellId={"$oid": "0" * 24}), "casts[6].spellId"),
        (lambda export: export["casts"][0].update(costUsd="much"), "casts[0].costUsd"),
        (lambda export: export["casts"][0].update(costUsd=True), "casts[0].costUsd"),
        (lambda export: export["casts"][0].update(costUsd=1e12), "casts[0].costUsd"),
        (lambda export: export["casts"][0].update(costUsd={"$numberDouble": "NaN"}), "casts[0].costUsd"),
        (lambda export: export["casts"][0].update(costUsd="NaN"), "casts[0].costUsd"),
        (lambda export: export["casts"][0].update(startedAt={"$date": "yesterday"}), "casts[0].startedAt"),
        (lambda export: export["casts"][0].update(_id={"$oid": 5}), "casts[0]._id"),
        (lambda export: export["spells"][1]["steps"][1].pop("toolIdentifier"), "spells[1].steps[1].toolIdentifier"),
        (lambda export: metadata(export)["spell"].update(steps="none"), "generationOutputs[0].metadata.spell.steps"),
        (
            lambda export: metadata(export)["spell"]["steps"][0].update(parameterMappings=[1]),
            "generationOutputs[0].metadata.spell.steps[0].parameterMappings",
        ),
        (
            lambda export: export["spells"][1]["steps"][0].update(toolVersion="newest"),
            "spells[1].steps[0].toolVersion",
        ),
        (lambda export: export["spells"][1].update(exposedInputs={"n1": "prompt"}), "spells[1].exposedInputs"),
        (
            lambda export: [
                export["generationOutputs"][0].pop("durationMs", None),
                export["generationOutputs"][0].update(requestTimestamp="monday", responseTimestamp="tuesday"),
            ],
            "generationOutputs[0].responseTimestamp",
        ),
        (lambda export: metadata(export)["spell"].update(steps=[]), "generationOutputs[0].metadata.stepIndex"),
        (lambda export: metadata(export).update(stepIndex=-1), "generationOutputs[0].metadata.stepIndex"),
        (lambda export: metadata(export).update(stepIndex=1), "generationOutputs[0].metadata.stepIndex"),
        (lambda export: metadata(export).update(stepIndex="0"), "generationOutputs[0].metadata.stepIndex"),
        (
            lambda export: export["generationOutputs"][0].update(requestPayload=[]),
            "generationOutputs[0].requestPayload",
        ),
        (
            lambda export: [metadata(export).pop("originalContext"), metadata(export).pop("pipelineContext")],
            "generationOutputs[0].metadata.originalContext.parameterOverrides",
        ),
    ],
)
def test_a_fault_is_named_by_its_path(change: Change, path: str) -> None:
    assert path in faults_of(change)


def metadata(export: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = export["generationOutputs"][0]["metadata"]
    return found


def test_every_fault_is_named_at_once() -> None:
    def change(export: dict[str, Any]) -> None:
        del export["tools"][0]["toolId"]
        del export["tools"][0]["service"]
        export["casts"][0]["costUsd"] = "much"

    assert faults_of(change) == {"tools[0].toolId", "tools[0].service", "casts[0].costUsd"}


@pytest.mark.parametrize("document", [None, [], "x", 1])
def test_what_is_no_export_at_all(document: Any) -> None:
    with pytest.raises(InvalidInput):
        read_export(document)


def test_generations_of_no_cast_are_left_alone() -> None:
    export = copy.deepcopy(EXPORT)
    export["generationOutputs"].append({"_id": {"$oid": "1" * 24}, "toolId": "comfy-make", "metadata": None})
    assert read_export(export) == read_export(EXPORT)
