"""Secrets Manager, through Powertools: read when used, kept for five minutes; a rotation needs no deployment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from spellcast.domain import documents
from spellcast.domain.errors import ProviderNotConfigured
from spellcast.domain.limits import parse_limits
from spellcast.ports.adapter import ProviderConfig

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.parameters import SecretsProvider

MAX_AGE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class SecretsManagerSecrets:
    """Implements `ports.secrets.Secrets`, and holds the providers' configuration: one secret a service."""

    provider: Callable[[], SecretsProvider]
    prefix: str

    def callback_signing_key(self) -> str:
        """The key of the tokens in callback URLs."""
        return self._get("callback-signing")

    def internal_key(self) -> str:
        """The key that callers of the internal routes send."""
        return self._get("internal-key")

    def provider_config(self, service: str) -> ProviderConfig:
        """`{"url", "key", "webhookSecret", "billTo", "limits"}` of a service; empty where there is no such secret.

        Raises ProviderNotConfigured where the limits are wrong: none would be the wrong guess.
        """
        from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

        try:
            content = documents.from_text(self._get(service))
        except GetParameterError as error:
            # Powertools wraps every error; only an absent secret means that nobody configured the service.
            cause = error.__cause__ or error.__context__
            if isinstance(cause, ClientError) and cause.response["Error"]["Code"] == "ResourceNotFoundException":
                return ProviderConfig()
            raise
        try:
            limits = parse_limits(content.get("limits"))
        except ValueError as error:
            raise ProviderNotConfigured(f"The secret of {service} has limits that cannot be kept: {error}.") from error
        return ProviderConfig(
            content.get("url", ""),
            content.get("key", ""),
            content.get("webhookSecret", ""),
            bill_to=content.get("billTo", ""),
            limits=limits,
        )

    def _get(self, name: str) -> str:
        value = self.provider().get(self.prefix + name, max_age=MAX_AGE_SECONDS)
        return value.decode() if isinstance(value, bytes) else str(value)
