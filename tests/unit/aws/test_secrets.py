"""Secrets Manager: read once in five minutes, and empty where nobody configured a provider."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_lambda_powertools.utilities.parameters.base import ExpirableValue
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError
from botocore.stub import Stubber

from spellcast.aws.secrets import MAX_AGE_SECONDS, SecretsManagerSecrets
from spellcast.domain.errors import ProviderNotConfigured
from spellcast.domain.limits import Limits
from spellcast.ports.adapter import ProviderConfig
from tests.unit.aws.stubs import client_of, stubbed

NAME = "spellcast/test/replicate"
COMPLETE = '{"url":"https://api.example","key":"k","webhookSecret":"whsec_eA"}'


@pytest.fixture
def stub() -> Stubber:
    return stubbed("secretsmanager")


@pytest.fixture
def provider(stub: Stubber) -> SecretsProvider:
    return SecretsProvider(boto3_client=client_of(stub))


@pytest.fixture
def secrets(provider: SecretsProvider) -> SecretsManagerSecrets:
    return SecretsManagerSecrets(lambda: provider, "spellcast/test/")


@pytest.fixture
def age(provider: SecretsProvider) -> Callable[[int], None]:
    """Makes every kept secret older by so many seconds."""

    def make_older(seconds: int) -> None:
        for key, kept in provider.store.items():
            provider.store[key] = ExpirableValue(kept.value, kept.ttl - timedelta(seconds=seconds))

    return make_older


def add(stub: Stubber, name: str, value: str | bytes) -> None:
    answer: dict[str, Any] = {"Name": name}
    answer["SecretBinary" if isinstance(value, bytes) else "SecretString"] = value
    stub.add_response("get_secret_value", answer, {"SecretId": name})


def test_the_signing_key_is_the_secret_as_it_stands(secrets: SecretsManagerSecrets, stub: Stubber) -> None:
    add(stub, "spellcast/test/callback-signing", "a signing key")
    assert secrets.callback_signing_key() == "a signing key"


def test_a_binary_secret_is_read_too(secrets: SecretsManagerSecrets, stub: Stubber) -> None:
    add(stub, "spellcast/test/callback-signing", b"a signing key")
    assert secrets.callback_signing_key() == "a signing key"


def test_a_secret_is_kept_for_five_minutes_and_then_read_again(
    secrets: SecretsManagerSecrets, stub: Stubber, age: Callable[[int], None]
) -> None:
    add(stub, "spellcast/test/callback-signing", "old")
    assert [secrets.callback_signing_key() for _ in range(3)] == ["old"] * 3
    age(MAX_AGE_SECONDS - 5)
    assert secrets.callback_signing_key() == "old"
    add(stub, "spellcast/test/callback-signing", "new")
    age(10)
    assert secrets.callback_signing_key() == "new"
    stub.assert_no_pending_responses()


def test_kept_secrets_expire_by_the_time_of_today(
    secrets: SecretsManagerSecrets, provider: SecretsProvider, stub: Stubber
) -> None:
    add(stub, NAME, COMPLETE)
    secrets.provider_config("replicate")
    (kept,) = provider.store.values()
    remaining = kept.ttl - (datetime.now(UTC) if kept.ttl.tzinfo else datetime.now())
    assert timedelta(seconds=290) < remaining <= timedelta(seconds=300)


def test_a_providers_secret_is_its_configuration(secrets: SecretsManagerSecrets, stub: Stubber) -> None:
    add(stub, NAME, COMPLETE)
    assert secrets.provider_config("replicate") == ProviderConfig("https://api.example", "k", "whsec_eA")


def test_a_secret_may_name_who_pays(secrets: SecretsManagerSecrets, stub: Stubber) -> None:
    add(stub, "spellcast/test/huggingface", '{"key": "k", "billTo": "an-org"}')
    assert secrets.provider_config("huggingface") == ProviderConfig(key="k", bill_to="an-org")


def test_the_templates_first_value_is_an_empty_configuration(secrets: SecretsManagerSecrets, stub: Stubber) -> None:
    add(stub, NAME, "{}")
    assert secrets.provider_config("replicate") == ProviderConfig()


def test_a_providers_limits_are_part_of_it(secrets: SecretsManagerSecrets, stub: Stubber) -> None:
    add(stub, NAME, '{"key":"k","limits":{"jobsInFlight":10,"perAccount":{"jobsInFlight":2}}}')
    assert secrets.provider_config("replicate").limits == Limits(jobs=10, account_jobs=2)


def test_limits_that_cannot_be_kept_are_not_left_out(secrets: SecretsManagerSecrets, stub: Stubber) -> None:
    add(stub, NAME, '{"key":"k9k9","limits":{"jobsInFlight":"ten"}}')
    with pytest.raises(ProviderNotConfigured) as raised:
        secrets.provider_config("replicate")
    assert raised.value.message == (
        "The secret of replicate has limits that cannot be kept: "
        "limits.jobsInFlight is not a whole number from 1 to 1000."
    )


def test_a_service_without_a_secret_has_an_empty_configuration(secrets: SecretsManagerSecrets, stub: Stubber) -> None:
    stub.add_client_error("get_secret_value", "ResourceNotFoundException")
    assert secrets.provider_config("replicate") == ProviderConfig()


def test_a_signing_key_that_is_absent_is_an_error(secrets: SecretsManagerSecrets, stub: Stubber) -> None:
    stub.add_client_error("get_secret_value", "ResourceNotFoundException")
    with pytest.raises(GetParameterError):
        secrets.callback_signing_key()


@pytest.mark.parametrize("code", ["ThrottlingException", "InternalServiceError", "AccessDeniedException"])
def test_a_secret_that_cannot_be_read_is_an_error(secrets: SecretsManagerSecrets, stub: Stubber, code: str) -> None:
    stub.add_client_error("get_secret_value", code)
    with pytest.raises(GetParameterError):
        secrets.provider_config("replicate")


def test_no_secret_shows_in_a_representation() -> None:
    assert "k" * 9 not in repr(ProviderConfig("https://api.example", "k" * 9, "k" * 9))
