from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain import originals
from spellcast.domain.documents import Document
from spellcast.domain.errors import InvalidInput, SpellcastError
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


@pytest.mark.parametrize("value", ["", "x", "NaN", "Infinity", -1, "-0.1", True, [], 1e12, float("inf")], ids=str)
def test_what_is_no_amount_is_refused_by_its_path(value: Any) -> None:
    with pytest.raises(InvalidInput) as raised:
        originals.amount("costDeltaUsd", value)
    assert [fault.path for fault in raised.value.faults] == ["costDeltaUsd"]


TEXT = {"type": "text", "data": {"text": "a"}}


@pytest.mark.parametrize(
    ("response", "payload"),
    [
        (None, []),
        ([], []),
        ("a", [TEXT]),
        ({"text": "a"}, [TEXT]),
        ([TEXT, {"type": "image", "data": {"images": []}}], [TEXT, {"type": "image", "data": {"images": []}}]),
        ([{"data": {"text": "a"}}], [TEXT]),
        (["a"], [{"type": "unknown", "data": ["a"]}]),
        (7, [{"type": "unknown", "data": 7}]),
    ],
    ids=str,
)
def test_a_payload_is_a_list_of_type_and_data(response: Any, payload: list[Document]) -> None:
    assert list(originals.payload_of(response)) == payload


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
