"""Asks a provider's adapter. Whatever an adapter raises, only the closed list's step errors come out of here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeVar

from spellcast.domain.completions import MAX_DEPTH
from spellcast.domain.documents import is_deeper_than
from spellcast.domain.errors import AdapterFault, InvalidSignature, ProviderAnswerInvalid, StepFailed
from spellcast.domain.generations import Generation
from spellcast.domain.results import Job, ToolResult
from spellcast.domain.tools import Tool
from spellcast.observability import logger
from spellcast.ports.adapter import Adapter, Adapters, Request

Answer = TypeVar("Answer")


def execute(adapter: Adapter, request: Request) -> ToolResult:
    """Runs an immediate tool. Raises StepFailed."""
    result = _guarded(request.tool.service, lambda: adapter.execute(request))
    if not result.is_final:
        raise AdapterFault(f"The adapter of {request.tool.service} gave no result at once.")
    return _bounded(result)


def start_job(adapter: Adapter, request: Request) -> Job:
    """Submits a job. Raises StepFailed."""
    return _guarded(request.tool.service, lambda: adapter.start_job(request))


def poll_job(adapter: Adapter, run_id: str, tool: Tool) -> ToolResult:
    """Asks after a job. Raises StepFailed."""
    return _bounded(_guarded(tool.service, lambda: adapter.poll_job(run_id, tool)))


def look_up_job(
    adapters: Adapters, generation: Generation, recall_tool: Callable[[], Tool | None], *, cancel: bool = False
) -> tuple[str | None, ToolResult | None]:
    """The job's id, where there is one to name, and its end, where it is over; where it cannot be asked, there is none.

    With `cancel` it is asked to stop first, so that its end may name what was billed.
    """
    run_id, state = generation.run_id, None
    try:
        adapter = adapters.get(generation.service_name)
        run_id = run_id or adapter.derived_run_id(generation.generation_id)
        if run_id is not None and cancel:
            cancel_job(adapters, generation.service_name, run_id)
        if run_id is not None and (tool := recall_tool()) is not None:
            state = poll_job(adapter, run_id, tool)
    except StepFailed as error:
        logger().warning("The job could not be looked up", code=error.code, generationId=generation.generation_id)
    return run_id, state if state is not None and state.is_final else None


def parse_webhook(adapter: Adapter, headers: Mapping[str, str], body: bytes, tool: Tool, now: datetime) -> ToolResult:
    """Reads a callback. Raises InvalidSignature and StepFailed."""
    return _bounded(_guarded(tool.service, lambda: adapter.parse_webhook(headers, body, tool, now)))


def callback_token(
    adapters: Adapters, service: str, headers: Mapping[str, str], body: bytes, now: datetime
) -> str | None:
    """Whose job a callback at the address of a whole service tells of. Raises InvalidSignature and StepFailed."""
    return _guarded(service, lambda: adapters.get(service).callback_token(headers, body, now))


def cancel_job(adapters: Adapters, service: str, run_id: str) -> None:
    """Asks to stop a job that nobody waits for any more; where that fails, the log says so."""
    try:
        adapters.get(service).cancel_job(run_id)
    except Exception as error:
        logger().warning("A job could not be cancelled", runId=run_id, error=type(error).__name__)


def _bounded(result: ToolResult) -> ToolResult:
    """What is deeper can be read here, and perhaps not where it is read again."""
    if is_deeper_than([item.get("data") for item in result.payload], MAX_DEPTH + 1):
        raise ProviderAnswerInvalid(f"The provider's output is nested deeper than {MAX_DEPTH} levels.")
    return result


def _guarded(service: str, ask: Callable[[], Answer]) -> Answer:
    try:
        return ask()
    except (StepFailed, InvalidSignature):
        raise
    except Exception as error:
        logger().exception("An adapter failed in a way that it should not", service=service)
        raise AdapterFault(f"The adapter of {service} failed: {type(error).__name__}.") from error
