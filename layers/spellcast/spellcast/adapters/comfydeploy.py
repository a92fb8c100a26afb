"""The service `comfydeploy`: runs of deployments, told of by a webhook and, where that stays away, by a poll.

Its webhooks carry no signature. The token in the callback's address lets one in, and a final state is believed only
after the run has been read again from the API.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import quote

import httpx

from spellcast.adapters.billing import failed_after, milliseconds
from spellcast.adapters.capabilities import JobsOnly
from spellcast.adapters.exchange import Answer, Provider, fraction, one_line
from spellcast.adapters.media import media_payload
from spellcast.adapters.workflows import with_seed
from spellcast.domain import money
from spellcast.domain.documents import Document
from spellcast.domain.errors import (
    InvalidStepInput,
    JobCancelled,
    JobFailed,
    JobLost,
    ProviderAnswerInvalid,
    ProviderNotConfigured,
    ProviderRefused,
    ProviderUnavailable,
    StepFailed,
)
from spellcast.domain.media import address_type, is_address, media_type
from spellcast.domain.results import Job, ToolResult, failed
from spellcast.domain.tools import Tool
from spellcast.ports.adapter import ProviderConfig, Request

DEFAULT_URL = "https://api.comfydeploy.com/api"
# ComfyDeploy waits 20 seconds for the answer to a webhook.
LOOK_UP_SECONDS = 12.0
_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
# The API's own words, and those of the documentation of its webhooks; any other means that the run goes on.
_QUEUED = frozenset({"not-started", "queued"})
_ENDS = {
    "success": "success",
    "completed": "success",
    "failed": "failed",
    "timeout": "timeout",
    "cancelled": "cancelled",
    "canceled": "cancelled",
}


def build(config: ProviderConfig, client: Callable[[], httpx.Client], allow_loopback: bool) -> ComfyDeployAdapter:
    """The registry's way in."""
    if not config.key:
        raise ProviderNotConfigured("comfydeploy has no key: set SPELLCAST_COMFYDEPLOY_KEY, or `key` in its secret")
    return ComfyDeployAdapter(config, client)


class ComfyDeployAdapter(JobsOnly):
    """ComfyDeploy, or a server of one's own that speaks its API."""

    def __init__(self, config: ProviderConfig, client: Callable[[], httpx.Client]) -> None:
        headers = {"Authorization": f"Bearer {config.key}"}
        self._provider = Provider("ComfyDeploy", config.url or DEFAULT_URL, headers, client)

    def start_job(self, request: Request) -> Job:
        """Queues a run of the tool's deployment."""
        metadata = request.tool.metadata
        defaults = dict(metadata.get("defaultAdapterParams") or {})
        deployment = metadata.get("deploymentId") or defaults.get("deploymentId")
        defaults.pop("deploymentId", None)
        if not deployment:
            raise InvalidStepInput(f"The tool {request.tool.tool_id} names no deploymentId in its metadata")
        given = {key: value for key, value in with_seed(request).items() if value is not None}
        body: Document = {"deployment_id": str(deployment), "inputs": {**defaults, **given}}
        if gpu := metadata.get("gpu"):
            body["gpu"] = str(gpu)
        calls_back = self.calls_back(request)
        if calls_back:
            body |= {"webhook": request.callback_url, "webhook_intermediate_status": True}
        accepted = self._provider.submit("/run/deployment/queue", body, explain=_explain)
        return Job(self._provider.job_id(accepted, "run_id"), calls_back)

    def calls_back(self, request: Request) -> bool:
        """Nobody on the internet reaches a callback on this machine; the job is then found by polling."""
        return self._provider.can_call_back(request)

    def poll_job(self, run_id: str, tool: Tool) -> ToolResult:
        """Reads the run."""
        run = self._provider.look_up(f"/run/{quote(run_id, safe='')}", explain=_explain)
        if run is None:
            raise JobLost("ComfyDeploy does not know the run any more")
        return _read(run, tool)

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, tool: Tool, now: datetime) -> ToolResult:
        """The run's progress as it is told, its end as the API then shows it.

        Raises ProviderUnavailable where the API does not show an end, so that ComfyDeploy calls again.
        """
        told = self._provider.told(body)
        run_id = told.get("run_id")
        if not isinstance(run_id, str) or not _RUN_ID.fullmatch(run_id):
            raise ProviderAnswerInvalid("ComfyDeploy's callback names no run")
        if _end(told) is None:
            return replace(_progress(told), run_id=run_id)
        try:
            run = self._provider.look_up(f"/run/{quote(run_id, safe='')}", explain=_explain, seconds=LOOK_UP_SECONDS)
        except StepFailed as error:
            raise ProviderUnavailable(
                f"ComfyDeploy told of an end that could not be checked: {error.message}"
            ) from error
        if run is None or _end(run) is None:
            raise ProviderUnavailable("ComfyDeploy told of an end that its API does not show")
        return replace(_read(run, tool), run_id=run_id)

    def cancel_job(self, run_id: str) -> None:
        """A run that is over, or unknown, is left as it is."""
        answer = self._provider.ask("POST", f"/run/{quote(run_id, safe='')}/cancel")
        if not answer.is_success and answer.status not in (400, 404, 409):
            raise ProviderRefused(f"ComfyDeploy did not cancel the run ({answer.status})")


