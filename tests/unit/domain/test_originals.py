from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain import originals, results
from spellcast.domain.documents import Document
from spellcast.domain.errors import (
    Fault,
    InvalidGenerationRecord,
    InvalidInput,
    JobFailed,
    SpellcastError,
    SpellNotExecutable,
)
from spellcast.domain.results import ToolResult

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


class DriversId:
    """As a database driver hands them over."""

    def __str__(self) -> str:
        return "65f1"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("", None),
        ({}, None),
        ("65f1", "65f1"),
        ({"$oid": "65f1"}, "65f1"),
        (DriversId(), "65f1"),
        (7, "7"),
    ],
    ids=str,
)
def test_an_id_is_its_text(value: Any, text: str | None) -> None:
    assert originals.id_text(value) == text


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        (None, None),
        ({}, None),
        (0, "0"),
        ("0.0042", "0.0042"),
        (4.25e-05, "0.0000425"),
        (0.1 + 0.2, "0.3"),
        ({"$numberDecimal": "1E-7"}, "0.0000001"),
        (Decimal("1.50"), "1.5"),
        (10**11, "100000000000"),
    ],
    ids=str,
)
def test_an_amount_is_exact_to_twelve_places(value: Any, amount: str | None) -> None:
    assert originals.amount("costUsd", value) == (None if amount is None else Decimal(amount))


@pytest.mark.parametrize(
    "value",
    [
        *("", "x", "NaN", "Infinity", -1, "-0.1", "-0", True, [], {"amount": 1}, 1e12, float("inf")),
        pytest.param(10**5000, id="5001 digits"),
    ],
    ids=str,
)
def test_what_is_no_amount_is_refused_by_its_path(value: Any) -> None:
    with pytest.raises(InvalidInput) as raised:
        originals.amount("costDeltaUsd", value)
    assert [fault.path for fault in raised.value.faults] == ["costDeltaUsd"]


TEXT = {"type": "text", "data": {"text": "a"}}
IMAGE = {"type": "image", "data": {"images": [{"url": "https://o/1.png"}]}}


@pytest.mark.parametrize(
    ("response", "payload"),
    [
        (None, []),
        ({}, []),
        ("a", [TEXT]),
        ({"text": "a"}, [TEXT]),
        ({"result": "a"}, [{"type": "text", "data": {"result": "a", "text": "a"}}]),
        (IMAGE["data"], [IMAGE]),
        ({"9": IMAGE["data"]}, [IMAGE]),
        ([TEXT, IMAGE], [TEXT, IMAGE]),
        ([{"data": {"text": "a"}}], [TEXT]),
        (7, [{"type": "unknown", "data": 7}]),
    ],
    ids=str,
)
def test_a_record_may_hold_its_output_in_every_shape(response: Any, payload: list[Document]) -> None:
    assert list(originals.record_result({"status": "completed", "responsePayload": response}).payload) == payload


@pytest.mark.parametrize("duration", [-1, 1.5, True, "1", 10**12 + 1])
def test_what_is_no_duration_is_refused(duration: Any) -> None:
    with pytest.raises(InvalidInput) as raised:
        originals.record_result({"status": "completed", "durationMs": duration})
    assert [fault.path for fault in raised.value.faults] == ["durationMs"]


@given(
    record=st.dictionaries(
        st.sampled_from(["status", "responsePayload", "costUsd", "metadata", "durationMs"]), json_values
    )
)
def test_any_record_is_a_final_result_or_refused(record: Document) -> None:
    for status in ("completed", "failed", record.get("status")):
        try:
            result = originals.record_result({**record, "status": status})
        except InvalidInput as error:
            assert error.faults
        else:
            assert isinstance(result, ToolResult) and result.is_final


@given(
    document=st.dictionaries(st.sampled_from(["steps", "exposedInputs", "visibility", "isPublic", "name"]), json_values)
)
def test_any_document_is_read_as_a_body(document: Document) -> None:
    body = originals.spell_body(document)
    assert body["visibility"] in ("private", "listed", "public")
    assert isinstance(body["steps"], list)


