"""Cancels a cast: one write decides it, and the table's stream brings it to whoever can stop what goes on."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.application.find_casts import FindCasts
from spellcast.domain.casts import Cast
from spellcast.domain.errors import CastEnded, WriteConflict
from spellcast.ports.clock import Clock
from spellcast.ports.store import CastStore


@dataclass(frozen=True, slots=True)
class CancelCast:
    """The write wins or loses against the one that closes the cast; there is no third outcome.

    Nothing else happens here, so nothing is lost with this process: the revision is announced like every other, and
    `FinalizeCost` stops machine and jobs and closes the cast. A repeat has it announced again.
    """

    casts: CastStore
    find_casts: FindCasts
    clock: Clock

    def __call__(self, account_id: str, cast_id: str) -> Cast:
        """The cast, cancelled or about to be. Raises CastNotFound, and CastEnded where it was completed or failed."""
        while True:
            cast, _ = self.find_casts.load(account_id, cast_id)
            if cast.status == "cancelled":
                return cast
            if cast.is_terminal:
                raise CastEnded(f"The cast is {cast.status}: there is nothing left to cancel.")
            cancelling = cast.cancelling(self.clock.now())
            try:
                self.casts.save_cast(cancelling, cast)
            except WriteConflict:
                continue
            return cancelling
