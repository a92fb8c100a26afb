"""The deployment's settings: environment variables that template.yaml sets (docs/reference/settings.md)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from spellcast.domain import money
from spellcast.domain.pricing import PricingPolicy, parse_pricing


@dataclass(frozen=True, slots=True)
class Settings:
    """Read once a process, each from `SPELLCAST_` and its name; what a function is not given is empty."""

    table: Annotated[str, "Name of the table."]
    bucket: Annotated[str, "Name of the bucket."]
    bus: Annotated[str, "Name of the bus."]
    http_url: Annotated[str, "Where providers call back: the API's address."]
    websocket_url: Annotated[str, "Where clients connect."]
    websocket_endpoint: Annotated[str, "Where messages to connections are posted."]
    cast_machine: Annotated[str, "ARN of the state machine that runs casts."]
    poll_machine: Annotated[str, "ARN of the state machine that polls jobs."]
    secrets: Annotated[str, "Prefix of the secrets: `callback-signing`, `internal-key`, and one for each provider."]
    flags: Annotated[str, "Application, environment and profile of the flags in AppConfig, with slashes between."]
    jwt_issuer: Annotated[str, "Whose bearer tokens are accepted; none where it is empty."]
    jwt_audience: Annotated[str, "Whom they must name."]
    allow_loopback: Annotated[bool, "`true` lets outbound calls go to this machine, over http too."]
    webhook_queue: Annotated[str, "Address of the queue of casters' webhooks."]
    webhook_backoff_seconds: Annotated[tuple[int, ...], "Seconds before the second and the third attempt."]
    pricing: Annotated[PricingPolicy, "The platform's price of a run, as JSON."]
    daily_budget_usd: Annotated[Decimal | None, "US dollars an account may spend on a day (UTC); 0: no limit."]

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """From `SPELLCAST_*`. Raises ValueError where the pricing or the daily budget is wrong."""
        source = os.environ if environment is None else environment

        def value(name: str) -> str:
            return source.get(f"SPELLCAST_{name}", "")

        return cls(
            table=value("TABLE"),
            bucket=value("BUCKET"),
            bus=value("BUS"),
            http_url=value("HTTP_URL"),
            websocket_url=value("WEBSOCKET_URL"),
            websocket_endpoint=value("WEBSOCKET_ENDPOINT"),
            cast_machine=value("CAST_MACHINE"),
            poll_machine=value("POLL_MACHINE"),
            secrets=value("SECRETS"),
            flags=value("FLAGS"),
            jwt_issuer=value("JWT_ISSUER"),
            jwt_audience=value("JWT_AUDIENCE"),
            allow_loopback=value("ALLOW_LOOPBACK") == "true",
            webhook_queue=value("WEBHOOK_QUEUE"),
            webhook_backoff_seconds=tuple(int(wait) for wait in value("WEBHOOK_BACKOFF_SECONDS").split(",") if wait),
            pricing=parse_pricing(value("PRICING")),
            daily_budget_usd=_budget(value("DAILY_BUDGET_USD")),
        )


def _budget(text: str) -> Decimal | None:
    """US dollars; None where there is none, or 0."""
    if text and not re.fullmatch(money.TEXT_PATTERN, text):
        raise ValueError("The daily budget is not a decimal number of at most 12 digits and 12 places.")
    return Decimal(text or 0) or None
