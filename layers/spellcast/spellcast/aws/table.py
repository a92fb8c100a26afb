"""The one table: rows of plain values in, rows of plain values out. `docs/architecture.md` has the item shapes."""

from __future__ import annotations

import base64
import binascii
import os
import random
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from spellcast.domain import money
from spellcast.domain.errors import Fault, InvalidInput, StorageUnavailable, WriteConflict

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Texts, whole numbers, money and flags; documents are JSON texts. A None is not written.
Row = dict[str, Any]

INDEX = "byAccount"
OPEN_INDEX = "byOpen"
_MARK = "mark"  # by which a conditional put knows its own row
_BATCH = 100
# Seconds at most before a throttled batch is asked for the rest of its keys.
_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)
_QUERIES = 5  # of at most 1 MB each, some 4,000 rows of an index: then a part of a filtered list is short
_BATCH_WRITTEN = 25  # DynamoDB's most
_SORT_KEY = re.compile(r"[0-9TZ:.-]{20,30}#(?P<id>[A-Za-z0-9_-]{1,64})")


class Update(NamedTuple):
    """A change of some of a row's attributes, in DynamoDB's expressions; the row need not exist."""

    pk: str
    sk: str
    change: str
    names: Mapping[str, str]
    values: Mapping[str, Any]
    condition: str | None = None

    def arguments(self) -> dict[str, Any]:
        """As DynamoDB takes it, alone and in a transaction."""
        return {
            "Key": to_item({"pk": self.pk, "sk": self.sk}),
            "UpdateExpression": self.change,
            "ExpressionAttributeNames": dict(self.names),
            "ExpressionAttributeValues": to_item(self.values),
            **({} if self.condition is None else {"ConditionExpression": self.condition}),
        }