def _progress(run: Document) -> ToolResult:
    live_status = run.get("live_status")
    return ToolResult(
        "processing",
        progress=fraction(run.get("progress")),
        live_status=one_line(live_status) if isinstance(live_status, str) and live_status else None,
        is_queued=run.get("status") in _QUEUED,
    )


def _end(run: Document) -> str | None:
    """How the run ended, if it has."""
    status = run.get("status")
    return _ENDS.get(status) if isinstance(status, str) else None


def _read(run: Document, tool: Tool) -> ToolResult:
    if not isinstance(run.get("status"), str):
        raise ProviderAnswerInvalid("ComfyDeploy answered a run without a status")
    end = _end(run)
    if end is None:
        return _progress(run)
    # What is billed by the second: the run itself, without the machine's start.
    duration_ms = milliseconds(run.get("run_duration"))
    cost = _gpu_cost(run, tool, duration_ms)
    match end:
        case "success":
            payload = tuple(_payload(run.get("outputs")))
            if payload:
                return ToolResult("succeeded", payload, cost_usd=cost, duration_ms=duration_ms)
            error: StepFailed = JobFailed("ComfyDeploy finished the run, but has no output of it")
        case "cancelled":
            error = JobCancelled("The run was cancelled at ComfyDeploy")
        case "timeout":
            error = JobFailed("ComfyDeploy: the run passed the time limit of its machine")
        case _:
            at = run.get("live_status")
            where = f" at {at}" if isinstance(at, str) and at else ""
            error = JobFailed(one_line(f"ComfyDeploy: the run failed{where}"))
    if cost is None:
        return failed_after(error, tool, duration_ms)
    return failed(error, cost_usd=cost, duration_ms=duration_ms)


def _gpu_cost(run: Document, tool: Tool, duration_ms: int | None) -> Decimal | None:
    """What the run's GPU costs, for a tool whose definition does not say what it costs."""
    price = _gpu_prices().get(str(run.get("gpu")))
    if tool.costing is not None or price is None or duration_ms is None:
        return None
    return money.times(Decimal(price), Decimal(duration_ms).scaleb(-3))


@cache
def _gpu_prices() -> Mapping[str, str]:
    """US dollars a second, by ComfyDeploy's names of its machines' GPUs."""
    file = resources.files("spellcast.catalog") / "prices" / "comfydeploy.json"
    prices: dict[str, str] = json.loads(file.read_text("utf-8"))
    return prices


def _payload(outputs: object) -> Iterator[Document]:
    """Files and texts in the order in which the nodes put them out. A file has an address, whatever its key."""
    found = outputs if isinstance(outputs, list) else []
    items = [item for output in found if isinstance(output, dict) for item in _items(output.get("data"))]
    files = [item for item in items if isinstance(item, dict) and is_address(item.get("url"))]
    # Previews are results only where there is nothing else.
    kept = [file for file in files if file.get("type") != "temp"] or files
    yield from media_payload(_file(file) for file in kept)
    texts = [item for item in items if isinstance(item, str) and item]
    if texts:
        yield {"type": "text", "data": {"text": "\n".join(texts)}}


def _items(data: object) -> Iterator[Any]:
    for items in data.values() if isinstance(data, dict) else ():
        yield from items if isinstance(items, list) else [items]


def _file(item: Document) -> Document:
    name = item.get("filename")
    file: Document = {"url": item["url"]}
    if isinstance(name, str) and name:
        file["filename"] = name
    kind = media_type(name) if isinstance(name, str) else None
    kind = kind or address_type(item["url"])
    return {**file, "mediaType": kind} if kind else file


def _explain(answer: Answer) -> str:
    """FastAPI's `detail`, as a text or as a list of faults; the values that were refused are left out."""
    detail = (answer.document() or {}).get("detail")
    if isinstance(detail, list):
        faults = [fault for fault in detail if isinstance(fault, dict)]
        parts = [f"{'.'.join(map(str, _location(fault)))}: {fault.get('msg')}" for fault in faults]
        return "; ".join(parts) or "no reason given"
    return str(detail or "no reason given")


def _location(fault: Document) -> list[Any]:
    location = fault.get("loc")
    return [part for part in location if part != "body"] if isinstance(location, list) else []
