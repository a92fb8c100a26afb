"""Stands in for the AWS CLI: the same words, checked against botocore's models, and asked of $AWS_ENDPOINT_URL.

It knows the commands that are an operation of a service, and `wait`. Words that the models do not have end it with 2;
with `--only-check` nothing is asked.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import botocore.session
import jmespath
from botocore import xform_name
from botocore.model import Shape

GLOBAL = {"--region", "--endpoint-url", "--profile", "--query", "--output", "--only-check"}
SESSION = botocore.session.get_session()


def main(words: list[str]) -> int:
    """The exit code."""
    service, command, *rest = words
    if command == "wait":
        return _wait(service, rest[0], _options(rest[1:]))
    model = SESSION.get_service_model(service)
    names = {xform_name(name, "-"): name for name in model.operation_names}
    if command not in names:
        return _refused(f"{service} has no operation {command}")
    shape = model.operation_model(names[command]).input_shape
    assert shape, "no command here is an operation without input"
    members = {f"--{xform_name(name, '-')}": (name, member) for name, member in shape.members.items()}
    given = _switched_off(_options(rest), members)
    missing = {f"--{xform_name(name, '-')}" for name in shape.required_members} - given.keys()
    if missing or (unknown := given.keys() - GLOBAL - members.keys()):
        return _refused(f"{service} {command}: missing {sorted(missing)}" if missing else f"unknown {sorted(unknown)}")
    if "--only-check" in given:
        return 0
    parameters = {members[name][0]: _value(text, members[name][1]) for name, text in given.items() if name in members}
    client = SESSION.create_client(service, given.get("--region"), endpoint_url=given.get("--endpoint-url"))
    answer = getattr(client, xform_name(names[command]))(**parameters)
    answer.pop("ResponseMetadata", None)
    _print(jmespath.search(given["--query"], answer) if "--query" in given else answer, given.get("--output", "json"))
    return 0


def _wait(service: str, waiter: str, given: dict[str, str]) -> int:
    parameters = {name[2:].title().replace("-", ""): text for name, text in given.items()}
    SESSION.create_client(service).get_waiter(waiter.replace("-", "_")).wait(**parameters)
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


def _switched_off(given: dict[str, str], members: dict[str, tuple[str, Shape]]) -> dict[str, str]:
    """`--no-x` is an `--x` that is false."""
    negated = {name for name in given if name.startswith("--no-") and f"--{name[5:]}" in members}
    kept = {name: text for name, text in given.items() if name not in negated}
    return kept | {f"--{name[5:]}": "false" for name in negated}


def _value(text: str, shape: Shape) -> Any:
    match shape.type_name:
        case "list" | "structure" | "map":
            return json.loads(text) if text[:1] in "[{" else text.split()
        case "integer" | "long":
            return int(text)
        case "boolean":
            return text != "false"
        case _:
            return text


def _print(found: Any, form: str) -> None:
    if form == "text" and not isinstance(found, dict):
        for row in found if isinstance(found, list) else [found]:
            print(*(row if isinstance(row, list) else [row]), sep="\t")  # noqa: T201
    elif found not in (None, {}):
        print(json.dumps(found, default=str, indent=4))  # noqa: T201


def _refused(reason: str) -> int:
    print(reason, file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
