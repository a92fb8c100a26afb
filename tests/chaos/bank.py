"""A provider that names prices: its jobs end when a test says so, and it notes what it was asked, stopped and paid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from itertools import cycle

from spellcast.domain import documents, results
from spellcast.domain.documents import Document
from spellcast.domain.errors import JobCancelled, JobFailed, JobLost, OutcomeUnknown, ProviderRefused
from spellcast.domain.results import Job, ToolResult
from spellcast.domain.tools import Tool
from spellcast.ports.adapter import Request
from tests.chaos.plain import LOST, Answer
from tests.fakes.adapters import FakeAdapter


@dataclass
class BankJob:
    """A job that was accepted; `end` is how it ended."""

    request: Request
    end: Answer | None = None
    was_named: bool = True


@dataclass
class Asked:
    """One request that reached the provider, and what it answered; `run_id` where a job was begun and named."""

    generation_id: str
    tool_id: str
    answer: Answer
    run_id: str | None = None


@dataclass
class Bank(FakeAdapter):
    """`answers` are given in turn. It `heeds` a cancellation, at the price `on_cancel`, or does not."""

    answers: Iterator[Answer] = field(default_factory=lambda: cycle([Answer(True)]))
    jobs: dict[str, BankJob] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    heeds: bool = True
    on_cancel: Decimal | None = None

    def __post_init__(self) -> None:
        super().__init__()

    def execute(self, request: Request) -> ToolResult:
        answer = next(self.answers)
        self.asked.append(Asked(request.generation_id, request.tool.tool_id, answer))
        if answer.code == LOST.code:
            raise OutcomeUnknown("No answer.")
        return as_result(answer)

    def start_job(self, request: Request) -> Job:
        answer = next(self.answers)
        asked = Asked(request.generation_id, request.tool.tool_id, answer)
        self.asked.append(asked)
        if not answer.ok and answer.code != LOST.code:
            raise ProviderRefused("No.")
        run_id = f"job-{len(self.jobs)}"
        self.jobs[run_id] = BankJob(request, was_named=answer.ok)
        if not answer.ok:
            raise OutcomeUnknown("No answer.")
        asked.run_id = run_id
        return Job(run_id, calls_back=request.tool.delivery_mode == "webhook")

    def poll_job(self, run_id: str, tool: Tool) -> ToolResult:
        if run_id not in self.jobs:
            raise JobLost("Unknown.")
        end = self.jobs[run_id].end
        return as_result(end) if end else ToolResult("processing", progress=0.5)

    def cancel_job(self, run_id: str) -> None:
        super().cancel_job(run_id)
        job = self.jobs[run_id]
        if self.heeds and job.end is None:
            job.end = Answer(False, self.on_cancel, JobCancelled.code)

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, tool: Tool, now: datetime) -> ToolResult:
        told = documents.from_text(body)
        result = super().parse_webhook(headers, body, tool, now)
        if told.get("code") == JobCancelled.code:
            result = as_result(Answer(False, None, JobCancelled.code))
        bill = told.get("bill")
        return replace(result, cost_usd=None if bill is None else Decimal(bill), run_id=told["runId"])

    def callback(self, run_id: str) -> bytes:
        """What it calls back with, as things are."""
        end = self.jobs[run_id].end
        state = "processing" if end is None else "succeeded" if end.ok else "failed"
        told: Document = {"status": state, "output": {"text": run_id}, "error": "No.", "runId": run_id}
        if end is not None:
            told |= {"bill": None if end.bill is None else str(end.bill), "code": end.code}
        return documents.to_text(told).encode()


def as_result(answer: Answer) -> ToolResult:
    """The answer as an adapter hands it over."""
    if answer.ok:
        return results.succeeded("text", {"text": "done"}, cost_usd=answer.bill)
    error = JobCancelled("Gone.") if answer.code == JobCancelled.code else JobFailed("No.")
    return results.failed(error, cost_usd=answer.bill)
