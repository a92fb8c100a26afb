"""`python scripts/deploy_flags.py --stack STACK flags.json`: other flags for a stack that runs, without deploying it.

`--delete` instead of a file deletes what this made: AppConfig refuses to delete a stack's profile while it holds more
than the stack's own content. AWS_ENDPOINT_URL leads both to the embedded cloud.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import boto3
from aws_lambda_powertools.utilities.feature_flags import SchemaValidator
from aws_lambda_powertools.utilities.feature_flags.exceptions import SchemaValidationError
from botocore.exceptions import ClientError

# What `aws/flags.py` tells a rule of the account that asks.
KNOWN_KEYS = ("account", "share")


def deploy(appconfig: Any, profile: dict[str, str], environment: str, strategy: str, content: bytes) -> str:
    """The state of the deployment, COMPLETE or on its way there. Raises ValueError for what Powertools cannot use."""
    try:
        flags = json.loads(content)
        SchemaValidator(flags).validate()
    except SchemaValidationError as error:
        raise ValueError(str(error)) from error
    if "cast_here" not in flags:
        raise ValueError("the flag cast_here is missing")
    for name, rule in flags["cast_here"].get("rules", {}).items():
        for condition in rule["conditions"]:
            if condition["key"] not in KNOWN_KEYS:
                # Powertools would take it for a rule that never matches.
                raise ValueError(f"rule {name!r}: there is no key {condition['key']!r}, there are account and share")
    made = appconfig.create_hosted_configuration_version(**profile, ContentType="application/json", Content=content)
    started = appconfig.start_deployment(
        **profile,
        EnvironmentId=environment,
        ConfigurationVersion=str(made["VersionNumber"]),
        DeploymentStrategyId=strategy,
    )
    return str(started["State"])


def delete(appconfig: Any, profile: dict[str, str]) -> int:
    """How many contents were deleted: all but the first, which is the stack's."""
    found = appconfig.list_hosted_configuration_versions(**profile, MaxResults=50)["Items"]
    made = [item["VersionNumber"] for item in found if item["VersionNumber"] > 1]
    for number in made:
        appconfig.delete_hosted_configuration_version(**profile, VersionNumber=number)
    return len(made)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", required=True, help="the stack that `sam deploy` made")
    parser.add_argument("--delete", action="store_true", help="delete what was deployed by this, before the stack")
    parser.add_argument("flags", type=Path, nargs="?", help="Powertools' feature flags, as JSON")
    arguments = parser.parse_args()
    try:
        stack = boto3.client("cloudformation").describe_stacks(StackName=arguments.stack)["Stacks"][0]
    except ClientError as error:
        sys.exit(f"{arguments.stack}: {error}")
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    application, environment, profile_id = outputs["Flags"].split("/")
    profile = {"ApplicationId": application, "ConfigurationProfileId": profile_id}
    appconfig = boto3.client("appconfig")
    if arguments.delete:
        print(f"{delete(appconfig, profile)} deleted")
        return
    if arguments.flags is None:
        parser.error("a file of flags is required")
    try:
        state = deploy(appconfig, profile, environment, outputs["FlagsStrategy"], arguments.flags.read_bytes())
    except (OSError, ValueError) as error:
        sys.exit(f"{arguments.flags}: {error}")
    print(f"{state}; every container follows within 30 seconds")


if __name__ == "__main__":
    main()
