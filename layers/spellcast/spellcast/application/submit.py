"""Sends a step's request to its provider, and sends it again only where the provider proved that it began nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from spellcast.application import ask_provider
from spellcast.domain.errors import ProviderUnavailable
from spellcast.domain.generations import Generation
from spellcast.domain.results import Job, ToolResult
from spellcast.domain.retrying import MOST_SECONDS, pause_before_next
from spellcast.observability import logger
from spellcast.ports.adapter import Adapter, Request
from spellcast.ports.breaker import Breaker
from spellcast.ports.clock import Clock

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Submit:
    """For one invocation; a record that a later one finds is never submitted again. `draw` is from 0 to 1."""

    breaker: Breaker
    clock: Clock
    sleep: Callable[[float], None]
    draw: Callable[[], float]

    def execute(
        self, adapter: Adapter, request: Request, reserved: Generation, before_again: Callable[[], None]
    ) -> ToolResult:
        """Runs an immediate tool. Raises StepFailed, and what `before_again` raises before a further try."""
        return self._guarded(reserved, lambda: ask_provider.execute(adapter, request), before_again)

    def start_job(
        self, adapter: Adapter, request: Request, reserved: Generation, before_again: Callable[[], None]
    ) -> Job:
        """Submits a job. Raises StepFailed, and what `before_again` raises before a further try."""
        return self._guarded(reserved, lambda: ask_provider.start_job(adapter, request), before_again)

    def _guarded(self, reserved: Generation, ask: Callable[[], Answer], before_again: Callable[[], None]) -> Answer:
        return self.breaker.guard(reserved.service_name, lambda: self._patiently(reserved, ask, before_again))

    def _patiently(self, reserved: Generation, ask: Callable[[], Answer], before_again: Callable[[], None]) -> Answer:
        # A try that begins later would leave the provider less than half of the step's time.
        half = reserved.request_timestamp + (reserved.deadline_at - reserved.request_timestamp) / 2
        tries, waited = 0, 0.0
        while True:
            tries += 1
            try:
                return ask()
            except ProviderUnavailable as error:
                left = min(MOST_SECONDS - waited, (half - self.clock.now()).total_seconds())
                pause = pause_before_next(tries, error.retry_after, self.draw(), left)
                if pause is None or not error.nothing_started:
                    raise
            logger().info("The provider began nothing, and is asked again", tries=tries, seconds=round(pause, 3))
            self.sleep(pause)
            waited += pause
            before_again()