@given(metadata=json_values, more=st.dictionaries(st.sampled_from(["_id", "generationId"]), json_values))
def test_any_record_has_an_id_or_is_refused(metadata: Any, more: Document) -> None:
    try:
        assert originals.check_record({"metadata": metadata, **more})
    except SpellcastError as error:
        assert error.code == "INVALID_GENERATION_RECORD"


@given(context=st.dictionaries(st.text(max_size=8) | st.just("webhookSecret"), json_values))
def test_a_secret_is_never_kept(context: Document) -> None:
    kept = originals.context_metadata({**context, "more": [{"webhookSecret": "s", "a": context}]})
    assert "'webhookSecret'" not in repr(kept)
    assert originals.is_json(kept)


@pytest.mark.parametrize("value", [None, "", {}, [], ["a"], True, 1.5, {"$oid": ["a"]}, "a" * 201])
def test_a_cast_needs_an_account(value: Any) -> None:
    with pytest.raises(InvalidInput) as raised:
        originals.account_of({"masterAccountId": value})
    assert raised.value.faults == (Fault("context.masterAccountId", "says whose cast it is, and is missing or no id"),)
    assert originals.account_of({"masterAccountId": {"$oid": "a" * 200}}) == "a" * 200


LOOP: dict[str, Any] = {}
LOOP["again"] = [LOOP]


@pytest.mark.parametrize("value", [float("nan"), {"x": {1, 2}}, "\ud800", object(), LOOP, {1: "a", "b": "c"}])
def test_what_json_cannot_hold_is_not_kept(value: Any) -> None:
    assert not originals.is_json(value)


def test_a_context_is_kept_without_what_json_cannot_hold() -> None:
    assert originals.context_metadata({"platform": "web", "loop": LOOP, "keys": {1: 2, "a": 3}}) == {"platform": "web"}


def test_a_mapping_of_no_known_kind_is_left_for_whoever_checks_the_shape() -> None:
    mappings = {"a": {"type": {"x": 1}}, "b": {"type": "static", "value": 1}, "c": "raw", "d": {}, "e": None}
    (step,) = originals.spell_body({"steps": [{"toolIdentifier": "t", "parameterMappings": mappings}]})["steps"]
    assert step["parameterMappings"] == {key: mappings[key] for key in "abcd"}


@pytest.mark.parametrize("levels", [originals.MAX_DEPTH, originals.MAX_DEPTH + 1])
def test_what_nests_deeper_than_people_write_is_not_kept(levels: int) -> None:
    value: Any = "a"
    for _ in range(levels):
        value = {"b": value}
    assert originals.is_json(value) == (levels == originals.MAX_DEPTH)


def test_what_nests_too_deep_to_be_written_is_not_kept() -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    assert not originals.is_json(value)
    while value:
        value = value.pop()


def test_a_spells_own_id_and_owner_are_read_first() -> None:
    assert originals.spell_id_of({"_id": {"$oid": "1"}, "spellId": "2"}) == "1"
    assert originals.spell_id_of({"spellId": "2"}) == "2"
    assert originals.spell_id_of({}) is None
    assert originals.owner_of({"ownedBy": "alice", "creatorId": "bob"}) == "alice"
    assert originals.owner_of({"creatorId": {"$oid": "bob"}}) == "bob"
    assert originals.owner_of({}) is None


def test_a_tool_may_go_by_its_old_key() -> None:
    assert originals.tool_identifier({"toolIdentifier": "new", "toolId": "old"}) == "new"
    assert originals.tool_identifier({"toolId": "old"}) == "old"
    assert not originals.tool_identifier({})


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([], 'Invalid stepIndex 0 for spell "s" with 0 steps'),
        ([{"toolId": "t"}, None], 'Step at index 1 is undefined in spell "s"'),
        ([{"toolId": "t"}, {}], 'Step 1 in spell "s" is missing toolIdentifier'),
        ([{"stepId": 7}], 'Step 7 in spell "s" is missing toolIdentifier'),
    ],
)
def test_what_the_original_did_not_execute_is_refused_in_its_words(steps: list[Any], reason: str) -> None:
    with pytest.raises(SpellNotExecutable) as raised:
        originals.check_steps("s", steps)
    assert raised.value.message == reason
    originals.check_steps("s", [{"toolId": "t"}, {"toolIdentifier": "t"}])


