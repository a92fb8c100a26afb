"""Takes a provider's callback: the token names the generation, the provider's signature is checked beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from spellcast.application import ask_provider
from spellcast.application.complete_job import CompleteJob
from spellcast.application.pass_on_progress import pass_on_progress
from spellcast.domain import callback_tokens
from spellcast.domain.errors import InvalidCallbackToken, InvalidSignature, StepToolNotFound
from spellcast.ports.adapter import Adapters
from spellcast.ports.announcer import Announcer
from spellcast.ports.clock import Clock
from spellcast.ports.secrets import Secrets
from spellcast.ports.store import CastStore, ToolStore


@dataclass(frozen=True, slots=True)
class ReceiveCallback:
    """A final state completes the job; any other is passed on as progress.

    In the place of a token may stand a service of `shared_addresses`: its callbacks say themselves whose job it is.
    """

    casts: CastStore
    tools: ToolStore
    adapters: Adapters
    announcer: Announcer
    complete_job: CompleteJob
    secrets: Secrets
    clock: Clock
    shared_addresses: Collection[str]

    def __call__(self, token: str, headers: Mapping[str, str], body: bytes) -> str | None:
        """The generation's id; None where a shared address hears of a job that is nobody's here.

        Raises InvalidCallbackToken, InvalidSignature, StepFailed.
        """
        now = self.clock.now()
        if token not in self.shared_addresses:
            return self._receive(token, headers, body, now)
        found = ask_provider.callback_token(self.adapters, token, headers, body, now)
        try:
            return None if found is None else self._receive(found, headers, body, now)
        except InvalidCallbackToken:
            # Another deployment's, or one that has expired: to refuse it would only make the provider send it again.
            return None

    def _receive(self, token: str, headers: Mapping[str, str], body: bytes, now: datetime) -> str:
        generation_id = callback_tokens.verify(token, now, self.secrets.callback_signing_key())
        generation = self.casts.get_generation(generation_id)
        if generation is None:
            raise InvalidCallbackToken("The callback token names no generation.")
        tool = self.tools.recall_tool(generation.account_id, generation.tool_id)
        if tool is None:
            raise StepToolNotFound(f"There is no tool {generation.tool_id!r} any more.")
        adapter = self.adapters.get(generation.service_name)
        result = ask_provider.parse_webhook(adapter, headers, body, tool, now)
        if not _may_be(generation.run_id, result.run_id):
            raise InvalidSignature("The callback speaks of another job than this generation's.")
        if result.is_final:
            self.complete_job(generation_id, result)
        elif not generation.is_terminal:
            pass_on_progress(self.announcer, generation, result, now)
        return generation_id


def _may_be(known: str | None, told: str | None) -> bool:
    """Whether both are one job; the id that is known may say more, as fal's do, which begin with the app."""
    return known is None or told is None or known == told or known.endswith(f"/{told}")
