"""Runs one tool as a cast of an implicit spell of one step, and waits a while for its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from spellcast.application.adopt_spell import AdoptSpell
from spellcast.application.cast_spell import CastOrder, CastSpell
from spellcast.application.find_tools import FindTools
from spellcast.application.media_links import MediaLinks
from spellcast.domain import documents, identifiers, originals
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.errors import ToolNotFound
from spellcast.domain.generations import Generation
from spellcast.domain.tools import Tool
from spellcast.ports.clock import Clock
from spellcast.ports.store import CastStore

# API Gateway gives up after 30 s.
PATIENCE = timedelta(seconds=20)
_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ToolRun:
    """The run as it was when the wait was over; the record is there from the step's reservation on."""

    tool: Tool
    cast: Cast
    generation: Generation | None

    @property
    def generation_id(self) -> str:
        """The record's id, known before there is one."""
        return identifiers.generation_id(self.cast.cast_id, 0, 1)

    @property
    def queued_at(self) -> datetime:
        """When the run was asked for."""
        return self.cast.started_at


@dataclass(frozen=True, slots=True)
class RunTool:
    """`wait` sleeps so many seconds; tests let the world go on instead."""

    find_tools: FindTools
    adopt_spell: AdoptSpell
    cast_spell: CastSpell
    casts: CastStore
    links: MediaLinks
    clock: Clock
    wait: Callable[[float], None]

    def __call__(
        self, account_id: str, tool_id: str, inputs: Document, metadata: Document, idempotency_key: str | None = None
    ) -> ToolRun:
        """The run at its end, or once its job is submitted, or after 20 s.

        Raises ToolNotFound, InvalidInput, IdempotencyKeyReused.
        """
        tool = self._tool(account_id, tool_id)
        step = {"stepId": 1, "toolIdentifier": tool.tool_id}
        document = {"name": tool.display_name, "slug": f"tool-{tool.tool_id}", "steps": [step]}
        spell, version = self.adopt_spell(account_id, document)
        kept = originals.context_metadata(metadata)
        order = CastOrder(
            spell=spell.spell_id,
            version=version.version,
            fingerprint=identifiers.fingerprint(documents.canonical([tool.tool_id, inputs, kept])),
            inputs=inputs,
            metadata=kept,
            idempotency_key=idempotency_key,
        )
        cast, _ = self.cast_spell(account_id, order)
        return self._awaited(tool, cast)

    def _tool(self, account_id: str, identifier: str) -> Tool:
        """By id or display name, or as chats name tools: by command, whatever its case."""
        try:
            return self.find_tools.get(account_id, identifier)
        except ToolNotFound:
            wanted = identifier.lower().removeprefix("/")
            for tool in self.find_tools.list(account_id):
                command = str(tool.document.get("commandName") or "").lower().removeprefix("/")
                if wanted and wanted in (command, tool.display_name.lower()):
                    return tool
            raise

    def _awaited(self, tool: Tool, cast: Cast) -> ToolRun:
        give_up_at, pause = self.clock.now() + PATIENCE, _FIRST_WAIT_SECONDS
        while True:
            known, generations = self.casts.load_cast(cast.cast_id, whole=False) or (cast, [])
            run = ToolRun(tool, known, generations[-1] if generations else None)
            if run.cast.is_terminal or _is_submitted(run.generation) or self.clock.now() >= give_up_at:
                return self._linked(run)
            self.wait(pause)
            pause = min(pause * 1.5, _LONGEST_WAIT_SECONDS)

    def _linked(self, run: ToolRun) -> ToolRun:
        """The run with links to its media, for whoever asked for it."""
        generation = run.generation
        if generation is not None and generation.unread:
            generation = self.casts.get_generation(generation.generation_id)
        if generation is None or generation.result is None:
            return run
        payload = tuple(self.links(run.cast.cast_id, list(generation.result.payload)))
        return replace(run, generation=replace(generation, result=replace(generation.result, payload=payload)))


def _is_submitted(generation: Generation | None) -> bool:
    return generation is not None and generation.run_id is not None and generation.result is None
