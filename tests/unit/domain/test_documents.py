from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain import documents

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_a_document_is_read_as_it_was_written(document: Any) -> None:
    assert documents.from_text(documents.to_text(document)) == document
    assert documents.from_text(documents.canonical(document)) == document


def test_texts_are_compact_and_in_the_order_of_their_keys() -> None:
    assert documents.to_text({"b": [1, 2], "a": "é"}) == '{"b":[1,2],"a":"é"}'


def test_canonical_texts_are_compact_ascii_in_the_order_of_the_alphabet() -> None:
    # Fingerprints are made of them and compared with stored ones.
    assert documents.canonical({"b": [1, 2], "a": "é"}) == r'{"a":"\u00e9","b":[1,2]}'


@pytest.mark.parametrize("encoded", [b'{"x": "e"}', '{"x": "é"}'.encode()])
def test_bytes_are_read_as_utf_8(encoded: bytes) -> None:
    assert documents.from_text(encoded) == documents.from_text(encoded.decode())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_other_encodings_are_not_read(encoding: str) -> None:
    with pytest.raises(ValueError):
        documents.from_text('{"x": "é"}'.encode(encoding))


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=4))
def test_equal_documents_have_equal_canonical_texts(document: dict[str, Any]) -> None:
    turned = dict(reversed(document.items()))
    assert documents.canonical(turned) == documents.canonical(document)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_json_cannot_say_is_not_written(value: float) -> None:
    for write in (documents.to_text, documents.canonical):
        with pytest.raises(ValueError, match="JSON"):
            write({"x": value})


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"x":-Infinity}', "", "{", "{'a':1}", "nul", "[1,]", b"\xff"])
def test_what_is_not_json_is_not_read(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        documents.from_text(text)


@pytest.mark.parametrize("text", ["1e999", "[-1e999]", '{"x":1E+400}'])
def test_a_number_beyond_all_bounds_is_not_read(text: str) -> None:
    with pytest.raises(ValueError):
        documents.from_text(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"x":-1e999}', "-1e999 is beyond the range of a number"),
        ('{"x":NaN}', "NaN is not JSON"),
        ("[-Infinity]", "-Infinity is not JSON"),
    ],
)
def test_the_refusal_names_what_cannot_be_read(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        documents.from_text(text)


def test_what_is_no_unicode_is_not_read() -> None:
    with pytest.raises(ValueError):
        documents.from_text(r'{"x":"\ud800"}')


def test_what_is_no_unicode_is_not_read_unescaped_either() -> None:
    # A Lambda event's own JSON may hold the escape, so that a body comes with it undone.
    with pytest.raises(ValueError):
        documents.from_text('{"x":"\ud800"}')


@pytest.mark.parametrize(("text", "read"), [(r'"\ud83d\ude00"', "\U0001f600"), (r'"\\ud800"', r"\ud800")])
def test_what_only_looks_like_half_a_character_is_read(text: str, read: str) -> None:
    assert documents.from_text(text) == read


@pytest.mark.parametrize(
    ("value", "blank"),
    [(None, True), ("", True), (" \n\t", True), ("a", False), (0, False), (False, False), ([], False), ({}, False)],
)
def test_blank_is_null_or_a_text_without_a_visible_character(value: object, blank: bool) -> None:
    assert documents.is_blank(value) is blank


@pytest.mark.parametrize(
    ("document", "depth"),
    [(1, 0), ([], 1), ([1], 1), ({"a": 1}, 1), ([[1], 2], 2), ({"a": [{"b": []}]}, 4), ([1, {"a": {"b": 1}}], 3)],
)
def test_the_depth_is_counted_in_objects_and_lists(document: object, depth: int) -> None:
    assert not documents.is_deeper_than(document, depth)
    if depth:
        assert documents.is_deeper_than(document, depth - 1)


def test_a_very_deep_document_is_measured_without_recursion() -> None:
    document: Any = []
    for _ in range(100_000):
        document = [document]
    assert documents.is_deeper_than(document, 60)
    while document:  # taken apart from the outside, so that freeing it does not recurse either
        document = document.pop()


@given(st.dictionaries(st.text(), JSON | st.text(), max_size=4))
def test_a_size_is_that_of_the_bytes_that_are_sent(document: Any) -> None:
    text = documents.to_text(document)
    assert documents.size(document) == len(text.encode())
    assert documents.size_in_text(document) == len(json.dumps(text, ensure_ascii=False).encode())


def test_quotes_and_backslashes_count_twice_within_a_text() -> None:
    assert (documents.size(["é"]), documents.size_in_text(["é"])) == (6, 10)
    assert (documents.size(["\\"]), documents.size_in_text(["\\"])) == (6, 12)
