"""Powertools' circuit breaker over the one table: the row `BREAKER`, `<service>`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from spellcast.domain.errors import ProviderUnavailable
from spellcast.observability import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.circuit_breaker.persistence import CircuitBreakerDynamoDBPersistence
    from aws_lambda_powertools.utilities.circuit_breaker.states import CircuitTransition
    from mypy_boto3_dynamodb import DynamoDBClient

PARTITION = "BREAKER"
# In a row and in one container; a success in between begins the count anew.
FAILURES_TO_OPEN = 5
SECONDS_OPEN = 30
# A circuit is read once in this time by a container that submits.
SECONDS_KNOWN = 5

Answer = TypeVar("Answer")


@dataclass(slots=True)
class PowertoolsBreaker:
    """Implements `ports.breaker.Breaker`. Where the circuit cannot be read, it counts as closed.

    `unguarded` are services without a provider of ours behind them: the addresses are the users'.
    """

    client: Callable[[], DynamoDBClient]
    table: str
    unguarded: frozenset[str]
    seconds_known: int = SECONDS_KNOWN
    _store: CircuitBreakerDynamoDBPersistence | None = field(default=None, init=False)

    def guard(self, service: str, ask: Callable[[], Answer]) -> Answer:
        """One reading of the circuit in five seconds; written only where it opens, is tried or closes."""
        if service in self.unguarded:
            return ask()
        from aws_lambda_powertools.utilities.circuit_breaker import (
            CircuitBreakerConfig,
            CircuitBreakerOpenError,
            circuit_breaker,
        )

        config = CircuitBreakerConfig(
            failure_threshold=FAILURES_TO_OPEN,
            recovery_timeout=SECONDS_OPEN,
            success_threshold=1,
            handled_exceptions=ProviderUnavailable,
            local_cache_max_age=self.seconds_known,
        )
        guarded: Any = circuit_breaker(service, self._persistence(), on_transition=_log, config=config)(lambda: ask())
        try:
            answer: Answer = guarded()
        except CircuitBreakerOpenError as error:
            raise ProviderUnavailable(
                f"{service} was unavailable {FAILURES_TO_OPEN} times in a row and is left alone for a moment",
                nothing_started=True,
            ) from error
        return answer

    def _persistence(self) -> CircuitBreakerDynamoDBPersistence:
        if self._store is None:
            from aws_lambda_powertools.utilities.circuit_breaker.persistence import CircuitBreakerDynamoDBPersistence

            self._store = CircuitBreakerDynamoDBPersistence(
                self.table,
                key_attr="pk",
                static_pk_value=PARTITION,
                sort_key_attr="sk",
                expiry_attr="expiresAt",
                boto3_client=self.client(),
            )
        return self._store


def _log(transition: CircuitTransition) -> None:
    logger().warning(
        "A provider's circuit has changed",
        service=transition.circuit_name,
        before=str(transition.from_state),
        now=str(transition.to_state),
    )
