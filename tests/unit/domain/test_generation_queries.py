from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain.errors import Fault, InvalidInput
from spellcast.domain.generation_queries import MAX_LIMIT, parse_query

RECORDS: list[dict[str, Any]] = [
    {
        "_id": str(number),
        "status": ["completed", "failed", "processing"][number % 3],
        "toolId": "a,b" if number == 4 else "tool",
        "requestTimestamp": f"2026-01-31T12:00:0{number}.000Z",
        "durationMs": None if number == 5 else 10 - number,
        "stepIndex": number // 2,
        "metadata": {"run_id": f"r{number}", "stepIndex": number},
    }
    for number in range(6)
]


def select(**parameters: str) -> list[str]:
    query = {"castId": "c", **{key.replace("metadata__", "metadata."): value for key, value in parameters.items()}}
    return [record["_id"] for record in parse_query(query).select(RECORDS)]


@pytest.mark.parametrize(
    ("parameters", "ids"),
    [
        ({}, "012345"),
        ({"status": "failed"}, "14"),
        ({"status_in": "failed, processing"}, "1245"),
        ({"status_ne": "failed"}, "0235"),
        ({"toolId_ne": "tool"}, "4"),
        ({"requestTimestamp_gte": "2026-01-31T12:00:04Z"}, "45"),
        ({"requestTimestamp_lte": "2026-01-31T13:00:01+01:00"}, "01"),
        ({"requestTimestamp_gte": "2026-01-31T12:00:01", "requestTimestamp_lte": "2026-01-31T12:00:02"}, "12"),
        ({"responseTimestamp_gte": "2026-01-31"}, ""),
        ({"sort": "requestTimestamp:desc"}, "543210"),
        ({"sort": "requestTimestamp:-1", "limit": "2"}, "54"),
        ({"sort": "durationMs:1"}, "543210"),
        ({"sort": "status:asc,requestTimestamp:desc"}, "304152"),
        ({"sort": "stepIndex:desc"}, "452301"),
        ({"limit": "2", "skip": "3"}, "34"),
        ({"limit": "2", "page": "2", "skip": "5"}, "23"),
        ({"limit": "2", "page": "9"}, ""),
    ],
    ids=str,
)
def test_records_are_filtered_sorted_and_cut(parameters: dict[str, str], ids: str) -> None:
    assert select(**parameters) == list(ids)


def test_fields_are_picked_with_the_id() -> None:
    query = parse_query({"castId": "c", "fields": "status,metadata.run_id,nothing,status.x", "limit": "1"})
    assert query.select(RECORDS) == [{"_id": "0", "status": "completed", "metadata": {"run_id": "r0"}}]
    assert parse_query({"castId": "c", "projection": "stepIndex", "limit": "1"}).fields == ("stepIndex",)


def test_a_limit_over_the_most_is_the_most_as_in_the_original() -> None:
    assert parse_query({"castId": "c", "limit": "5000"}).limit == MAX_LIMIT
    assert parse_query({"castId": "c"}).limit == 100


def test_ids_are_read_once_each() -> None:
    assert parse_query({"_id_in": "a, b,a,,c"}).ids == ("a", "b", "c")
    assert parse_query({"_id": "a"}).ids == ("a",)
    assert parse_query({"_id_in": ""}).ids == ()


@pytest.mark.parametrize(
    ("parameters", "path", "message"),
    [
        ({"masterAccountId": "a" * 201}, "masterAccountId", "has more than 200 characters"),
        ({"castId": "c1", "metadata.castId": "c2"}, "metadata.castId", "is another cast than castId"),
        ({"_id_in": ",".join(map(str, range(MAX_LIMIT + 1)))}, "_id_in", f"names more than {MAX_LIMIT} records"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_query_beyond_its_bounds_is_refused(parameters: dict[str, str], path: str, message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_query(parameters)
    assert raised.value.faults == (Fault(path, message),)


def test_a_query_at_its_bounds_is_read() -> None:
    assert parse_query({"masterAccountId": "a" * 200}).account_id == "a" * 200
    assert parse_query({"castId": "c1", "metadata.castId": "c1"}).cast_id == "c1"
    assert len(parse_query({"_id_in": ",".join(map(str, range(MAX_LIMIT)))}).ids or ()) == MAX_LIMIT


def test_every_fault_is_named() -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_query({"limit": "x", "colour": "red", "sort": "prompt", "requestTimestamp_lte": "?", "cost_in": "1"})
    assert {fault.path for fault in raised.value.faults} == {
        "limit",
        "colour",
        "sort",
        "requestTimestamp_lte",
        "cost_in",
    }


@given(
    st.dictionaries(st.text(max_size=12) | st.sampled_from(["limit", "page", "sort", "_id_in"]), st.text(max_size=9))
)
def test_any_query_is_read_or_refused(parameters: dict[str, str]) -> None:
    try:
        found = parse_query(parameters).select(RECORDS)
    except InvalidInput as error:
        assert error.faults
    else:
        assert len(found) <= len(RECORDS)
