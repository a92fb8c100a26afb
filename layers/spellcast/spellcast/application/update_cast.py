"""What the original's callers write of a cast, as far as it is for them to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from spellcast.application.finalize_cost import FinalizeCost
from spellcast.domain.casts import Cast
from spellcast.domain.errors import CastNotFound, IllegalTransition
from spellcast.domain.generations import Generation
from spellcast.domain.results import Failure
from spellcast.ports.store import CastStore


@dataclass(frozen=True, slots=True, kw_only=True)
class CastUpdate:
    """Everything is optional; an update that says nothing is one that changes nothing."""

    status: str | None = None
    failure_reason: str | None = None
    generation_id: str | None = None
    cost_delta_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class UpdateCast:
    """A cast knows its generations and its cost by itself; what a caller can add is that it has failed."""

    casts: CastStore
    finalize_cost: FinalizeCost

    def __call__(self, cast_id: str, update: CastUpdate, account_id: str | None = None) -> None:
        """Raises CastNotFound, and IllegalTransition for what the cast itself contradicts."""
        loaded = self.casts.load_cast(cast_id) if len(cast_id) <= 64 else None
        if loaded is None or account_id not in (None, loaded[0].account_id):
            raise CastNotFound(f"There is no cast {cast_id!r}.")
        cast, generations = loaded
        _check(cast, generations, update)
        if update.status == "failed" and not cast.is_terminal:
            reason = update.failure_reason or "The cast was closed by its caller."
            closed = self.finalize_cost(cast_id, Failure("CAST_INTERRUPTED", reason))
            if closed.status != "failed":
                status = "being cancelled" if closed.is_cancelling else closed.status
                raise IllegalTransition(f"The cast {cast_id} is {status}, and stays so.")


def _check(cast: Cast, generations: Sequence[Generation], update: CastUpdate) -> None:
    if update.generation_id and update.generation_id not in {item.generation_id for item in generations}:
        raise IllegalTransition(f"The generation {update.generation_id!r} is none of the cast's.")
    if update.cost_delta_usd:
        raise IllegalTransition("A cast's cost is the sum of its generations': give the generation its cost.")
    if update.status in (None, cast.status) or (update.status == "failed" and not cast.is_terminal):
        return
    raise IllegalTransition(f"The cast {cast.cast_id} is {cast.status}; it cannot be made {update.status!r}.")
