"""The platform's price of a run, in points: a policy of the deployment (docs/costs.md says how it is made)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Context, Decimal

from spellcast.domain import money
from spellcast.domain.documents import Document

# More digits than a cost of 38 and three figures of 24 can make together: nothing is rounded but the points.
_WIDE = Context(prec=120, rounding=ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class PricingPolicy:
    """`multipliers` by service, 1 for all others; runs of the services in `never_charged` take no points.

    The points of failed and cancelled steps are given back where `refund_failed`; of what others pay for a spell its
    creator gets `creator_share`, 0 to 1. The prices are the original's (original-system.md §3.5); it gave nothing back,
    and 0.7 of what was charged before the first step, of which there is nothing here (§4.8).
    """

    usd_per_point: Decimal = Decimal("0.000337")
    floor_usd: Decimal = Decimal("0.001")
    multipliers: Mapping[str, Decimal] = field(default_factory=lambda: {"comfyui": Decimal(4)})
    never_charged: frozenset[str] = frozenset({"string"})
    refund_failed: bool = False
    creator_share: Decimal = Decimal(0)

    def price_usd(self, service: str, cost_usd: Decimal) -> Decimal:
        """The price in US dollars of a run that cost this: never under the floor."""
        return max(_WIDE.multiply(cost_usd, self.multipliers.get(service, Decimal(1))), self.floor_usd)

    def points(self, service: str, cost_usd: Decimal) -> int:
        """The price in whole points, at least one."""
        points = _WIDE.divide(self.price_usd(service, cost_usd), self.usd_per_point)
        return max(1, int(points.to_integral_value(ROUND_HALF_UP, _WIDE)))

    def charge(self, service: str, cost_usd: Decimal, *, completed: bool = True) -> int:
        """The points that a run takes: its price where it completed, or where it failed and cost something."""
        if service in self.never_charged or not (completed or cost_usd > 0):
            return 0
        return self.points(service, cost_usd)


def parse_pricing(text: str) -> PricingPolicy:
    """`{usdPerPoint?, floorUsd?, multipliers?: {service: factor}, neverCharged?: [service], refundFailed?: bool,
    creatorShare?}`; what is left out has its default. Figures are decimal strings or numbers.

    Raises ValueError with every fault.
    """
    try:
        document = json.loads(text or "{}", parse_float=str, parse_int=str)
    except ValueError as error:
        raise ValueError(f"The pricing is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ValueError("The pricing is not a JSON object.")
    faults = [f"{key} is not known" for key in document.keys() - _READERS.keys()]
    read: Document = {}
    for key, (name, reader) in _READERS.items():
        if key in document:
            try:
                read[name] = reader(document[key])
            except ValueError as error:
                faults.append(f"{key} {error}")
    if faults:
        raise ValueError(f"The pricing is wrong: {'; '.join(sorted(faults))}.")
    return PricingPolicy(**read)


def _figure(value: object) -> Decimal:
    if not isinstance(value, str) or not re.fullmatch(money.TEXT_PATTERN, value):
        raise ValueError("is not a decimal number of at most 12 digits and 12 places")
    return Decimal(value)


def _positive(value: object) -> Decimal:
    figure = _figure(value)
    if figure == 0:
        raise ValueError("is zero")
    return figure


def _share(value: object) -> Decimal:
    figure = _figure(value)
    if figure > 1:
        raise ValueError("is over 1")
    return figure


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is neither true nor false")
    return value


def _factors(value: object) -> dict[str, Decimal]:
    if not isinstance(value, dict):
        raise ValueError("is not an object of services and factors")
    return {service: _figure(factor) for service, factor in value.items()}


def _services(value: object) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(service, str) for service in value):
        raise ValueError("is not a list of services")
    return frozenset(value)


_READERS = {
    "usdPerPoint": ("usd_per_point", _positive),
    "floorUsd": ("floor_usd", _figure),
    "multipliers": ("multipliers", _factors),
    "neverCharged": ("never_charged", _services),
    "refundFailed": ("refund_failed", _flag),
    "creatorShare": ("creator_share", _share),
}
