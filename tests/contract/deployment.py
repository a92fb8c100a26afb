"""The store as template.yaml deploys it, on moto: what template and code must agree on is read from the template."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
from moto import mock_aws
from moto.dynamodb.responses import DynamoHandler
from samtranslator.yaml_helper import yaml_parse

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

ROOT = Path(__file__).parents[2]
REGION = "us-east-1"
TABLE = "spellcast-test"
BUCKET = "spellcast-test-documents"


@cache
def template() -> dict[str, Any]:
    """The template with its intrinsic functions as plain objects."""
    parsed: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text("utf-8"))
    return parsed


def properties(logical_name: str) -> dict[str, Any]:
    """The properties of one of the template's resources."""
    found: dict[str, Any] = template()["Resources"][logical_name]["Properties"]
    return found


@cache
def session() -> boto3.session.Session:
    """One session for all tests: it keeps the service models that it has read. Its credentials are good nowhere."""
    return boto3.session.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION)


@cache
def clients() -> tuple[DynamoDBClient, S3Client]:
    """Made once: each takes longer to make than most tests to run."""
    return session().client("dynamodb"), session().client("s3")


def create_table(client: DynamoDBClient) -> None:
    """The template's table, under the tests' name."""
    table = properties("Table")
    client.create_table(
        TableName=TABLE,
        BillingMode=table["BillingMode"],
        AttributeDefinitions=table["AttributeDefinitions"],
        KeySchema=table["KeySchema"],
        GlobalSecondaryIndexes=table["GlobalSecondaryIndexes"],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": table["StreamSpecification"]["StreamViewType"]},
    )


@contextmanager
def _one_request_at_a_time() -> Iterator[None]:
    """DynamoDB checks a condition and writes in one; moto's threads come between the two."""
    answer, turn = DynamoHandler.call_action, Lock()

    def in_turn(handler: DynamoHandler) -> Any:
        with turn:
            return answer(handler)

    with patch.object(DynamoHandler, "call_action", in_turn):
        yield


@contextmanager
def deployed() -> Iterator[tuple[DynamoDBClient, S3Client]]:
    """Table and bucket, empty."""
    with mock_aws(), _one_request_at_a_time():
        dynamodb, s3 = clients()
        create_table(dynamodb)
        s3.create_bucket(Bucket=BUCKET)
        yield dynamodb, s3


def stored_rows(client: DynamoDBClient) -> list[dict[str, Any]]:
    """Every item of the table, with its typed attributes."""
    return [dict(item) for page in client.get_paginator("scan").paginate(TableName=TABLE) for item in page["Items"]]
