"""The table's client: what it asks, and what it does with answers that moto never gives."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber
from hypothesis import given
from hypothesis import strategies as st

from spellcast.aws.table import Table, Update, from_item, to_item
from spellcast.domain.errors import StorageUnavailable, WriteConflict
from tests.unit.aws.stubs import client_of, stubbed

NAME = "spellcast-test"
ROW = {"pk": "CAST#c1", "sk": "CAST", "revision": 2}
ITEM = {"pk": {"S": "CAST#c1"}, "sk": {"S": "CAST"}, "revision": {"N": "2"}}
KEY = {"pk": {"S": "CAST#c1"}, "sk": {"S": "CAST"}}


@pytest.fixture
def stub() -> Stubber:
    return stubbed("dynamodb")


@pytest.fixture
def table(stub: Stubber) -> Table:
    return Table(client_of(stub), NAME)


def key(number: int) -> dict[str, Any]:
    return {"pk": {"S": f"CAST#c{number}"}, "sk": {"S": "CAST"}}


def index_page(*numbers: int) -> dict[str, Any]:
    return {"Items": [{**key(number), "gsi1sk": {"S": f"t#c{number}"}} for number in numbers]}


def listed(table: Table, limit: int) -> list[str]:
    rows, _ = table.list_index("ACCOUNT#a#CASTS", status=None, limit=limit, cursor=None, key="CAST#{id}/CAST")
    return [row["pk"] for row in rows]


def test_a_row_is_read_as_of_now(table: Table, stub: Stubber) -> None:
    stub.add_response("get_item", {"Item": ITEM}, {"TableName": NAME, "Key": KEY, "ConsistentRead": True})
    assert table.get("CAST#c1", "CAST") == ROW


def test_a_partition_is_read_as_of_now_and_to_its_end(table: Table, stub: Stubber) -> None:
    asked = {
        "TableName": NAME,
        "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": {":pk": {"S": "CAST#c1"}},
        "ConsistentRead": True,
    }
    stub.add_response("query", {"Items": [ITEM], "LastEvaluatedKey": KEY}, asked)
    stub.add_response("query", {"Items": [ITEM]}, {**asked, "ExclusiveStartKey": KEY})
    assert list(table.query("CAST#c1")) == [ROW, ROW]
    stub.assert_no_pending_responses()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited, without the waiting."""
    found: list[float] = []
    monkeypatch.setattr("spellcast.aws.table.time.sleep", found.append)
    return found


def test_keys_that_a_throttled_batch_left_are_asked_for_again_after_a_pause(
    table: Table, stub: Stubber, pauses: list[float]
) -> None:
    stub.add_response("query", index_page(3, 2, 1))
    left = {NAME: {"Keys": [key(3), key(1)]}}
    stub.add_response(
        "batch_get_item",
        {"Responses": {NAME: [key(2)]}, "UnprocessedKeys": left},
        {"RequestItems": {NAME: {"Keys": [key(3), key(2), key(1)]}}},
    )
    stub.add_response(
        "batch_get_item",
        {"Responses": {}, "UnprocessedKeys": left},
        {"RequestItems": left},
    )
    stub.add_response("batch_get_item", {"Responses": {NAME: [key(1), key(3)]}}, {"RequestItems": left})
    assert listed(table, 5) == ["CAST#c3", "CAST#c2", "CAST#c1"]
    stub.assert_no_pending_responses()
    assert 0 < pauses[0] < pauses[1]
    assert len(pauses) == 2


def test_a_batch_that_stays_throttled_may_be_asked_for_again_by_the_caller(
    table: Table, stub: Stubber, pauses: list[float]
) -> None:
    left = {"Responses": {}, "UnprocessedKeys": {NAME: {"Keys": [key(1)]}}}
    for _ in range(6):
        stub.add_response("batch_get_item", left)
    with pytest.raises(StorageUnavailable):
        table.get_all([("CAST#c1", "CAST")])
    stub.assert_no_pending_responses()
    assert 0.5 < sum(pauses) < 2


