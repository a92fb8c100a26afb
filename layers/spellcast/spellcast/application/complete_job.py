"""The one way in which a job's result enters: a webhook, an event on the bus, a poll, or the step itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from spellcast.application.finalize_cost import FinalizeCost
from spellcast.domain import callback_tokens, results
from spellcast.domain.documents import Document
from spellcast.domain.errors import (
    Fault,
    GenerationNotFound,
    InvalidCallbackToken,
    InvalidInput,
    JobFailed,
    StepToolNotFound,
    WriteConflict,
)
from spellcast.domain.generations import Generation
from spellcast.domain.identifiers import parse_generation_id
from spellcast.domain.messages import progress_message
from spellcast.domain.results import ToolResult
from spellcast.ports.adapter import Adapters
from spellcast.ports.announcer import Announcer
from spellcast.ports.clock import Clock
from spellcast.ports.machine import Machine
from spellcast.ports.secrets import Secrets
from spellcast.ports.store import CastStore, ToolStore


@dataclass(frozen=True, slots=True)
class CompleteJob:
    """Stores the result once, and answers the waiting segment however often it is asked to."""

    casts: CastStore
    machine: Machine
    finalize_cost: FinalizeCost
    clock: Clock

    def __call__(self, generation_id: str, result: ToolResult) -> Generation:
        """Applies a final result. Raises GenerationNotFound; a later result changes nothing but a missing bill."""
        while True:
            generation = self.casts.get_generation(generation_id)
            if generation is None:
                raise GenerationNotFound(f"There is no generation {generation_id}.")
            if generation.is_terminal:
                self.finalize_cost.add_late_bill(generation, result)
                return generation
            if generation.result is None:
                received = generation.received(result, self.clock.now())
                try:
                    self.casts.save_generation(received, generation)
                except WriteConflict:
                    continue
                generation = received
            if generation.task_token:
                self.machine.answer(generation.task_token, generation_id)
            return generation


@dataclass(frozen=True, slots=True)
class ReceiveCallback:
    """A provider's callback: the token names the generation, the provider's signature is checked beside it."""

    casts: CastStore
    tools: ToolStore
    adapters: Adapters
    announcer: Announcer
    complete_job: CompleteJob
    secrets: Secrets
    clock: Clock

    def __call__(self, token: str, headers: Mapping[str, str], body: bytes) -> str:
        """The generation's id. Raises InvalidCallbackToken, InvalidSignature, ProviderAnswerInvalid."""
        now = self.clock.now()
        generation_id = callback_tokens.verify(token, now, self.secrets.callback_signing_key())
        generation = self.casts.get_generation(generation_id)
        if generation is None:
            raise InvalidCallbackToken("The callback token names no generation.")
        tool = self.tools.get_tool(generation.account_id, generation.tool_id)
        if tool is None:
            raise StepToolNotFound(f"There is no tool {generation.tool_id!r} any more.")
        result = self.adapters.get(generation.service_name).parse_webhook(headers, body, tool, now)
        if result.is_final:
            self.complete_job(generation_id, result)
        elif not generation.is_terminal:
            self.announcer.push(generation.account_id, progress_message(generation, result, now))
        return generation_id


def parse_completion(detail: Document) -> tuple[str, ToolResult]:
    """A `Job Completed` event's detail (contract §5). Raises InvalidInput with every fault."""
    faults: list[Fault] = []
    generation_id, status = detail.get("generationId"), detail.get("status")
    if not isinstance(generation_id, str) or parse_generation_id(generation_id) is None:
        faults.append(Fault("generationId", "is not the id of a generation"))
    if status not in ("succeeded", "failed"):
        faults.append(Fault("status", "is neither succeeded nor failed"))
    data = detail.get("data")
    if status == "succeeded" and not isinstance(data, dict):
        faults.append(Fault("data", "a succeeded job brings an object"))
    cost_usd, cost_fault = _parse_cost(detail.get("costUsd"))
    if cost_fault:
        faults.append(cost_fault)
    if faults:
        raise InvalidInput(faults)
    if status == "succeeded":
        kind = str(detail.get("type") or "text")
        return str(generation_id), results.succeeded(kind, dict(data or {}), cost_usd=cost_usd)
    return str(generation_id), results.failed(JobFailed(_reason(detail.get("error"))), cost_usd=cost_usd)


def _parse_cost(value: object) -> tuple[Decimal | None, Fault | None]:
    if value is None:
        return None, None
    fault = Fault("costUsd", "is not a decimal string in US dollars")
    if not isinstance(value, str) or not re.fullmatch(r"\d{1,12}(\.\d{1,12})?", value):
        return None, fault
    return Decimal(value), None


def _reason(error: object) -> str:
    if isinstance(error, dict):
        error = error.get("message")
    return str(error)[:1_000] if error else "The job failed; its sender gave no reason."
