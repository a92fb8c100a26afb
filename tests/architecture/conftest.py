"""The template as CloudFormation would get it: transformed, and resolved for one stage."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).parents[2]
LOCAL_CODE = ("CodeUri", "ContentUri", "DefinitionUri")
BASIC_EXECUTION = "AWSLambdaBasicExecutionRole"
REVISION = "0123456789abcdef"
NO_VALUE = {"Ref": "AWS::NoValue"}

Resources = dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def template() -> dict[str, Any]:
    return read_template()


@pytest.fixture(scope="session")
def resources() -> Callable[..., Resources]:
    """Gives the resources that a stage creates, by logical name; parameters by keyword."""

    def of_stage(stage: str, **parameters: str) -> Resources:
        return resolved_resources({"Stage": stage, **parameters})

    return of_stage


@pytest.fixture(scope="session")
def prod(resources: Callable[..., Resources]) -> Resources:
    return resources("prod", WebSocketAccessLogs="true")


def read_template() -> dict[str, Any]:
    template: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text())
    return template


def resolved_resources(parameters: dict[str, str]) -> Resources:
    source = read_template()
    for resource in source["Resources"].values():
        for key in set(LOCAL_CODE) & set(resource.get("Properties", {})):
            resource["Properties"][key] = "s3://bucket/key"  # as `sam package` would
    defaults = {name: str(spec["Default"]) for name, spec in source["Parameters"].items() if "Default" in spec}
    values = {"Revision": REVISION} | defaults | parameters
    translator = Translator(None, Parser(), boto_session=boto3.Session(region_name="us-east-1"))
    stack = translator.translate(
        source,
        parameter_values=values,
        get_managed_policy_map=lambda: {BASIC_EXECUTION: f"arn:aws:iam::aws:policy/{BASIC_EXECUTION}"},
    )
    truths = {name: holds(condition, values, stack["Conditions"]) for name, condition in stack["Conditions"].items()}
    settings = source["Mappings"]["Stages"].get(values["Stage"], {})  # the functions' tests are a stage without any
    return {
        name: resolve(resource, values | {f"Stages.{key}": value for key, value in settings.items()}, truths)
        for name, resource in stack["Resources"].items()
        if "Condition" not in resource or truths[resource["Condition"]]
    }


def holds(condition: dict[str, Any], values: dict[str, str], named: dict[str, Any]) -> bool:
    match condition:
        case {"Condition": name}:
            return holds(named[name], values, named)
        case {"Fn::Not": [inner]}:
            return not holds(inner, values, named)
        case {"Fn::And": all_of_them}:
            return all(holds(inner, values, named) for inner in all_of_them)
        case {"Fn::Or": alternatives}:
            return any(holds(inner, values, named) for inner in alternatives)
        case {"Fn::Equals": [{"Ref": name}, value]}:
            return values[name] == str(value)
    raise AssertionError(f"a condition that these tests cannot read: {condition}")


def resolve(node: Any, values: dict[str, Any], truths: dict[str, bool]) -> Any:
    """Decides every Fn::If, fills in the parameters and the stage's settings; what refers to resources stays."""
    match node:
        case {"Fn::If": [name, yes, no]}:
            return resolve(yes if truths[name] else no, values, truths)
        case {"Ref": name} if name in values:
            return values[name]
        case {"Fn::FindInMap": ["Stages", {"Ref": "Stage"}, key]} if f"Stages.{key}" in values:
            return values[f"Stages.{key}"]
        case {"Fn::Sub": str(text)}:
            filled = re.sub(r"\$\{(\w+)\}", lambda found: str(values.get(found[1], found[0])), text)
            return {"Fn::Sub": filled} if "${" in filled else filled
        case dict():
            inner = {key: resolve(value, values, truths) for key, value in node.items()}
            return {key: value for key, value in inner.items() if value != NO_VALUE}
        case list():
            return [item for item in (resolve(value, values, truths) for value in node) if item != NO_VALUE]
    return node
