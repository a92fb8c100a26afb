"""`make api-key STACK=… ACCOUNT=…`: an API key for an account of a deployed stack, printed once."""

from __future__ import annotations

import argparse

import boto3

from spellcast.application.issue_api_key import IssueApiKey
from spellcast.aws.access_store import DynamoAccessStore
from spellcast.aws.table import Table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", required=True, help="the stack that `sam deploy` made")
    parser.add_argument("--account", required=True, help="the account that the key speaks for")
    arguments = parser.parse_args()
    stack = boto3.client("cloudformation").describe_stacks(StackName=arguments.stack)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    access = DynamoAccessStore(Table(boto3.client("dynamodb"), outputs["TableName"]))
    print(IssueApiKey(access)(arguments.account))


if __name__ == "__main__":
    main()
