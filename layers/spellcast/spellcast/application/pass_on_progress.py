"""Passes on what a provider reports of a running job."""

from __future__ import annotations

from datetime import datetime

from spellcast.domain.generations import Generation
from spellcast.domain.messages import progress_message
from spellcast.domain.results import ToolResult
from spellcast.observability import logger
from spellcast.ports.announcer import Announcer


def pass_on_progress(announcer: Announcer, generation: Generation, state: ToolResult, now: datetime) -> None:
    """With the current revision, not stored, and not worth an error: no step waits for a notification."""
    try:
        announcer.push(generation.account_id, progress_message(generation, state, now))
    except Exception:
        logger().warning("Progress could not be passed on", generationId=generation.generation_id, exc_info=True)
