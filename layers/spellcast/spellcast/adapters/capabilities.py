"""What an adapter cannot do, said once: immediate services have no jobs, and the others only jobs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from spellcast.domain.errors import InvalidSignature, InvalidStepInput
from spellcast.domain.results import Job, ToolResult
from spellcast.domain.tools import Tool
from spellcast.ports.adapter import Request


class ImmediateOnly:
    """The half of the port that a service without jobs leaves out."""

    def start_job(self, request: Request) -> Job:
        """Refuses: the tool's definition asks for a delivery that its service does not have."""
        raise InvalidStepInput(
            f"The service {request.tool.service!r} answers at once: "
            f"deliveryMode of {request.tool.tool_id} must be immediate"
        )

    def calls_back(self, request: Request) -> bool:
        """There is no job to tell of."""
        return False

    def derived_run_id(self, generation_id: str) -> str | None:
        """There is no job to name."""
        return None

    def poll_job(self, run_id: str, tool: Tool) -> ToolResult:
        """Refuses, as `start_job` does."""
        raise InvalidStepInput(f"The service {tool.service!r} has no jobs")

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, tool: Tool, now: datetime) -> ToolResult:
        """Nobody sends callbacks for this service, so whatever arrives is forged."""
        raise InvalidSignature(f"The service {tool.service!r} sends no callbacks")

    def callback_token(self, headers: Mapping[str, str], body: bytes, now: datetime) -> str | None:
        """Its callbacks, if any, each have an address of their own."""
        raise InvalidSignature("The service has no address for the callbacks of all jobs")

    def cancel_job(self, run_id: str) -> None:
        """There is nothing to stop."""

    def file_headers(self, url: str) -> Mapping[str, str] | None:
        """There is no server of its own."""
        return None


class JobsOnly:
    """The half of the port that a service of jobs leaves out."""

    def is_repeatable(self, request: Request) -> bool:
        """A job may cost money."""
        return False

    def execute(self, request: Request) -> ToolResult:
        """Refuses: the tool's definition asks for a delivery that its service does not have."""
        raise InvalidStepInput(
            f"The service {request.tool.service!r} runs jobs: "
            f"deliveryMode of {request.tool.tool_id} must be async or webhook"
        )

    def calls_back(self, request: Request) -> bool:
        """Jobs are found by polling."""
        return False

    def derived_run_id(self, generation_id: str) -> str | None:
        """The provider draws the ids of its jobs itself."""
        return None

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, tool: Tool, now: datetime) -> ToolResult:
        """Nobody sends callbacks for this service, so whatever arrives is forged."""
        raise InvalidSignature(f"The service {tool.service!r} sends no callbacks")

    def callback_token(self, headers: Mapping[str, str], body: bytes, now: datetime) -> str | None:
        """Its callbacks, if any, each have an address of their own."""
        raise InvalidSignature("The service has no address for the callbacks of all jobs")

    def file_headers(self, url: str) -> Mapping[str, str] | None:
        """Whatever is not said to be its own must be on the public internet."""
        return None