def test_a_batch_has_at_most_a_hundred_keys(table: Table, stub: Stubber) -> None:
    stub.add_response("query", index_page(*range(120)))
    for numbers in (range(100), range(100, 120)):
        stub.add_response(
            "batch_get_item",
            {"Responses": {NAME: [key(number) for number in numbers]}},
            {"RequestItems": {NAME: {"Keys": [key(number) for number in numbers]}}},
        )
    assert len(listed(table, 120)) == 120
    stub.assert_no_pending_responses()


def test_a_row_that_went_after_the_index_was_read_is_left_out(table: Table, stub: Stubber) -> None:
    stub.add_response("query", index_page(2, 1))
    stub.add_response("batch_get_item", {"Responses": {NAME: [key(1)]}})
    assert listed(table, 5) == ["CAST#c1"]


def test_an_index_page_that_ends_early_is_followed_by_the_next(table: Table, stub: Stubber) -> None:
    last = {**key(2), "gsi1pk": {"S": "ACCOUNT#a#CASTS"}, "gsi1sk": {"S": "t#c2"}}
    stub.add_response("query", {**index_page(3, 2), "LastEvaluatedKey": last})
    following = {"TableName": NAME, "IndexName": ANY, "KeyConditionExpression": ANY, "ExpressionAttributeValues": ANY}
    following |= {"ScanIndexForward": False, "Limit": ANY, "ExclusiveStartKey": last}
    stub.add_response("query", index_page(1), following)
    stub.add_response("batch_get_item", {"Responses": {NAME: [key(1), key(2), key(3)]}})
    assert listed(table, 5) == ["CAST#c3", "CAST#c2", "CAST#c1"]
    stub.assert_no_pending_responses()


def test_a_list_of_little_that_is_wanted_goes_on_with_the_next_part(table: Table, stub: Stubber) -> None:
    last = {**key(2), "gsi1pk": {"S": "ACCOUNT#a#CASTS"}, "gsi1sk": {"S": "2026-01-31T12:00:00.000000Z#c2"}}
    for _ in range(5):
        stub.add_response("query", {"Items": [], "LastEvaluatedKey": last})
    rows, cursor = table.list_index(
        "ACCOUNT#a#CASTS", status=None, spell_id="rare", limit=1, cursor=None, key="CAST#{id}/CAST"
    )
    stub.assert_no_pending_responses()
    assert rows == []
    begun = {"TableName": NAME, "IndexName": ANY, "KeyConditionExpression": ANY, "ExpressionAttributeValues": ANY}
    begun |= {"FilterExpression": ANY, "ExpressionAttributeNames": ANY, "ScanIndexForward": False}
    stub.add_response("query", index_page(1), {**begun, "ExclusiveStartKey": last})
    stub.add_response("batch_get_item", {"Responses": {NAME: [key(1)]}})
    rows, cursor = table.list_index(
        "ACCOUNT#a#CASTS", status=None, spell_id="rare", limit=1, cursor=cursor, key="CAST#{id}/CAST"
    )
    assert ([row["pk"] for row in rows], cursor) == (["CAST#c1"], None)


@pytest.mark.parametrize("write", ["create", "replace"])
def test_a_condition_that_does_not_hold_is_a_conflict(table: Table, stub: Stubber, write: str) -> None:
    stub.add_client_error("put_item", "ConditionalCheckFailedException")
    with pytest.raises(WriteConflict):
        table.create(ROW) if write == "create" else table.replace(ROW, 1)


@pytest.mark.parametrize(
    "code", ["ProvisionedThroughputExceededException", "ThrottlingException", "InternalServerError"]
)
@pytest.mark.parametrize("write", ["create", "replace", "put"])
def test_a_write_that_failed_is_raised(table: Table, stub: Stubber, write: str, code: str) -> None:
    stub.add_client_error("put_item", code)
    with pytest.raises(ClientError, match=code):
        table.replace(ROW, 1) if write == "replace" else getattr(table, write)(ROW)


def test_a_count_of_a_row_that_is_gone_is_none(table: Table, stub: Stubber) -> None:
    stub.add_client_error("update_item", "ConditionalCheckFailedException")
    table.count("SPELL#s1", "SPELL", "usageCount")