def test_a_body_holds_what_is_read_and_nothing_else() -> None:
    document = {
        "_id": "1",
        "name": "n",
        "description": None,
        "connections": [],
        "tags": ["t"],
        "creatorId": "bob",
        "exposedInputs": [{"nodeId": "n1", "paramKey": "p", "defaultValue": 0, "paramType": None, "more": 1}, "junk"],
        "steps": [
            {
                "id": 7,
                "stepId": "s",
                "toolId": "t",
                "displayName": "T",
                "toolVersion": "1.0.0",
                "more": 1,
                "parameterOverrides": {"a": 1},
                "parameterMappings": {
                    "s": {"type": "static", "value": False, "nodeId": "x"},
                    "w": {"type": "nodeOutput", "nodeId": 7, "outputKey": "o", "paramKey": "p", "value": 1},
                    "v": {"type": "nodeOutput", "nodeId": "n1", "outputKey": "o"},
                    "m": {"type": "magic"},
                    "r": None,
                },
                "outputMappings": {"a": "b", "c": "", "d": None},
            },
            {"id": "", "toolIdentifier": "t", "parameterMappings": None, "outputMappings": []},
            "junk",
        ],
    }
    assert originals.spell_body(document) == {
        "name": "n",
        "connections": [],
        "tags": ["t"],
        "visibility": "private",
        "exposedInputs": [{"nodeId": "n1", "paramKey": "p", "defaultValue": 0}],
        "steps": [
            {
                "id": "7",
                "stepId": "s",
                "toolIdentifier": "t",
                "displayName": "T",
                "toolVersion": "1.0.0",
                "parameterOverrides": {"a": 1},
                "parameterMappings": {
                    "s": {"type": "static", "value": False},
                    "w": {"type": "nodeOutput", "nodeId": "7", "outputKey": "o", "paramKey": "p"},
                    "v": {"type": "nodeOutput", "nodeId": "n1", "outputKey": "o"},
                    "m": {"type": "magic"},
                },
                "outputMappings": {"a": "b"},
            },
            {"toolIdentifier": "t"},
            "junk",
        ],
    }


@pytest.mark.parametrize(
    ("document", "visibility"),
    [
        ({}, "private"),
        ({"isPublic": True}, "public"),
        ({"isPublic": 1}, "private"),
        ({"visibility": "listed", "isPublic": True}, "listed"),
        ({"visibility": "public"}, "public"),
        ({"visibility": "unlisted", "isPublic": True}, "private"),
    ],
)
def test_whatever_is_not_shared_is_private(document: Document, visibility: str) -> None:
    assert originals.spell_body(document)["visibility"] == visibility


def test_a_context_keeps_what_is_about_the_cast() -> None:
    control = [
        *("masterAccountId", "parameterOverrides", "castId", "webhookUrl", "webhookSecret"),
        *("quote", "chargeUpfront", "persistMigration"),
    ]
    context: dict[Any, Any] = {
        **dict.fromkeys(control, 1),
        "cookId": "k",
        "more": {"a": [{"webhookSecret": "s", "b": 1}]},
        "no": {1, 2},
        7: "no text",
    }
    assert originals.context_metadata(context) == {"cookId": "k", "more": {"a": [{"b": 1}]}}


RECORD: Document = {
    "_id": {"$oid": "g1"},
    "metadata": {"spell": {"name": "s"}, "stepIndex": 0, "pipelineContext": {}, "originalContext": {}},
}


def test_a_whole_record_has_its_id() -> None:
    assert originals.check_record(RECORD) == "g1"
    assert originals.check_record({**RECORD, "_id": None, "generationId": "g2"}) == "g2"
    assert originals.check_record({**RECORD, "metadata": {**RECORD["metadata"], "stepIndex": 1.0}}) == "g1"


