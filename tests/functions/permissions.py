"""Holds every call of a function against what the template allows its role; moto and the embedded cloud ask no role."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from tests.architecture.conftest import resolved_resources
from tests.policies import Resources, as_list, functions, grants

ACTIONS = {
    "UploadPart": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "PostToConnection": "ManageConnections",
    "DeleteConnection": "ManageConnections",
}
PREFIXES = {
    "dynamodb": "dynamodb",
    "s3": "s3",
    "secrets-manager": "secretsmanager",
    "sfn": "states",
    "eventbridge": "events",
    "sqs": "sqs",
    "codedeploy": "codedeploy",
    "apigatewaymanagementapi": "execute-api",
}


@cache
def resources() -> Resources:
    """The template's, of the stage that these tests are."""
    return resolved_resources({"Stage": "test"})


@cache
def roles() -> dict[str, list[dict[str, Any]]]:
    """The statements of each function, by the name of its folder."""
    granted = grants(resources())
    return {spec["FunctionName"].split("-")[-1]: granted[name] for name, spec in functions(resources()).items()}


def caller() -> str | None:
    """The folder of the handler that is at work; None for a test's own calls."""
    frame = sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]
        path = Path(frame.f_code.co_filename)
        if path.name == "app.py" and path.parent.parent.name == "functions":
            return path.parent.name
    return None


def refusals(function: str, service: str, operation: str, params: dict[str, Any]) -> Iterator[str]:
    """What of a call the function's role does not allow."""
    for action, keys in _asked(operation, params):
        needed = f"{PREFIXES[service]}:{ACTIONS.get(action, action)}"
        if not any(_allows(statement, needed, keys, params) for statement in roles()[function]):
            yield f"{function} may not {needed} {keys or ''}"


def _asked(operation: str, params: dict[str, Any]) -> Iterator[tuple[str, set[str]]]:
    """The actions that a call needs, each with the table's partitions that it is for."""
    match operation:
        case "TransactWriteItems":
            for item in params["TransactItems"]:
                [(kind, write)] = item.items()
                yield f"{kind}Item", _partitions(write)
        case "BatchGetItem" | "BatchWriteItem":
            for asked in params["RequestItems"].values():
                keys = asked["Keys"] if operation == "BatchGetItem" else [item["PutRequest"]["Item"] for item in asked]
                yield operation, {key["pk"]["S"] for key in keys}
        case _:
            yield operation, _partitions(params)


def _partitions(params: dict[str, Any]) -> set[str]:
    if "KeyConditionExpression" in params:
        values = params["ExpressionAttributeValues"]
        return {(values.get(":pk") or values[":partition"])["S"]}
    found = params.get("Key") or params.get("Item")
    return {found["pk"]["S"]} if isinstance(found, dict) else set()


def _allows(statement: dict[str, Any], action: str, keys: set[str], params: dict[str, Any]) -> bool:
    if action not in as_list(statement["Action"]):
        return False
    places = as_list(statement["Resource"])
    if action.startswith("dynamodb:") and any("/index/" in str(place) for place in places) != ("IndexName" in params):
        return False
    target = _target(params)
    if target is not None and not any(fnmatchcase(target, _pattern(place)) for place in places):
        return False
    patterns = [
        pattern for rule in statement.get("Condition", {}).values() for pattern in as_list(rule["dynamodb:LeadingKeys"])
    ]
    return not patterns or all(any(fnmatchcase(key, pattern) for pattern in patterns) for key in keys)


def _target(params: dict[str, Any]) -> str | None:
    """What else than a row a call is about: an object, a secret, a state machine or one of its executions."""
    if isinstance(params.get("Key"), str):
        return f"bucket/{params['Key']}"
    if "stateMachineArn" in params:  # Step Functions asks for the machine, whichever version or alias is named
        return ":".join(params["stateMachineArn"].split(":")[:7])
    named: str | None = params.get("SecretId") or params.get("executionArn")
    return named


def _pattern(place: Any) -> str:
    """What a statement is for, as `_target` says it."""
    match place:
        case {"Ref": str(name)}:
            return str(resources()[name]["Properties"].get("Name"))
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{[\w:]+\}", "*", text.replace("${Bucket.Arn}", "bucket"))
    return str(place)