def to_item(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as DynamoDB's typed attributes."""
    return {key: _typed(value) for key, value in row.items() if value is not None}


def from_item(item: Mapping[str, Any]) -> Row:
    """The inverse, also of a stream's image; whole numbers come back as int."""
    return {key: _plain(value) for key, value in item.items()}


# boto3 has a serialiser of all of DynamoDB's types; to import it is a tenth of what a function takes to start.
def _typed(value: Any) -> dict[str, Any]:
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case Decimal():
            return {"N": money.to_text(value)}
    raise TypeError(f"A row has no values of the type {type(value).__name__}.")


def _plain(attribute: Mapping[str, Any]) -> Any:
    ((kind, value),) = attribute.items()
    if kind in ("S", "BOOL"):
        return value
    if kind == "N":
        number = Decimal(value)
        return int(number) if number == number.to_integral_value() else number
    raise TypeError(f"A row has no values of DynamoDB's type {kind}.")


@dataclass(frozen=True, slots=True)
class Table:
    """Consistent reads and conditional writes."""

    client: DynamoDBClient
    name: str

    def get(self, pk: str, sk: str) -> Row | None:
        """The row, as of now."""
        answer = self.client.get_item(TableName=self.name, Key=to_item({"pk": pk, "sk": sk}), ConsistentRead=True)
        item = answer.get("Item")
        return from_item(item) if item else None

    def get_all(self, keys: Sequence[tuple[str, str]]) -> list[Row]:
        """The rows that exist, in the order of their keys; may lag a moment behind.

        Raises StorageUnavailable where some keys are left after six tries, a second and a half at most.
        """
        found: dict[tuple[str, str], Row] = {}
        for start in range(0, len(keys), _BATCH):
            wanted: Any = {
                self.name: {"Keys": [to_item({"pk": pk, "sk": sk}) for pk, sk in keys[start : start + _BATCH]]}
            }
            for pause in (*_PAUSES, None):
                answer = self.client.batch_get_item(RequestItems=wanted)
                for row in map(from_item, answer["Responses"].get(self.name, [])):
                    found[row["pk"], row["sk"]] = row
                wanted = answer.get("UnprocessedKeys")
                if not wanted:
                    break
                if pause is None:
                    raise StorageUnavailable("The table did not answer in full; try again in a moment.")
                # Callers that were refused together do not come again together.
                time.sleep(random.uniform(pause / 2, pause))  # nosec B311
        return [found[key] for key in keys if key in found]

    def create(self, row: Row) -> None:
        """Raises WriteConflict where the row exists."""
        self._put_once(row, ConditionExpression="attribute_not_exists(pk)")

    def replace(self, row: Row, revision: int) -> None:
        """Raises WriteConflict where the row is not at this revision."""
        self._put_once(
            row,
            ConditionExpression="revision = :revision",
            ExpressionAttributeValues=to_item({":revision": revision}),
        )

    def put(self, row: Row) -> None:
        """Writes the row whatever was there."""
        self.client.put_item(TableName=self.name, Item=to_item(row))

    def put_some(self, rows: Sequence[Row]) -> None:
        """One request for rows of different keys whatever was there; what it does not take is left out."""
        writes: Any = [{"PutRequest": {"Item": to_item(row)}} for row in rows[:_BATCH_WRITTEN]]
        self.client.batch_write_item(RequestItems={self.name: writes})

    def create_all(self, rows: Sequence[Row], *, newer: Row | None = None) -> None:
        """All rows or none, and with them the changed attributes of a row that follows its version before.

        Raises WriteConflict where one of the rows exists, or `newer` does not follow what is there.
        """
        writes: list[Any] = [
            {"Put": {"Item": to_item(row), "ConditionExpression": "attribute_not_exists(pk)"}} for row in rows
        ]
        if newer is not None:
            writes.append({"Update": _following(newer)})
        self._transact(writes)

    def update(self, update: Update) -> None:
        """Raises WriteConflict where the condition does not hold, or the row is in somebody's transaction."""
        refusals = self.client.exceptions
        try:
            self.client.update_item(TableName=self.name, **update.arguments())
        except (refusals.ConditionalCheckFailedException, refusals.TransactionConflictException) as error:
            raise WriteConflict(f"{update.pk} {update.sk} is not as it was expected.") from error

    def create_and_update(self, row: Row, update: Update) -> None:
        """Both or neither. Raises WriteConflict where the row exists, or one of the two is being written."""
        create = {"Item": to_item(row), "ConditionExpression": "attribute_not_exists(pk)"}
        self._transact([{"Put": create}, {"Update": update.arguments()}])

    def count(self, pk: str, sk: str, attribute: str) -> None:
        """One more; nothing where there is no such row."""
        try:
            self.client.update_item(
                TableName=self.name,
                Key=to_item({"pk": pk, "sk": sk}),
                UpdateExpression="ADD #counted :one",
                ConditionExpression="attribute_exists(pk)",
                ExpressionAttributeNames={"#counted": attribute},
                ExpressionAttributeValues=to_item({":one": 1}),
            )
        except self.client.exceptions.ConditionalCheckFailedException:
            return

    def take(self, pk: str, sk: str) -> Row | None:
        """Deletes the row and answers what it was, to exactly one of those who ask at once."""
        answer = self.client.delete_item(TableName=self.name, Key=to_item({"pk": pk, "sk": sk}), ReturnValues="ALL_OLD")
        item = answer.get("Attributes")
        return from_item(item) if item else None

    def erase(self, pk: str) -> None:
        """Deletes every row of the partition."""
        for row in list(self.query(pk)):
            self.take(pk, row["sk"])

    def delete_of(self, pk: str, sk: str, account_id: str) -> bool:
        """Deletes the row if it is this account's, and says whether it was."""
        try:
            self.client.delete_item(
                TableName=self.name,
                Key=to_item({"pk": pk, "sk": sk}),
                ConditionExpression="accountId = :account",
                ExpressionAttributeValues=to_item({":account": account_id}),
            )
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def query(self, pk: str, prefix: str = "") -> Iterator[Row]:
        """The partition's rows in the order of their sort keys, as of now."""
        condition, values = "pk = :pk", {":pk": pk}
        if prefix:
            condition, values = "pk = :pk AND begins_with(sk, :prefix)", {":pk": pk, ":prefix": prefix}
        pages = self.client.get_paginator("query").paginate(
            TableName=self.name,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=to_item(values),
            ConsistentRead=True,
        )
        for page in pages:
            yield from map(from_item, page["Items"])

    def query_open(self, partition: str, before: str) -> Iterator[Row]:
        """What the index of open rows holds of those before a sort key, oldest first; may lag a moment behind."""
        pages = self.client.get_paginator("query").paginate(
            TableName=self.name,
            IndexName=OPEN_INDEX,
            KeyConditionExpression="gsi2pk = :partition AND gsi2sk < :before",
            ExpressionAttributeValues=to_item({":partition": partition, ":before": before}),
        )
        for page in pages:
            yield from map(from_item, page["Items"])

    def between(
        self, pk: str, low: str, high: str, *, before: str | None = None, limit: int | None = None
    ) -> Iterator[Row]:
        """The partition's rows from one sort key to another, the last first; only those that come before `before`."""
        paging: Any = {} if limit is None else {"MaxItems": limit, "PageSize": limit}
        start: Any = {} if before is None else {"ExclusiveStartKey": to_item({"pk": pk, "sk": before})}
        pages = self.client.get_paginator("query").paginate(
            TableName=self.name,
            KeyConditionExpression="pk = :pk AND sk BETWEEN :low AND :high",
            ExpressionAttributeValues=to_item({":pk": pk, ":low": low, ":high": high}),
            ConsistentRead=True,
            ScanIndexForward=False,
            PaginationConfig=paging,
            **start,
        )
        for page in pages:
            yield from map(from_item, page["Items"])

    def list_index(
        self,
        partition: str,
        *,
        status: str | None,
        limit: int,
        cursor: str | None,
        key: str,
        spell_id: str | None = None,
    ) -> tuple[list[Row], str | None]:
        """Rows of an account's list, latest first, and the cursor of the next part, which may be there after few rows.

        `key` is the table key of the entity with `{id}` for its id, as `CAST#{id}/CAST`. The cursor holds a sort key
        only; the partition is the caller's own, so that a cursor leads nobody into another account.
        """
        start = None if cursor is None else _start_key(partition, cursor, key)
        values = {":partition": partition}
        arguments: dict[str, Any] = {}
        if wanted := {name: value for name, value in (("status", status), ("spellId", spell_id)) if value is not None}:
            arguments["FilterExpression"] = " AND ".join(f"#{name} = :{name}" for name in wanted)
            arguments["ExpressionAttributeNames"] = {f"#{name}": name for name in wanted}
            values |= {f":{name}": value for name, value in wanted.items()}
        else:
            arguments["Limit"] = limit + 1
        found: list[Row] = []
        for _ in range(_QUERIES):
            if start is not None:
                arguments["ExclusiveStartKey"] = to_item(start)
            page = self.client.query(
                TableName=self.name,
                IndexName=INDEX,
                KeyConditionExpression="gsi1pk = :partition",
                ExpressionAttributeValues=to_item(values),
                ScanIndexForward=False,
                **arguments,
            )
            found += map(from_item, page["Items"])
            start = from_item(page["LastEvaluatedKey"]) if "LastEvaluatedKey" in page else None
            if len(found) > limit or start is None:
                break
        listed = found[:limit]
        last = listed[-1] if len(found) > limit else start
        rows = self.get_all([(row["pk"], row["sk"]) for row in listed])
        return rows, to_cursor(last["gsi1sk"]) if last else None

    def _transact(self, writes: Sequence[Any]) -> None:
        named = [{kind: {"TableName": self.name, **write} for kind, write in item.items()} for item in writes]
        try:
            self.client.transact_write_items(TransactItems=named)  # type: ignore[arg-type]
        except self.client.exceptions.TransactionCanceledException as error:
            reasons = {str(reason.get("Code")) for reason in error.response.get("CancellationReasons", [])}
            if reasons & {"ConditionalCheckFailed", "TransactionConflict"}:
                raise WriteConflict("One of the rows is not as it was read, or is being written.") from error
            raise

    def _put_once(self, row: Row, **condition: Any) -> None:
        """botocore sends a request again whose answer was lost: the condition may fail on what this very call wrote.

        The row's mark is this call's alone, whoever writes the same row at the same time.
        """
        item = to_item({**row, _MARK: base64.b64encode(os.urandom(9)).decode()})
        try:
            self.client.put_item(
                TableName=self.name, Item=item, ReturnValuesOnConditionCheckFailure="ALL_OLD", **condition
            )
        except self.client.exceptions.ConditionalCheckFailedException as error:
            found: Any = error.response.get("Item", {})
            if found.get(_MARK) == item[_MARK]:
                return
            raise WriteConflict(f"{row['pk']} {row['sk']} was written by somebody else.") from error


def _following(newer: Row) -> dict[str, Any]:
    """Sets these attributes on the condition that the row is at the version before, and leaves the others alone."""
    changed = {name: value for name, value in newer.items() if name not in ("pk", "sk")}
    return {
        "Key": to_item({"pk": newer["pk"], "sk": newer["sk"]}),
        "UpdateExpression": "SET " + ", ".join(f"#{name} = :{name}" for name in changed),
        "ConditionExpression": "#version = :before",
        "ExpressionAttributeNames": {f"#{name}": name for name in changed},
        "ExpressionAttributeValues": to_item(
            {":before": newer["version"] - 1, **{f":{name}": value for name, value in changed.items()}}
        ),
    }


def to_cursor(sort_key: str) -> str:
    """The last listed row's sort key, as callers send it back."""
    return base64.urlsafe_b64encode(sort_key.encode()).decode().rstrip("=")


def from_cursor(cursor: str, shape: re.Pattern[str]) -> re.Match[str]:
    """The sort key. Raises InvalidInput for a cursor that holds none of this shape."""
    try:
        sort_key = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        sort_key = ""
    place = shape.fullmatch(sort_key)
    if place is None:
        raise InvalidInput([Fault("cursor", "is not a cursor of this list")])
    return place


def _start_key(partition: str, cursor: str, key: str) -> Row:
    place = from_cursor(cursor, _SORT_KEY)
    pk, sk = key.format(id=place["id"]).split("/")
    return {"gsi1pk": partition, "gsi1sk": place[0], "pk": pk, "sk": sk}