def test_a_count_that_failed_is_raised(table: Table, stub: Stubber) -> None:
    stub.add_client_error("update_item", "TransactionConflictException")
    with pytest.raises(ClientError, match="TransactionConflictException"):
        table.count("SPELL#s1", "SPELL", "usageCount")


@pytest.mark.parametrize("code", ["ConditionalCheckFailedException", "TransactionConflictException"])
def test_an_update_that_meets_another_write_is_a_conflict(table: Table, stub: Stubber, code: str) -> None:
    """A late bill's transaction on an account's day, while a step of another cast is budgeted on it."""
    stub.add_client_error("update_item", code)
    with pytest.raises(WriteConflict):
        table.update(Update("ACCOUNT#a", "DAY#2026-01-01", "SET #total = :more", {"#total": "total"}, {":more": 1}))


def cancelled(stub: Stubber, *reasons: str) -> None:
    stub.add_client_error(
        "transact_write_items",
        "TransactionCanceledException",
        modeled_fields={"CancellationReasons": [{"Code": reason} for reason in reasons]},
    )


def test_one_existing_row_of_several_is_a_conflict(table: Table, stub: Stubber) -> None:
    cancelled(stub, "None", "None", "ConditionalCheckFailed")
    with pytest.raises(WriteConflict):
        table.create_all([ROW, ROW, ROW])


@pytest.mark.parametrize("reason", ["ThrottlingError", "ProvisionedThroughputExceeded", "ValidationError"])
def test_a_transaction_that_failed_otherwise_is_raised(table: Table, stub: Stubber, reason: str) -> None:
    cancelled(stub, reason, "None")
    with pytest.raises(ClientError, match="TransactionCanceledException"):
        table.create_all([ROW, ROW])


def test_two_transactions_at_once_are_a_conflict(table: Table, stub: Stubber) -> None:
    cancelled(stub, "None", "None", "TransactionConflict")
    with pytest.raises(WriteConflict):
        table.create_all([ROW, ROW, ROW])


def test_a_none_is_not_written_and_an_empty_text_is() -> None:
    assert to_item({"a": None, "b": "", "c": False}) == {"b": {"S": ""}, "c": {"BOOL": False}}


@pytest.mark.parametrize(("number", "kind"), [("3", int), ("3.0", int), ("0.30", Decimal), ("-7", int), ("1E+20", int)])
def test_whole_numbers_are_ints_and_others_decimals(number: str, kind: type) -> None:
    value = from_item({"n": {"N": number}})["n"]
    assert value == Decimal(number)
    assert type(value) is kind


@given(st.dictionaries(st.text(), st.text() | st.booleans() | st.integers(-(10**37), 10**37)))
def test_rows_are_written_and_read_as_boto3_does_it(row: dict[str, Any]) -> None:
    item = to_item(row)
    assert item == {key: TypeSerializer().serialize(value) for key, value in row.items()}
    read = from_item(item)
    assert read == row == {key: TypeDeserializer().deserialize(value) for key, value in item.items()}
    assert [type(value) for value in read.values()] == [type(value) for value in row.values()]


@given(st.decimals(min_value=-(10**12), max_value=10**12, places=12))
def test_money_is_the_number_that_boto3_writes_without_an_exponent(amount: Decimal) -> None:
    number = to_item({"n": amount})["n"]["N"]
    assert Decimal(number) == Decimal(TypeSerializer().serialize(amount)["N"])
    assert "E" not in number
    assert from_item({"n": {"N": number}}) == {"n": amount}


@pytest.mark.parametrize("value", [1.5, b"x", ["a"], {"a": 1}])
def test_a_row_has_no_other_values(value: Any) -> None:
    with pytest.raises(TypeError, match=type(value).__name__):
        to_item({"a": value})


@pytest.mark.parametrize("attribute", [{"L": [{"S": "a"}]}, {"M": {}}, {"B": b"x"}, {"NULL": True}])
def test_no_other_values_are_read(attribute: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(attribute))):
        from_item({"a": attribute})
