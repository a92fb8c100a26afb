"""Flags are checked before they are deployed, and deployed by the stack's own strategy."""

from __future__ import annotations

import pytest
from botocore.stub import Stubber

from scripts.deploy_flags import delete, deploy
from tests.unit.aws.stubs import client_of, stubbed

PROFILE = {"ApplicationId": "abcdef1", "ConfigurationProfileId": "abcdef2"}
FLAGS = b'{"cast_here": {"default": true}}'


@pytest.fixture
def appconfig() -> Stubber:
    return stubbed("appconfig")


def test_flags_are_stored_and_deployed(appconfig: Stubber) -> None:
    stored = {**PROFILE, "ContentType": "application/json", "Content": FLAGS}
    appconfig.add_response("create_hosted_configuration_version", {"VersionNumber": 7}, stored)
    started = {
        **PROFILE,
        "EnvironmentId": "abcdef3",
        "ConfigurationVersion": "7",
        "DeploymentStrategyId": "abcdef4",
    }
    appconfig.add_response("start_deployment", {"State": "COMPLETE"}, started)
    assert deploy(client_of(appconfig), PROFILE, "abcdef3", "abcdef4", FLAGS) == "COMPLETE"
    appconfig.assert_no_pending_responses()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"cast_here": {}}',
        b'{"cast_here": {"default": "yes"}}',
        b'{"cast_there": {"default": true}}',
        b'{"cast_here": {"default": true, "rules": {"r": {"when_match": true, "conditions": '
        b'[{"action": "IN", "key": "acount", "value": ["a"]}]}}}}',
        b'{"cast_here": {"default": true, "rules": {"r": {"when_match": true, "conditions": [{"action": "LIKE"}]}}}}',
    ],
)
def test_what_powertools_cannot_use_is_not_stored(appconfig: Stubber, content: bytes) -> None:
    with pytest.raises(ValueError):
        deploy(client_of(appconfig), PROFILE, "abcdef3", "abcdef4", content)


def test_everything_but_the_stacks_own_content_can_be_deleted(appconfig: Stubber) -> None:
    versions = {"Items": [{"VersionNumber": number} for number in (3, 2, 1)]}
    appconfig.add_response("list_hosted_configuration_versions", versions, {**PROFILE, "MaxResults": 50})
    for number in (3, 2):
        appconfig.add_response("delete_hosted_configuration_version", {}, {**PROFILE, "VersionNumber": number})
    assert delete(client_of(appconfig), PROFILE) == 2
    appconfig.assert_no_pending_responses()
