from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from spellcast.domain import results
from spellcast.domain.completions import MAX_DEPTH, parse_completion
from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault, InvalidInput, JobFailed
from spellcast.domain.results import MOST_TOKENS, Usage
from tests.fakes.records import GENERATION_ID

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
        assert caught.value.faults == (TOO_DEEP,)


NO_REASON = "The job failed; its sender gave no reason."


def succeeded(**more: Any) -> Document:
    return {"generationId": GENERATION_ID, "status": "succeeded", "data": {"text": "t"}, **more}


def failed(**more: Any) -> Document:
    return {"generationId": GENERATION_ID, "status": "failed", **more}


@pytest.mark.parametrize(
    ("detail", "result"),
    [
        pytest.param(succeeded(), results.succeeded("text", {"text": "t"}), id="without a type it is text"),
        pytest.param(
            succeeded(type="image", data={"images": []}), results.succeeded("image", {"images": []}), id="with a type"
        ),
        pytest.param(
            succeeded(costUsd="0.080"), results.succeeded("text", {"text": "t"}, cost_usd=Decimal("0.08")), id="billed"
        ),
        pytest.param(
            succeeded(usage={"inputTokens": 7, "outputTokens": MOST_TOKENS}),
            results.succeeded("text", {"text": "t"}, usage=Usage(7, MOST_TOKENS)),
            id="the tokens used",
        ),
        pytest.param(
            succeeded(usage={}), results.succeeded("text", {"text": "t"}, usage=Usage(0, 0)), id="no tokens used"
        ),
        pytest.param(failed(error="No cats."), results.failed(JobFailed("No cats.")), id="a reason"),
        pytest.param(
            failed(error={"message": "No cats.", "code": 7}), results.failed(JobFailed("No cats.")), id="in an object"
        ),
        pytest.param(failed(), results.failed(JobFailed(NO_REASON)), id="no reason"),
        pytest.param(failed(error={"code": 7}), results.failed(JobFailed(NO_REASON)), id="an object without a reason"),
        pytest.param(failed(error=""), results.failed(JobFailed(NO_REASON)), id="an empty reason"),
        pytest.param(failed(error="x" * 2_000), results.failed(JobFailed("x" * 1_000)), id="a reason of a page"),
        pytest.param(
            failed(error="No.", costUsd="1"), results.failed(JobFailed("No."), cost_usd=Decimal(1)), id="billed anyway"
        ),
        pytest.param(failed(data="partial"), results.failed(JobFailed(NO_REASON)), id="data of a failed job is none"),
    ],
)
def test_a_completion_is_a_jobs_result(detail: Document, result: results.ToolResult) -> None:
    assert parse_completion(detail) == (GENERATION_ID, result)


NOT_AN_ID = Fault("generationId", "is not the id of a generation")
NO_STATUS = Fault("status", "is neither succeeded nor failed")
NO_TYPE = Fault("type", "is not a text")
TOO_DEEP = Fault("data", f"is nested deeper than {MAX_DEPTH} levels")
NO_JSON = Fault("data", "holds a number or a text that JSON cannot hold")
NO_TOKENS = "is not a whole number of tokens"
NO_PRICE = Fault("costUsd", "is not a decimal string in US dollars")


@pytest.mark.parametrize(
    ("detail", "faults"),
    [
        pytest.param(succeeded(generationId="c1"), [NOT_AN_ID], id="an id of something else"),
        pytest.param(succeeded(generationId=7), [NOT_AN_ID], id="an id that is no text"),
        pytest.param(succeeded(generationId=None), [NOT_AN_ID], id="no id"),
        pytest.param(succeeded(status="processing"), [NO_STATUS], id="another status"),
        pytest.param(succeeded(status="processing", data=None), [NO_STATUS], id="another status without data"),
        pytest.param(succeeded(data={"x": float("nan")}), [NO_JSON], id="no number"),
        pytest.param(succeeded(data={"x": "\ud800"}), [NO_JSON], id="no Unicode"),
        pytest.param(failed(data={"x": float("inf")}), [NO_JSON], id="no number in a failed job"),
        *(
            pytest.param(succeeded(costUsd=cost), [NO_PRICE], id=f"cost {cost}".strip())
            for cost in (0.08, 1, "", "1e3", "-1", " 1", "1\n", "1.", "1234567890123", "NaN", True)
        ),
        pytest.param(succeeded(usage=7), [Fault("usage", "is not an object")], id="a usage that is no object"),
        *(
            pytest.param(succeeded(usage={key: count}), [Fault(f"usage.{key}", NO_TOKENS)], id=f"{key} {count!r}")
            for key in ("inputTokens", "outputTokens")
            for count in (-1, 1.5, "1", True, None, MOST_TOKENS + 1)
        ),
        pytest.param({}, [NOT_AN_ID, NO_STATUS], id="nothing at all"),
        pytest.param(
            succeeded(generationId="", type=7, data=float("inf"), costUsd="much", usage=[]),
            [NOT_AN_ID, NO_TYPE, NO_JSON, NO_PRICE, Fault("usage", "is not an object")],
            id="every fault",
        ),
    ],
)
def test_every_fault_of_a_completion_is_named(detail: Document, faults: list[Fault]) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_completion(detail)
    assert caught.value.faults == tuple(faults)
