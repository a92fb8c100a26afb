"""Flags through Powertools: rules per account, kept for half a minute, and what was good kept through an outage."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest
from aws_lambda_powertools.utilities.feature_flags import AppConfigStore
from aws_lambda_powertools.utilities.feature_flags.base import StoreProvider
from botocore.response import StreamingBody

from spellcast.aws.flags import MAX_AGE, AppConfigFlags
from spellcast.domain.errors import FlagsUnreadable
from spellcast.domain.identifiers import share_of
from tests.contract.deployment import properties
from tests.fakes.clock import FakeClock
from tests.unit.aws.stubs import client_of, stubbed

OFF: dict[str, Any] = {"default": False}
ON: dict[str, Any] = {"default": True}


def rule(action: str, key: str, value: Any) -> dict[str, Any]:
    return {"when_match": True, "conditions": [{"action": action, "key": key, "value": value}]}


ALICE = {"default": False, "rules": {"one by one": rule("IN", "account", ["alice", "65f0a1b2c3d4e5f60718293a"])}}
TENTH = {"default": False, "rules": {"a tenth": rule("MODULO_RANGE", "share", {"BASE": 100, "START": 0, "END": 9})}}


class Deployed:
    """AppConfig's data plane, answer by answer; the sessions that were begun are counted."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.stub = stubbed("appconfigdata")
        self.sessions = 0
        self.flags = AppConfigFlags(self._open, self.clock)

    def _open(self) -> StoreProvider:
        self.sessions += 1
        return AppConfigStore("e", "a", "p", max_age=0, boto3_client=client_of(self.stub))

    def begins(self) -> None:
        self.stub.add_response("start_configuration_session", {"InitialConfigurationToken": "token"})

    def serves(self, content: Any) -> None:
        raw = content if isinstance(content, bytes) else json.dumps({"cast_here": content}).encode()
        body = StreamingBody(BytesIO(raw), len(raw))
        answer = {"NextPollConfigurationToken": "next", "Configuration": body}
        self.stub.add_response("get_latest_configuration", answer)

    def fails(self, code: str = "BadRequestException") -> None:
        self.stub.add_client_error("get_latest_configuration", code)


@pytest.fixture
def deployed() -> Deployed:
    return Deployed()


@pytest.mark.parametrize(
    ("flag", "account", "here"),
    [
        (OFF, "alice", False),
        (ON, "alice", True),
        (ALICE, "alice", True),
        (ALICE, "65f0a1b2c3d4e5f60718293a", True),
        (ALICE, "bob", False),
        (ALICE, "Alice", False),
    ],
)
def test_the_flag_is_on_for_the_accounts_that_its_rules_name(
    deployed: Deployed, flag: dict[str, Any], account: str, here: bool
) -> None:
    deployed.begins()
    deployed.serves(flag)
    assert deployed.flags.casts_here(account) is here


def test_a_share_of_the_accounts_moves_by_a_range_and_stays_moved(deployed: Deployed) -> None:
    deployed.begins()
    deployed.serves(TENTH)
    accounts = [f"account-{number}" for number in range(2000)]
    moved = {account for account in accounts if deployed.flags.casts_here(account)}
    assert moved == {account for account in accounts if share_of(account) < 10}
    assert 0.07 < len(moved) / len(accounts) < 0.13


def test_a_change_is_seen_after_half_a_minute_and_not_asked_for_before(deployed: Deployed) -> None:
    deployed.begins()
    deployed.serves(OFF)
    assert [deployed.flags.casts_here("alice") for _ in range(3)] == [False] * 3
    deployed.clock.advance(MAX_AGE.total_seconds() - 1)
    assert deployed.flags.casts_here("alice") is False
    deployed.stub.assert_no_pending_responses()
    deployed.serves(ON)
    deployed.clock.advance(1)
    assert deployed.flags.casts_here("alice") is True
    assert deployed.sessions == 1


@pytest.mark.parametrize(
    "breaks",
    [
        lambda deployed: deployed.fails(),
        lambda deployed: deployed.fails("AccessDeniedException"),
        lambda deployed: deployed.fails("InternalServerException"),
        lambda deployed: deployed.serves(b"no JSON"),
        lambda deployed: deployed.serves({"rules": {}}),
    ],
    ids=["token lost", "denied", "down", "no JSON", "no flag"],
)
def test_through_an_outage_the_last_good_flags_count_and_a_new_session_follows(deployed: Deployed, breaks: Any) -> None:
    deployed.begins()
    deployed.serves(ALICE)
    assert deployed.flags.casts_here("alice") is True
    deployed.clock.advance(31)
    breaks(deployed)
    assert [deployed.flags.casts_here(account) for account in ("alice", "bob")] == [True, False]
    deployed.clock.advance(31)
    deployed.begins()
    deployed.serves(OFF)
    assert deployed.flags.casts_here("alice") is False
    assert deployed.sessions == 2


def test_where_nothing_was_ever_read_nobody_guesses_and_the_next_request_asks_again(deployed: Deployed) -> None:
    deployed.begins()
    deployed.fails()
    with pytest.raises(FlagsUnreadable):
        deployed.flags.casts_here("alice")
    deployed.begins()
    deployed.serves(ON)
    assert deployed.flags.casts_here("alice") is True


def test_flags_without_this_one_are_no_answer(deployed: Deployed) -> None:
    deployed.begins()
    deployed.serves(b'{"another": {"default": true}}')
    with pytest.raises(FlagsUnreadable):
        deployed.flags.casts_here("alice")


def test_the_templates_own_flags_leave_every_account_where_it_is(deployed: Deployed) -> None:
    deployed.begins()
    deployed.serves(properties("FlagsContent")["Content"].encode())
    assert deployed.flags.casts_here("alice") is False
