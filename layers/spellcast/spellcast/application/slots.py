"""Places under a provider's limits: taken before anything is reserved, given back when the step has ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from spellcast.domain.errors import LimitReached, NoFreeSlot, WriteConflict
from spellcast.domain.generations import Generation
from spellcast.domain.limits import Kind, Limit
from spellcast.observability import logger
from spellcast.ports.adapter import Adapters
from spellcast.ports.clock import Clock
from spellcast.ports.store import LeaseStore

# After the step's deadline, in which its end is found and recorded.
_GRACE = timedelta(minutes=2)
# Of those who write a row at once, one succeeds. To wait for a place costs little, to lose one until it expires more.
_TRIES_TO_TAKE = 10
_TRIES_TO_GIVE_BACK = 100


@dataclass(frozen=True, slots=True)
class Slots:
    """Where the provider has no limits, nothing is read or written."""

    leases: LeaseStore
    adapters: Adapters
    clock: Clock

    def take(self, reserved: Generation, kind: Kind, waiting_ends: datetime) -> tuple[str, ...]:
        """The scopes in which the step, not yet written, now has a place.

        Raises NoFreeSlot, and where the step may wait no longer, LimitReached. Who took a place before keeps it.
        """
        limits = self.adapters.limits(reserved.service_name).of(kind, reserved.service_name, reserved.account_id)
        taken: list[str] = []
        for limit in limits:
            if not self._take(reserved, limit):
                self.give_back(reserved.generation_id, taken)
                raise self._refusal(reserved, kind, limit, waiting_ends)
            taken.append(limit.scope)
        return tuple(taken)

    def give_back(self, holder: str, scopes: Sequence[str]) -> None:
        """May be repeated. A place that cannot be given back now is free when its lease expires."""
        for scope in scopes:
            try:
                self._give_back(holder, scope)
            except Exception:
                logger().exception("A place under a limit is given back by its expiry", scope=scope)

    @contextmanager
    def held(self, reserved: Generation, kind: Kind, waiting_ends: datetime) -> Iterator[None]:
        """A place for as long as this invocation needs it. Raises what `take` raises."""
        scopes = self.take(reserved, kind, waiting_ends)
        try:
            yield
        finally:
            self.give_back(reserved.generation_id, scopes)

    def _take(self, reserved: Generation, limit: Limit) -> bool:
        for _ in range(_TRIES_TO_TAKE):
            leases = self.leases.get_leases(limit.scope)
            expires_at = reserved.deadline_at + _GRACE
            taken = leases.taken(reserved.generation_id, limit.most, expires_at, self.clock.now())
            if taken is None:
                return False
            try:
                self.leases.save_leases(taken)
            except WriteConflict:
                continue
            return True
        # So many want a place at this moment that waiting is as good.
        return False

    def _give_back(self, holder: str, scope: str) -> None:
        for _ in range(_TRIES_TO_GIVE_BACK):
            leases = self.leases.get_leases(scope)
            without = leases.given_back(holder)
            if without is leases:
                return
            try:
                self.leases.save_leases(without)
            except WriteConflict:
                continue
            return
        raise WriteConflict(f"{scope} is written by others all the time.")

    def _refusal(self, reserved: Generation, kind: Kind, limit: Limit, waiting_ends: datetime) -> Exception:
        several = kind if limit.most > 1 else kind.removesuffix("s")
        told = f"{reserved.service_name} may have {limit.most} {several} in flight at once"
        if self.clock.now() < waiting_ends:
            return NoFreeSlot(f"{told}; the step waits for its turn.")
        return LimitReached(f"{told}, and the step's turn did not come in the time that its cast has.")
