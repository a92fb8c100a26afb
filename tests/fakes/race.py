"""A cast whose one job is told of by everybody, and a machine that goes on when it is answered."""

from __future__ import annotations

from spellcast.domain.casts import Cast
from spellcast.domain.errors import CastEnded
from spellcast.domain.results import Failure
from tests.fakes.world import ACCOUNT, World


class Race:
    """What a cancel and the machine do in it, whatever else happens; a cancel is announced at once or later."""

    def __init__(self, world: World, cast: Cast, *, announced_at_once: bool) -> None:
        self.world, self.cast = world, cast
        self.was_refused = False
        self._announced_at_once = announced_at_once

    def cancel(self) -> None:
        try:
            self.world.cancel_cast(ACCOUNT, self.cast.cast_id)
        except CastEnded:
            self.was_refused = True
        if self._announced_at_once:
            self.world.settle(self.cast)

    def go_on(self) -> None:
        answer = self.world.machine.answers.get("again", self.world.machine.answers.get("token"))
        if answer is None or self.world.machine.stopped:
            return
        if isinstance(answer, Failure):
            self.world.settle(self.cast, answer)
        else:
            self.world.process(self.cast)
            self.world.settle(self.cast)
