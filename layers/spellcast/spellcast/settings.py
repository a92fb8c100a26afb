"""The deployment's settings: environment variables that template.yaml sets (docs/architecture.md lists them)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from spellcast.domain import money
from spellcast.domain.pricing import PricingPolicy, parse_pricing


@dataclass(frozen=True, slots=True)
class Settings:
    """Read once a process; what a function is not given is empty."""

    table: str
    bucket: str
    bus: str
    http_url: str
    websocket_url: str
    websocket_endpoint: str
    cast_machine: str
    poll_machine: str
    secrets: str
    flags: str
    jwt_issuer: str
    jwt_audience: str
    allow_loopback: bool
    webhook_queue: str
    webhook_backoff_seconds: tuple[int, ...]
    pricing: PricingPolicy
    daily_budget_usd: Decimal | None

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
