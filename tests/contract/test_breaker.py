"""ports.breaker.Breaker: Powertools' circuit breaker over the table, in several containers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aws_lambda_powertools.utilities.circuit_breaker import base as powertools
from botocore.exceptions import EndpointConnectionError

from spellcast.aws.breaker import FAILURES_TO_OPEN, SECONDS_OPEN, PowertoolsBreaker
from spellcast.domain.errors import OutcomeUnknown, ProviderRefused, ProviderUnavailable, StepFailed
from spellcast.ports.breaker import Breaker
from tests.contract.deployment import stored_rows
from tests.contract.stores import Cloud


class Provider:
    """Answers as it is told, and counts."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None

    def __call__(self) -> str:
        self.asked += 1
        if self.error:
            raise self.error
        return "answered"


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """A new process: Powertools counts in its modules."""
    counters: tuple[dict[str, Any], ...] = (
        powertools._LOCAL_FAILURES,
        powertools._LOCAL_SUCCESSES,
        powertools._LAST_OBSERVED_STATE,
    )
    for counter in counters:
        counter.clear()
    yield
    for counter in counters:
        counter.clear()


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def breaker(cloud: Cloud) -> Callable[[], Breaker]:
    """A container's; the circuit is read each time."""
    return lambda: PowertoolsBreaker(lambda: cloud.dynamodb, cloud.table.name, frozenset({"http"}), seconds_known=0)


def fail(breaker: Breaker, provider: Provider, times: int, error: StepFailed | None = None) -> None:
    provider.error = error or ProviderUnavailable("Not now.")
    for _ in range(times):
        with pytest.raises(type(provider.error)):
            breaker.guard("fal", provider)


def let_pass(cloud: Cloud, seconds: int) -> None:
    """Makes the circuit's row so much older."""
    cloud.dynamodb.update_item(
        TableName=cloud.table.name,
        Key={"pk": {"S": "BREAKER"}, "sk": {"S": "fal"}},
        UpdateExpression="SET opened_at = opened_at - :seconds",
        ExpressionAttributeValues={":seconds": {"N": str(seconds)}},
    )


def test_a_provider_that_answers_is_asked_and_nothing_is_written(
    cloud: Cloud, breaker: Callable[[], Breaker], provider: Provider
) -> None:
    assert [breaker().guard("fal", provider) for _ in range(3)] == ["answered"] * 3
    assert stored_rows(cloud.dynamodb) == []


def test_it_is_left_alone_after_five_failures_by_every_container(
    cloud: Cloud, breaker: Callable[[], Breaker], provider: Provider
) -> None:
    fail(breaker(), provider, FAILURES_TO_OPEN)
    assert provider.asked == FAILURES_TO_OPEN
    provider.error = None
    with pytest.raises(ProviderUnavailable, match=r"^fal was unavailable 5 times in a row") as raised:
        breaker().guard("fal", provider)
    assert (provider.asked, raised.value.nothing_started) == (FAILURES_TO_OPEN, True)
    assert breaker().guard("replicate", provider) == "answered"
    [row] = stored_rows(cloud.dynamodb)
    assert (row["pk"], row["sk"], row["state"]) == ({"S": "BREAKER"}, {"S": "fal"}, {"S": "OPEN"})
    assert "expiresAt" in row


def test_a_success_in_between_begins_the_count_anew(breaker: Callable[[], Breaker], provider: Provider) -> None:
    for _ in range(3):
        fail(breaker(), provider, FAILURES_TO_OPEN - 1)
        provider.error = None
        assert breaker().guard("fal", provider) == "answered"


@pytest.mark.parametrize("error", [OutcomeUnknown("Lost."), ProviderRefused("No.")])
def test_other_errors_do_not_count(breaker: Callable[[], Breaker], provider: Provider, error: StepFailed) -> None:
    fail(breaker(), provider, FAILURES_TO_OPEN * 2, error)
    provider.error = None
    assert breaker().guard("fal", provider) == "answered"


def test_it_is_tried_once_when_its_time_is_over_and_then_used_again(
    cloud: Cloud, breaker: Callable[[], Breaker], provider: Provider
) -> None:
    fail(breaker(), provider, FAILURES_TO_OPEN)
    let_pass(cloud, SECONDS_OPEN)
    asked = provider.asked
    fail(breaker(), provider, 1)
    fail(breaker(), provider, 3)
    assert provider.asked == asked + 1
    let_pass(cloud, SECONDS_OPEN)
    provider.error = None
    assert [breaker().guard("fal", provider) for _ in range(2)] == ["answered"] * 2


def test_a_probe_whose_answer_was_lost_is_asked_once_and_closes_nothing(
    cloud: Cloud, breaker: Callable[[], Breaker], provider: Provider
) -> None:
    fail(breaker(), provider, FAILURES_TO_OPEN)
    let_pass(cloud, SECONDS_OPEN)
    asked = provider.asked
    fail(breaker(), provider, 1, OutcomeUnknown("Lost."))
    assert provider.asked == asked + 1
    [row] = stored_rows(cloud.dynamodb)
    assert row["state"] == {"S": "HALF_OPEN"}


def test_users_addresses_have_no_circuit(cloud: Cloud, breaker: Callable[[], Breaker], provider: Provider) -> None:
    provider.error = ProviderUnavailable("Nobody there.")
    for _ in range(FAILURES_TO_OPEN * 2):
        with pytest.raises(ProviderUnavailable, match=r"^Nobody there"):
            breaker().guard("http", provider)
    assert stored_rows(cloud.dynamodb) == []


def test_a_circuit_that_cannot_be_read_is_closed(
    cloud: Cloud, breaker: Callable[[], Breaker], provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(**arguments: Any) -> Any:
        raise EndpointConnectionError(endpoint_url="https://dynamodb.example")

    monkeypatch.setattr(cloud.dynamodb, "get_item", unreachable)
    assert breaker().guard("fal", provider) == "answered"
