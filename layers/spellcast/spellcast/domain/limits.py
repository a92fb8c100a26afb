"""How much of a provider may be in flight at once, and who holds the places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

# Of one limit: its holders lie in one row.
MOST_IN_FLIGHT = 1_000

Kind = Literal["jobs", "requests"]


@dataclass(frozen=True, slots=True)
class Limit:
    """So many may hold a place in the scope at once."""

    scope: str
    most: int


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one provider, for all accounts together and for each; None where there is no limit."""

    jobs: int | None = None
    requests: int | None = None
    account_jobs: int | None = None
    account_requests: int | None = None

    def of(self, kind: Kind, service: str, account_id: str) -> tuple[Limit, ...]:
        """The limits that a step of this account is under."""
        everybody, account = (
            (self.jobs, self.account_jobs) if kind == "jobs" else (self.requests, self.account_requests)
        )
        scopes = ((f"{service}#{kind}", everybody), (f"{service}#{kind}#{account_id}", account))
        return tuple(Limit(scope, most) for scope, most in scopes if most is not None)


def parse_limits(document: Any) -> Limits:
    """`{jobsInFlight?, requestsInFlight?, perAccount?: {jobsInFlight?, requestsInFlight?}}`.

    Raises ValueError with every fault.
    """
    if document is None:
        return Limits()
    faults: list[str] = []
    jobs, requests, own = _read(document, "limits", faults, "perAccount")
    account_jobs, account_requests, _ = _read({} if own is None else own, "limits.perAccount", faults)
    if faults:
        raise ValueError("; ".join(faults))
    return Limits(jobs, requests, account_jobs, account_requests)


def _read(document: Any, path: str, faults: list[str], *more: str) -> tuple[int | None, int | None, Any]:
    if not isinstance(document, dict):
        faults.append(f"{path} is not an object")
        return None, None, None
    names = ("jobsInFlight", "requestsInFlight")
    faults += [f"{path}.{key} is not known" for key in sorted(document.keys() - {*names, *more})]
    for name in names:
        value = document.get(name)
        is_number = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_IN_FLIGHT
        if value is not None and not is_number:
            faults.append(f"{path}.{name} is not a whole number from 1 to {MOST_IN_FLIGHT}")
    return document.get(names[0]), document.get(names[1]), document.get("perAccount")


@dataclass(frozen=True, slots=True)
class Leases:
    """Who holds a place in a scope, and until when at the latest: the place of a holder that died is free then."""

    scope: str
    revision: int = 0
    held: Mapping[str, datetime] = field(default_factory=dict)

    def taken(self, holder: str, most: int, expires_at: datetime, now: datetime) -> Leases | None:
        """With the holder among them, or None where every place is taken. Who holds one already keeps it."""
        others = {name: expiry for name, expiry in self.held.items() if expiry > now and name != holder}
        if len(others) >= most:
            return None
        return self._with({**others, holder: expires_at})

    def given_back(self, holder: str) -> Leases:
        """Without the holder; itself where the holder is not among them."""
        if holder not in self.held:
            return self
        return self._with({name: expiry for name, expiry in self.held.items() if name != holder})

    def _with(self, held: Mapping[str, datetime]) -> Leases:
        return replace(self, held=held, revision=self.revision + 1)
