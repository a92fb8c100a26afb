"""The sample's casts, replayed: every difference with its reason, and none for what nobody expected."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.replay_casts.recordings import read_export
from scripts.replay_casts.replay import Difference, replay
from spellcast.catalog import built_in_tools
from spellcast.domain.errors import InvalidInput

EXPORT: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "fixtures" / "original_export.json").read_text("utf-8")
)
CAPTION, DESCRIBE, PAINT, LOST, EVERYTHING, REVIVED, STUCK = range(7)
Change = Callable[[dict[str, Any]], Any]


def differences(cast: int, change: Change = lambda export: None) -> list[Difference]:
    export = copy.deepcopy(EXPORT)
    change(export)
    recordings = read_export(export)
    return replay(recordings.casts[cast], [*built_in_tools().values(), *recordings.tools])


def reasons(cast: int, change: Change = lambda export: None) -> dict[tuple[int | None, str], str | None]:
    return {(each.step_index, each.key): each.reason for each in differences(cast, change)}


@pytest.mark.parametrize("cast", [CAPTION, LOST])
def test_what_is_the_same_is_not_mentioned(cast: int) -> None:
    assert differences(cast) == []


EXPECTED = {
    (0, "prompt"): "row 1",
    (0, "instructions"): "row 2",
    (1, "generations"): "row 9",
    (1, "context.result"): "rewritten",
    (1, "context.n1_result"): "rewritten",
    (1, "input_prompt"): "LoRA triggers",
    (1, "costUsd"): "unbilled",
    (2, "context.images"): "row 5",
    (2, "context.n2_images"): "row 5",
    (2, "context.files"): "row 5",
    (2, "context.n2_files"): "row 5",
    (2, "context.input_video"): "row 5",
    (2, "costUsd"): "unbilled",
    (3, "input_image"): "row 4",
    (3, "strength"): "row 3",
    (3, "style"): "migrated step",
    (3, "costUsd"): "unbilled",
    (4, "appendText"): "hidden field",
    (5, "context.result"): "rewritten",
    (5, "context.n5_result"): "rewritten",
    (5, "imageUrl"): "media address",
    (6, "costUsd"): "price",
    (7, "context.result"): "rewritten",
    (7, "context.n7_result"): "rewritten",
    (7, "input_image"): "media address",
    (7, "factor"): "row 6",
    (7, "costUsd"): "row 10, unbilled",
    (None, "costUsd"): "row 9, unbilled, price",
}


def test_every_difference_that_is_meant_has_its_reason() -> None:
    assert reasons(EVERYTHING) == EXPECTED


def test_a_difference_shows_both_values() -> None:
    found = {(each.step_index, each.key): (each.recorded, each.ours) for each in differences(EVERYTHING)}
    assert found[0, "prompt"] == ("A dog", "A cat")
    assert found[0, "instructions"] == ("hello", None)
    assert found[3, "strength"] == (7, 0)
    assert found[3, "input_image"] == ("https://o/n3.png", "https://o/n2a.png")
    assert found[7, "costUsd"] == ("0.0028425000000000003", "0.03")
    assert found[None, "costUsd"] == ("0.0028425000000000004", "0.1218425")


@pytest.mark.parametrize(
    ("cast", "key", "reason"),
    [
        (PAINT, "costUsd", "unbilled"),
        (REVIVED, "status", "row 8"),
        (REVIVED, "costUsd", "failed run"),
        (STUCK, "status", "row 7"),
    ],
)
def test_how_casts_end_otherwise(cast: int, key: str, reason: str) -> None:
    assert reasons(cast)[None, key] == reason


def generation(export: dict[str, Any], number: int) -> dict[str, Any]:
    found: dict[str, Any] = export["generationOutputs"][number]
    return found


@pytest.mark.parametrize(
    ("cast", "place", "change"),
    [
        (CAPTION, (0, "imageUrl"), lambda e: generation(e, 0)["requestPayload"].update(imageUrl="https://o/2.png")),
        (CAPTION, (0, "captionType"), lambda e: generation(e, 0)["requestPayload"].pop("captionType")),
        (CAPTION, (0, "more"), lambda e: generation(e, 0)["requestPayload"].update(more=1)),
        (PAINT, (0, "toolIdentifier"), lambda e: e["tools"].pop(4)),
        (CAPTION, (0, "context.image"), lambda e: generation(e, 0)["metadata"]["pipelineContext"].update(image=1)),
        (CAPTION, (None, "status"), lambda e: e["casts"][0].update(status="failed")),
        (DESCRIBE, (1, "prompt"), lambda e: generation(e, 2)["requestPayload"].update(prompt="another")),
        (DESCRIBE, (1, "context.text"), lambda e: generation(e, 2)["metadata"]["pipelineContext"].pop("text")),
        (PAINT, (0, "costUsd"), lambda e: generation(e, 3).update(costUsd="0.05")),
        (DESCRIBE, (1, "context.text"), lambda e: generation(e, 1).update(responsePayload="only words")),
        (PAINT, (1, "style"), lambda e: generation(e, 4)["requestPayload"].pop("style")),
    ],
)
def test_what_nobody_expected_has_no_reason(cast: int, place: tuple[int | None, str], change: Change) -> None:
    assert reasons(cast, change).get(place, "not found") is None


def test_a_total_that_does_not_follow_from_its_steps_has_no_reason() -> None:
    def change(export: dict[str, Any]) -> None:
        generation(export, 1)["costUsd"] = "0.02"
        # No final record, as where a cast was interrupted.
        generation(export, 2)["deliveryStrategy"] = "spell_step"

    assert reasons(DESCRIBE, change)[None, "costUsd"] is None


def test_the_noise_of_binary_floats_is_row_10() -> None:
    found = reasons(CAPTION, lambda export: export["casts"][0].update(costUsd=0.004440000000000001))
    assert found == {(None, "costUsd"): "row 10"}


def test_the_noise_in_the_record_where_the_total_stands_is_row_10() -> None:
    found = reasons(DESCRIBE, lambda export: generation(export, 1).update(costUsd="0.00100000000000001"))
    assert found[1, "costUsd"] == "row 10"


def test_a_record_without_its_context_is_compared_without_it() -> None:
    def change(export: dict[str, Any]) -> None:
        for each in export["generationOutputs"]:
            del each["metadata"]["pipelineContext"]

    found = reasons(EVERYTHING, change)
    assert found == {place: reason for place, reason in EXPECTED.items() if not place[1].startswith("context.")}


def test_an_input_follows_its_context() -> None:
    """A wire that finds another value in another context differs for the context's reason."""

    def change(export: dict[str, Any]) -> None:
        wire = {"type": "nodeOutput", "nodeId": "n2", "outputKey": "images"}
        for each in export["generationOutputs"]:
            if each["metadata"]["spell"]["name"] == "Everything":
                each["metadata"]["spell"]["steps"][2] = {"id": "n3", "toolIdentifier": "plain"} | {
                    "parameterMappings": {"all": wire}
                }
        export["tools"].append(
            {"toolId": "plain", "service": "plain", "displayName": "Plain", "inputSchema": {"all": {"type": "list"}}}
        )
        generation(export, 9)["requestPayload"] = {"all": [{"url": "https://o/n2a.png"}]}

    assert reasons(EVERYTHING, change)[2, "all"] == "row 5"