@pytest.mark.parametrize(
    ("record", "metadata", "reason"),
    [
        ({"metadata": None}, {}, "Generation record missing metadata"),
        ({"metadata": {}}, {}, "Generation record missing metadata"),
        ({"metadata": "m"}, {}, "Generation record missing metadata"),
        ({}, {"spell": None}, "Generation metadata missing spell definition"),
        ({}, {"stepIndex": -1}, "Generation metadata missing or invalid stepIndex: -1"),
        ({}, {"stepIndex": None}, "Generation metadata missing or invalid stepIndex: null"),
        ({}, {"stepIndex": True}, "Generation metadata missing or invalid stepIndex: true"),
        ({}, {"stepIndex": "1"}, "Generation metadata missing or invalid stepIndex: 1"),
        ({}, {"pipelineContext": None}, "Generation metadata missing pipelineContext"),
        ({}, {"originalContext": "c"}, "Generation metadata missing originalContext"),
        ({"_id": None}, {}, "Generation record missing _id"),
    ],
)
def test_a_record_that_cannot_be_gone_on_from_is_refused_in_the_originals_words(
    record: Document, metadata: Document, reason: str
) -> None:
    with pytest.raises(InvalidGenerationRecord) as raised:
        originals.check_record({**RECORD, "metadata": {**RECORD["metadata"], **metadata}, **record})
    assert raised.value.message == reason


def test_a_record_without_an_index_says_so_as_the_original_did() -> None:
    metadata = {key: value for key, value in RECORD["metadata"].items() if key != "stepIndex"}
    with pytest.raises(InvalidGenerationRecord, match=r"stepIndex: undefined$"):
        originals.check_record({**RECORD, "metadata": metadata})


@pytest.mark.parametrize(
    ("record", "result"),
    [
        ({"responsePayload": "a"}, ToolResult("succeeded", (TEXT,))),
        (
            {"responsePayload": [TEXT], "costUsd": 0.5, "durationMs": 0},
            ToolResult("succeeded", (TEXT,), cost_usd=Decimal("0.5"), duration_ms=0),
        ),
        (
            {"status": "failed", "costUsd": 1, "durationMs": 7, "statusReason": "No."},
            results.failed(JobFailed("No."), cost_usd=Decimal(1), duration_ms=7),
        ),
    ],
)
def test_a_record_tells_its_result(record: Document, result: ToolResult) -> None:
    assert originals.record_result({"status": "completed", **record}) == result


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"metadata": {"error": {"message": "a"}, "errorDetails": {"message": "b"}}, "statusReason": "c"}, "a"),
        ({"metadata": {"error": "a", "errorDetails": {"message": "b"}}, "statusReason": "c"}, "b"),
        ({"metadata": {"error": {"message": ""}}, "statusReason": "c", "deliveryError": "d"}, "c"),
        ({"metadata": "m", "deliveryError": "d"}, "d"),
        ({"metadata": {"error": {"message": "x" * 1_001}}}, "x" * 1_000),
        ({"statusReason": "x" * 1_001}, "x" * 1_000),
        ({}, "Step execution failed"),
    ],
)
def test_a_failed_record_says_why_as_far_as_it_knows(record: Document, reason: str) -> None:
    failure = originals.record_result({"status": "failed", **record}).failure
    assert failure is not None and failure.message == reason


def test_every_fault_of_a_record_is_named() -> None:
    with pytest.raises(InvalidInput) as raised:
        originals.record_result({"costUsd": "much", "responsePayload": float("nan"), "durationMs": -1})
    assert raised.value.faults == (
        Fault("status", "is neither completed nor failed"),
        Fault("costUsd", "is not an amount in US dollars"),
        Fault("responsePayload", "holds a value that JSON cannot hold"),
        Fault("durationMs", "is not a whole number of milliseconds"),
    )
    for duration_ms in (True, 1.5, "1"):
        with pytest.raises(InvalidInput, match="durationMs"):
            originals.record_result({"status": "completed", "durationMs": duration_ms})
