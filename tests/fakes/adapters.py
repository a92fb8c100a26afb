"""A provider whose every answer the test chooses, and which counts what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from spellcast.domain import documents, results
from spellcast.domain.errors import InvalidSignature, JobFailed, JobLost, ProviderNotConfigured
from spellcast.domain.limits import Limits
from spellcast.domain.results import Job, ToolResult
from spellcast.domain.tools import Tool
from spellcast.ports.adapter import Adapter, Request


class FakeAdapter:
    """Implements `ports.adapter.Adapter`. Replace `on_execute`, `on_start` or `on_poll` to misbehave."""

    def __init__(self) -> None:
        self.executed: list[Request] = []
        self.started: list[Request] = []
        self.polled: list[str] = []
        self.polled_with: list[Tool] = []
        self.cancelled: list[str] = []
        self.derives_run_ids = False
        self.signature = "good"
        self.repeatable = True
        self.on_execute: Callable[[Request], ToolResult] = lambda request: results.succeeded(
            "text", {"text": f"<{request.inputs.get('prompt', request.inputs.get('text', ''))}>"}
        )
        self.can_call_back = True
        self.on_start: Callable[[Request], Job] = lambda request: Job(
            f"job-{len(self.started)}", self.calls_back(request)
        )
        self.on_poll: Callable[[str], ToolResult] = lambda run_id: ToolResult("processing", progress=0.5)

    def is_repeatable(self, request: Request) -> bool:
        return self.repeatable

    def execute(self, request: Request) -> ToolResult:
        self.executed.append(request)
        return self.on_execute(request)

    def start_job(self, request: Request) -> Job:
        self.started.append(request)
        return self.on_start(request)

    def calls_back(self, request: Request) -> bool:
        return self.can_call_back and request.tool.delivery_mode == "webhook"

    def derived_run_id(self, generation_id: str) -> str | None:
        return f"derived-{generation_id}" if self.derives_run_ids else None

    def poll_job(self, run_id: str, tool: Tool) -> ToolResult:
        self.polled.append(run_id)
        self.polled_with.append(tool)
        return self.on_poll(run_id)

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, tool: Tool, now: datetime) -> ToolResult:
        if headers.get("x-signature") != self.signature:
            raise InvalidSignature("The callback's signature is wrong")
        told = documents.from_text(body)
        if told["status"] == "succeeded":
            return results.succeeded("text", told["output"])
        if told["status"] == "failed":
            return results.failed(JobFailed(told["error"]))
        return ToolResult("processing", progress=told.get("progress"))

    def callback_token(self, headers: Mapping[str, str], body: bytes, now: datetime) -> str | None:
        if headers.get("x-signature") != "good":
            raise InvalidSignature("The callback's signature is wrong")
        token: str | None = documents.from_text(body).get("token")
        return token

    def cancel_job(self, run_id: str) -> None:
        self.cancelled.append(run_id)

    def file_headers(self, url: str) -> Mapping[str, str] | None:
        return {"Authorization": "Bearer own"} if url.startswith("https://own.example/view?") else None


def lost(run_id: str) -> ToolResult:
    """For `on_poll`: the provider does not know the job."""
    raise JobLost("The provider does not know the job.")


class FakeAdapters:
    """Implements `ports.adapter.Adapters`."""

    def __init__(self, adapters: Mapping[str, Adapter]) -> None:
        self._adapters = dict(adapters)
        self.configured = Limits()
        self.configured_for: dict[str, Limits] = {}

    def get(self, service: str) -> Adapter:
        if service not in self._adapters:
            raise ProviderNotConfigured(f"There is no adapter for the service {service!r}.")
        return self._adapters[service]

    def rename(self, service: str, other: str) -> None:
        """The adapter of one service is another's from now on."""
        self._adapters[other] = self._adapters.pop(service)

    def forget(self, *services: str) -> None:
        """Nobody configures these services, or any, any more."""
        for service in services or tuple(self._adapters):
            del self._adapters[service]

    def limits(self, service: str) -> Limits:
        return self.configured_for.get(service, self.configured)
