from __future__ import annotations

from typing import Any

import pytest

from spellcast.domain.completions import MAX_DEPTH, parse_completion
from spellcast.domain.documents import Document
from spellcast.domain.errors import InvalidInput

U1 = "https://o/1.png"
IMAGE = {"type": "image", "data": {"images": [{"url": U1}]}}


def parsed(**detail: Any) -> list[Document]:
    _, result = parse_completion({"generationId": "c1.0.1", "status": "succeeded", **detail})
    assert result.status == "succeeded"
    return list(result.payload)


@pytest.mark.parametrize(
    ("detail", "payload"),
    [
        pytest.param({}, [], id="none"),
        pytest.param({"data": None, "type": "image"}, [], id="null"),
        pytest.param({"data": "a"}, [{"type": "text", "data": {"text": "a"}}], id="a string"),
        pytest.param({"data": U1}, [{"type": "text", "data": {"text": U1}}], id="an address is a string"),
        pytest.param({"data": U1, "type": "image"}, [IMAGE], id="unless its type says otherwise"),
        pytest.param({"data": [IMAGE, "a"]}, [IMAGE, {"type": "text", "data": {"text": "a"}}], id="a list"),
        pytest.param({"data": {"images": [{"url": U1}]}}, [IMAGE], id="an object without a type"),
        pytest.param({"data": {"images": [{"url": U1}]}, "type": "text"}, [IMAGE], id="an object of another type"),
        pytest.param({"data": {"9": {"data": {"images": [{"url": U1}]}}}}, [IMAGE], id="keyed by node id"),
        pytest.param({"data": 42}, [{"type": "unknown", "data": 42}], id="a number"),
    ],
)
def test_a_job_may_bring_its_data_in_any_shape(detail: Document, payload: list[Document]) -> None:
    assert parsed(**detail) == payload


def test_data_may_be_nested_so_deep_and_no_deeper() -> None:
    def nested(levels: int) -> Any:
        value: Any = []
        for _ in range(levels - 1):
            value = [value]
        return value

    assert parsed(data=nested(MAX_DEPTH))[0]["type"] == "unknown"
    for levels in (MAX_DEPTH + 1, 100_000):
        with pytest.raises(InvalidInput) as caught:
            parsed(data=nested(levels))
        assert [fault.path for fault in caught.value.faults] == ["data"]


def test_every_fault_is_named_together() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_completion({"generationId": 7, "status": "done", "type": 7, "data": float("inf"), "costUsd": 0.1})
    assert [fault.path for fault in caught.value.faults] == ["generationId", "status", "type", "data", "costUsd"]
