"""Stands in for the AWS CLI: the same words, checked against botocore's models, and asked of $AWS_ENDPOINT_URL.

It knows the commands that are an operation of a service; options that such an operation does not have end it with 2.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import boto3
import jmespath
from botocore import xform_name
from botocore.model import OperationModel, Shape

GLOBAL = {"--region", "--endpoint-url", "--profile", "--query", "--output"}


def main(words: list[str]) -> int:
    service, command, *rest = words
    given = _options(rest)
    session = boto3.session.Session(region_name=given.get("--region"))
    client = session.client(service, endpoint_url=given.get("--endpoint-url"))  # type: ignore[call-overload]
    names = {xform_name(name, "-"): name for name in client.meta.service_model.operation_names}
    if command not in names:
        return _refused(f"{service} has no operation {command}")
    operation = client.meta.service_model.operation_model(names[command])
    members = _members(operation)
    unknown = given.keys() - GLOBAL - members.keys()
    missing = {f"--{xform_name(name, '-')}" for name in operation.input_shape.required_members} - given.keys()
    if unknown or missing:
        return _refused(f"{service} {command}: unknown {sorted(unknown)}, missing {sorted(missing)}")
    parameters = {members[name][0]: _value(text, members[name][1]) for name, text in given.items() if name in members}
    answer = getattr(client, xform_name(names[command]))(**parameters)
    answer.pop("ResponseMetadata", None)
    found = jmespath.search(given["--query"], answer) if "--query" in given else answer
    _print(found, given.get("--output", "json"))
    return 0


def _options(words: list[str]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name = word
            found[name] = []
        else:
            found[name].append(word)
    return {name: " ".join(values) for name, values in found.items()}


def _members(operation: OperationModel) -> dict[str, tuple[str, Shape]]:
    shape = operation.input_shape
    return {f"--{xform_name(name, '-')}": (name, member) for name, member in shape.members.items()} if shape else {}


def _value(text: str, shape: Shape) -> Any:
    if shape.type_name in ("list", "structure", "map"):
        return json.loads(text) if text[:1] in "[{" else text.split()
    if shape.type_name in ("integer", "long"):
        return int(text)
    return text == "" or text == "true" if shape.type_name == "boolean" else text


def _print(found: Any, form: str) -> None:
    if form == "text" and not isinstance(found, dict):
        rows = found if isinstance(found, list) else [found]
        for row in rows:
            print(*(row if isinstance(row, list) else [row]), sep="\t")  # noqa: T201
    elif found not in (None, {}):
        print(json.dumps(found, default=str, indent=4))  # noqa: T201


def _refused(reason: str) -> int:
    print(reason, file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
