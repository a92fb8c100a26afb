"""A provider adapter: the code that speaks to one service. Not every adapter can do everything.

Every method raises subclasses of `StepFailed`, and nothing else, for what can go wrong with a provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from spellcast.domain.documents import Document
from spellcast.domain.limits import Limits
from spellcast.domain.results import Job, ToolResult
from spellcast.domain.tools import Tool


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """Where a service is, how it knows us and which organisation pays; empty where nobody configured it."""

    url: str = ""
    key: str = field(default="", repr=False)
    webhook_secret: str = field(default="", repr=False)
    bill_to: str = ""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Request:
    """What a step asks of a provider. `callback_url` carries a token and must not be logged."""

    generation_id: str
    tool: Tool
    inputs: Document
    callback_url: str = field(default="", repr=False)


class Adapter(Protocol):
    """One service."""

    def is_repeatable(self, request: Request) -> bool:
        """Whether `execute` may be run again after its answer was lost: it spends nothing and changes nothing."""

    def execute(self, request: Request) -> ToolResult:
        """Runs an immediate tool. Raises OutcomeUnknown where the provider may have done it all the same."""

    def start_job(self, request: Request) -> Job:
        """Submits a job, at most once. Raises OutcomeUnknown where it may have been accepted.

        The error then carries the job's id if it was chosen on this side.
        """

    def calls_back(self, request: Request) -> bool:
        """Whether `start_job` asks for a callback: then it may tell of a job whose submit was not answered."""

    def derived_run_id(self, generation_id: str) -> str | None:
        """The id that `start_job` gives this generation's job, for providers that let us choose it."""

    def poll_job(self, run_id: str, tool: Tool) -> ToolResult:
        """The job's state. Raises JobLost where the provider does not know it; other errors are no news."""

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, tool: Tool, now: datetime) -> ToolResult:
        """The job's state as the provider's callback tells it. Raises InvalidSignature; header names are lower case."""

    def callback_token(self, headers: Mapping[str, str], body: bytes, now: datetime) -> str | None:
        """The token of the job that a callback tells of, for a service that sends all of them to one address.

        None where the job is nobody's here. Raises InvalidSignature; header names are lower case.
        """

    def cancel_job(self, run_id: str) -> None:
        """Asks the provider to stop the job. A job that is over, or unknown, is not an error."""

    def file_headers(self, url: str) -> Mapping[str, str] | None:
        """The headers with which an output is fetched from the service's own server; None for every other address.

        The operator's key, and a way past the guard: any account's tool may have a model that answers any address. So
        they are for the paths alone under which the service keeps outputs, at the configured address, and for no
        service whose outputs lie elsewhere.
        """


class Adapters(Protocol):
    """Finds the adapter of a service."""

    def get(self, service: str) -> Adapter:
        """Raises ProviderNotConfigured for a service that has no adapter or no configuration."""

    def limits(self, service: str) -> Limits:
        """How much of the service may be in flight at once. Raises ProviderNotConfigured where that cannot be read."""
