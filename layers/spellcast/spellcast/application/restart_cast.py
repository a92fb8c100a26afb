"""Lets a running cast go on whose machine was never started, or was cut off; nobody is asked again for anything."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.application.finalize_cost import FinalizeCost
from spellcast.application.find_tools import FindTools
from spellcast.domain.casts import Cast
from spellcast.domain.errors import CastNotFound, SpellNotFound
from spellcast.domain.segments import plan_rest
from spellcast.ports.clock import Clock
from spellcast.ports.machine import Machine
from spellcast.ports.store import CastStore, SpellStore


@dataclass(frozen=True, slots=True)
class RestartCast:
    """The execution's number is raised by one conditional write; whoever dies after it leaves a start that is lost.

    Attempts stay what they were: jobs are taken up, and a paid step that may have been asked fails as unknown.
    """

    casts: CastStore
    spells: SpellStore
    find_tools: FindTools
    machine: Machine
    finalize_cost: FinalizeCost
    clock: Clock

    def __call__(self, cast_id: str, cut_off: int | None = None) -> bool:
        """Whether it was for this call to start it.

        `cut_off` is the execution that is to be followed by another; without it, the current one is begun. Raises
        CastNotFound, SpellNotFound, and WriteConflict where somebody else has written the cast.
        """
        loaded = self.casts.load_cast(cast_id, whole=False)
        if loaded is None:
            raise CastNotFound(f"There is no cast {cast_id}.")
        cast, generations = loaded
        if cast.is_terminal or cut_off not in (None, cast.execution):
            return False
        version = self.spells.get_version(cast.spell_id, cast.version)
        if version is None:
            raise SpellNotFound(f"There is no version {cast.version} of spell {cast.spell_id}.")
        tools = self.find_tools.of_running(cast.account_id, version)
        rest = plan_rest(tools, cast.current(generations), cast.attempt)
        if not rest:
            self.finalize_cost(cast_id)
            return True
        if cut_off is not None:
            cast = self._restarted(cast)
        self.machine.start_cast(cast, rest)
        return True

    def _restarted(self, cast: Cast) -> Cast:
        restarted = cast.restarted(now=self.clock.now())
        self.casts.save_cast(restarted, cast)
        return restarted
