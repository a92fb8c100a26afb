"""What the template's roles allow: read by the rules of the architecture, and held against what functions call."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Resources = dict[str, dict[str, Any]]
Properties = dict[str, Any]

BASIC_EXECUTION = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"


def of_type(resources: Resources, kind: str) -> dict[str, Properties]:
    return {name: resource["Properties"] for name, resource in resources.items() if resource["Type"] == kind}


def functions(resources: Resources) -> dict[str, Properties]:
    return of_type(resources, "AWS::Lambda::Function")


def machines(resources: Resources) -> dict[str, Properties]:
    return of_type(resources, "AWS::StepFunctions::StateMachine")


def referred(value: Any) -> str:
    """The logical name behind a Ref or a GetAtt; behind a function's alias or version, the function's."""
    match value:
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), _]}:
            return re.sub(r"(?<=Function)(Aliaslive|Version[0-9a-f]+)$", "", name)
    raise AssertionError(f"refers to no resource: {value}")


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def documents(node: Any) -> Iterator[Properties]:
    """Every policy document below a node, trust policies apart."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "PolicyDocument":
                yield value
            else:
                yield from documents(value)
    elif isinstance(node, list):
        for item in node:
            yield from documents(item)


def allowed(node: Any) -> Iterator[Properties]:
    for document in documents(node):
        yield from (statement for statement in document["Statement"] if statement["Effect"] == "Allow")


def grants(resources: Resources) -> dict[str, list[Properties]]:
    """The statements that each function and machine gets by its role, shared policies included."""
    roles = {name: referred(spec["Role"]) for name, spec in functions(resources).items()}
    roles |= {name: referred(spec["RoleArn"]) for name, spec in machines(resources).items()}
    found = {}
    for name, role in roles.items():
        shared = resources[role]["Properties"].get("ManagedPolicyArns", [])
        policies = [resources[referred(arn)] for arn in shared if arn != BASIC_EXECUTION]
        found[name] = list(allowed([resources[role], *policies]))
    return found