def test_an_unresolved_wire_that_the_original_sent_as_it_was_is_refused_here_where_it_is_required() -> None:
    def change(export: dict[str, Any]) -> None:
        wire = {"type": "nodeOutput", "nodeId": "gone", "outputKey": "picture"}
        each = generation(export, 0)
        each["metadata"]["spell"]["steps"][0] |= {"parameterMappings": {}, "parameterOverrides": {"imageUrl": wire}}
        each["metadata"]["originalContext"]["parameterOverrides"] = {}
        each["metadata"]["pipelineContext"] = {}
        each["requestPayload"]["imageUrl"] = wire

    assert reasons(CAPTION, change) == {(0, "imageUrl"): "row 6"}


def test_a_wire_that_leads_nowhere_here_explains_nothing() -> None:
    def change(export: dict[str, Any]) -> None:
        wire = {"type": "nodeOutput", "nodeId": "gone", "outputKey": "kind"}
        each = generation(export, 0)
        each["metadata"]["spell"]["steps"][0] |= {"parameterOverrides": {"captionType": wire}}
        each["requestPayload"]["captionType"] = "of nobody knows where"

    assert reasons(CAPTION, change)[0, "captionType"] is None


def test_a_value_that_our_tool_would_refuse_is_told() -> None:
    def change(export: dict[str, Any]) -> None:
        export["tools"][4]["inputSchema"]["input_prompt"]["enum"] = ["Short"]

    (found,) = (each for each in differences(PAINT, change) if each.key == "input_prompt" and each.step_index == 0)
    assert (found.ours, found.reason) == ("INVALID_STEP_INPUT: is none of Short", None)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in items for place in paths(child, (*path, key)))]


PLACES = [path for path in paths(EXPORT) if path]
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["$oid", "$date", "$numberDecimal", "type", "url", "a"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@settings(max_examples=300)
@given(st.sampled_from(PLACES), ANYTHING)
def test_whatever_stands_in_an_export_it_is_refused_or_replayed(place: tuple[Any, ...], value: Any) -> None:
    export = copy.deepcopy(EXPORT)
    *way, last = place
    reduce(lambda node, key: node[key], way, export)[last] = value
    try:
        recordings = read_export(export)
    except InvalidInput as error:
        assert error.faults
        return
    for cast in recordings.casts:
        for each in replay(cast, [*built_in_tools().values(), *recordings.tools]):
            assert each.recorded != each.ours


def test_an_output_that_is_keyed_by_node_is_row_5() -> None:
    """S3: the original asked for the effect without the image that the step before had made."""

    def change(export: dict[str, Any]) -> None:
        first, second = generation(export, 3), generation(export, 4)
        keyed = {"9": {"node_meta": {"node_id": "9"}, "data": {"images": [{"url": "https://o/1.png"}]}}}
        first["responsePayload"] = keyed
        second["requestPayload"].pop("input_image")
        context = second["metadata"]["pipelineContext"]
        second["metadata"]["pipelineContext"] = {key: value for key, value in context.items() if "image" not in key} | {
            "9": keyed["9"],
            "n1_9": keyed["9"],
        }

    found = {key: reason for (step, key), reason in reasons(PAINT, change).items() if step == 1}
    assert found["input_image"] == "row 5"
    assert {reason for key, reason in found.items() if key != "costUsd"} == {"row 5"}
