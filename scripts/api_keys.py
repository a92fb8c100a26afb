"""An account's API keys on a deployed stack: `python scripts/api_keys.py --stack STACK --account ACCOUNT issue`.

`list` says which there are, `rotate KEYID` replaces one by a new one, `revoke KEYID` ends one at once. A new key is
printed once; only its fingerprint is stored, which is its id.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import timedelta

import boto3
from botocore.exceptions import ClientError

from spellcast.application.issue_api_key import IssueApiKey
from spellcast.application.revoke_api_key import RevokeApiKey
from spellcast.application.rotate_api_key import RotateApiKey
from spellcast.aws.access_store import DynamoAccessStore
from spellcast.aws.clock import SystemClock
from spellcast.aws.table import Table
from spellcast.domain import times
from spellcast.domain.errors import ApiKeyNotFound
from spellcast.ports.clock import Clock
from spellcast.ports.store import AccessStore, ApiKey


def run(access: AccessStore, clock: Clock, arguments: argparse.Namespace) -> Iterator[str]:
    """The lines to print. Raises ApiKeyNotFound."""
    match arguments.action:
        case "issue":
            yield IssueApiKey(access, clock)(arguments.account)
        case "list":
            yield from map(_line, _all(access, arguments.account))
        case "rotate":
            overlap = timedelta(hours=arguments.hours)
            issued, _ = RotateApiKey(access, clock)(arguments.account, arguments.key, overlap)
            yield issued.secret
        case _:
            RevokeApiKey(access)(arguments.account, arguments.key)
            yield "revoked; the next request with it is refused"


def _all(access: AccessStore, account_id: str) -> Iterator[ApiKey]:
    page = access.list_api_keys(account_id, limit=100, cursor=None)
    yield from page.items
    while page.cursor:
        page = access.list_api_keys(account_id, limit=100, cursor=page.cursor)
        yield from page.items


def _line(key: ApiKey) -> str:
    end = f" until {times.to_text(key.expires_at)}" if key.expires_at else ""
    return f"{key.fingerprint} made {times.to_text(key.created_at)}{end}"


def parsed(words: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", required=True, help="the stack that `sam deploy` made")
    parser.add_argument("--account", required=True, help="the account that the key speaks for")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("issue")
    actions.add_parser("list")
    rotate, revoke = actions.add_parser("rotate"), actions.add_parser("revoke")
    for action in (rotate, revoke):
        action.add_argument("key", help="the key's id, as `list` prints it")
    rotate.add_argument("--hours", type=int, default=24, help="for how long the old key stays good (24)")
    return parser.parse_args(words)


def main() -> None:
    arguments = parsed(sys.argv[1:])
    try:
        stack = boto3.client("cloudformation").describe_stacks(StackName=arguments.stack)["Stacks"][0]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        access = DynamoAccessStore(Table(boto3.client("dynamodb"), outputs["TableName"]))
        for line in run(access, SystemClock(), arguments):
            print(line)
    except (ClientError, ApiKeyNotFound) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
