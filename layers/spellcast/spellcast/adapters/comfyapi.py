"""The service `comfyapi`: Comfy API v2, at Comfy Cloud or at comfy-api-proxy before a ComfyUI of one's own. Polled.

The server draws the ids of its jobs. Each is submitted once, under a key that the server takes once, and carries a
label of ours: a job whose acceptance was lost is found in the server's list by its label, and never submitted again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from spellcast.adapters.billing import failed_after
from spellcast.adapters.capabilities import JobsOnly
from spellcast.adapters.exchange import Answer, Provider, fraction, one_line
from spellcast.adapters.input_media import InputMedia, Media, uploaded
from spellcast.adapters.media import media_payload
from spellcast.adapters.workflows import Template, with_seed, without_paths
from spellcast.domain.documents import Document
from spellcast.domain.errors import (
    JobCancelled,
    JobFailed,
    JobLost,
    OutcomeUnknown,
    ProviderAnswerInvalid,
    ProviderNotConfigured,
    ProviderRefused,
    StepFailed,
)
from spellcast.domain.identifiers import job_uuid
from spellcast.domain.media import is_address, media_type
from spellcast.domain.results import Job, ToolResult, failed
from spellcast.domain.tools import Tool
from spellcast.outbound.guard import shared_guarded_client
from spellcast.ports.adapter import ProviderConfig, Request

_JOBS = "/api/v2/jobs"
_ASSETS = "/api/v2/assets"
_FILE = re.compile(rf"{_ASSETS}/[\w-][\w.-]*/content", re.ASCII)
# The most that a list of jobs holds; it begins with the newest.
_LISTED = 100
_LABEL = "spellcast-"


def build(config: ProviderConfig, client: Callable[[], httpx.Client], allow_loopback: bool) -> ComfyApiAdapter:
    """The registry's way in."""
    if not config.url:
        raise ProviderNotConfigured(
            "comfyapi has no address: set SPELLCAST_COMFYAPI_URL or, on AWS, `url` in its secret"
        )
    return ComfyApiAdapter(config, client, lambda: shared_guarded_client(allow_loopback))


class ComfyApiAdapter(JobsOnly):
    """One server of the Comfy API v2."""

    def __init__(
        self, config: ProviderConfig, client: Callable[[], httpx.Client], guarded: Callable[[], httpx.Client]
    ) -> None:
        headers = {"Authorization": f"Bearer {config.key}"} if config.key else {}
        self._provider = Provider("The Comfy API", config.url, headers, client)
        self._media = InputMedia(guarded)

    def derived_run_id(self, generation_id: str) -> str | None:
        """Not the job's id, but its label, which leads to it as well."""
        return f"{_LABEL}{job_uuid(generation_id)}"

    def start_job(self, request: Request) -> Job:
        """Submits the tool's workflow with the step's inputs in their places, media among them as uploaded assets."""
        template = Template(request.tool)
        inputs = self._media.handed_over(request.tool, with_seed(request), template.is_placed, self._upload)
        label = f"{_LABEL}{job_uuid(request.generation_id)}"
        body = {"workflow": template.filled(inputs), "metadata": label}
        headers = {"Idempotency-Key": job_uuid(request.generation_id)}

        def judge(answer: Answer) -> StepFailed | None:
            is_used = _error(answer).get("code") == "idempotency_key_reuse"
            return OutcomeUnknown("The Comfy API has had this job before", label) if is_used else None

        accepted = self._provider.submit(_JOBS, body, explain=_explain, run_id=label, judge=judge, headers=headers)
        return Job(self._provider.job_id(accepted, run_id=label), calls_back=False)

    def poll_job(self, run_id: str, tool: Tool) -> ToolResult:
        """Reads the job, by its id or by its label."""
        if run_id.startswith(_LABEL):
            listed = self._listed()
            if listed is None:
                return failed(OutcomeUnknown("The Comfy API's answer to the job was lost, and it has no list to ask"))
            job = _labelled(listed, run_id)
        else:
            job = self._provider.look_up(f"{_JOBS}/{quote(run_id, safe='')}", explain=_explain)
        if job is None:
            raise JobLost("The Comfy API does not know the job, or not any more")
        return _read(job, tool)

    def file_headers(self, url: str) -> Mapping[str, str] | None:
        """The bytes of assets are asked for as everything else is there."""
        return self._provider.file_headers(url, _FILE)

    def cancel_job(self, run_id: str) -> None:
        """Asks for it; a job that is over, or unknown, is left as it is."""
        if run_id.startswith(_LABEL):
            job = _labelled(self._listed() or [], run_id)
            if job is None:
                return
            run_id = str(job.get("id"))
        answer = self._provider.ask("POST", f"{_JOBS}/{quote(run_id, safe='')}/cancel")
        if not answer.is_success and answer.status != 404:
            raise ProviderRefused(f"The Comfy API did not cancel the job ({answer.status})")

    def _listed(self) -> list[Any] | None:
        """The newest jobs; None where the server keeps no list, as Comfy Cloud's contract does not promise one."""
        answer = self._provider.ask("GET", f"{_JOBS}?limit={_LISTED}")
        if answer.status in (404, 405):
            return None
        jobs = self._provider.document_of(answer, explain=_explain).get("jobs")
        if not isinstance(jobs, list):
            raise ProviderAnswerInvalid("The Comfy API's list of jobs cannot be read")
        return jobs

    def _upload(self, media: Media, seconds: float) -> Document:
        """What stands in a workflow for an uploaded file."""
        fields = {"content_type": media.media_type, "file_path": media.name, "tags": "input"}
        asset = uploaded(self._provider, _ASSETS, "file", media, fields, seconds, _explain).get("id")
        if not isinstance(asset, str) or not asset:
            raise ProviderAnswerInvalid("The Comfy API took an input's file, but its answer does not name it")
        return {"__type": "core/ASSET", "info": {"id": asset}}


def _labelled(jobs: list[Any], label: str) -> Document | None:
    return next((job for job in jobs if isinstance(job, dict) and job.get("metadata") == label), None)


def _read(job: Document, tool: Tool) -> ToolResult:
    duration_ms = _duration_ms(job)
    match job.get("status"):
        case "queued":
            return ToolResult("processing", live_status="queued", is_queued=True)
        case "running" | "canceling" as status:
            return _running(job.get("progress"), status)
        case "succeeded":
            payload = tuple(_payload(job.get("outputs")))
            if payload:
                return ToolResult("succeeded", payload, duration_ms=duration_ms)
            return failed_after(JobFailed("The Comfy API finished the job, but has no output"), tool, duration_ms)
        case "failed":
            return failed_after(JobFailed(_failure(job.get("error"))), tool, duration_ms)
        case "canceled":
            return failed_after(JobCancelled("The job was cancelled at the Comfy API"), tool, duration_ms)
        case "expired":
            # The proxy says it, once, of a job that ends between its own two questions: one miss is not the end.
            raise JobLost("The Comfy API no longer has the job: it was cancelled while it waited, or was lost")
        case _:
            raise ProviderAnswerInvalid("The Comfy API answered a job without a known status")


def _running(progress: Any, status: str) -> ToolResult:
    value = message = None
    # The proxy does not know how far a job is, and says 0 of 0 nodes.
    if isinstance(progress, dict) and progress.get("nodes_total"):
        value, message = progress.get("value"), progress.get("message")
    return ToolResult(
        "processing",
        progress=fraction(value),
        live_status=one_line(message) if isinstance(message, str) and message else status,
    )


def _duration_ms(job: Document) -> int | None:
    """The server's figure, else the time between its two stamps; the proxy gives neither."""
    metrics = job.get("metrics")
    figure = metrics.get("execution_ms") if isinstance(metrics, dict) else None
    if isinstance(figure, int) and not isinstance(figure, bool) and figure >= 0:
        return figure
    try:
        start, end = (datetime.fromisoformat(str(job.get(name))) for name in ("started_at", "completed_at"))
        return max(0, round((end - start).total_seconds() * 1000))
    except (ValueError, TypeError):
        return None


def _payload(outputs: object) -> Iterator[Document]:
    items = [item for item in outputs if isinstance(item, dict)] if isinstance(outputs, list) else []
    return media_payload(_file(item) for item in items if is_address(item.get("url")) and item.get("type") != "latent")


def _file(item: Document) -> Document:
    """An output's address and name; what it is, its extension says best: a video may lie among the images."""
    name, stated = str(item.get("name") or ""), item.get("content_type")
    file: Document = {"url": item["url"], **({"filename": name} if name else {})}
    kind = media_type(name) or (stated if isinstance(stated, str) else None)
    return {**file, "mediaType": kind} if kind else file


def _failure(error: Any) -> str:
    """The node and its message; a traceback names paths of the server's."""
    detail = error if isinstance(error, dict) else {}
    node = detail.get("class_type")
    message = str(detail.get("message") or "the job failed")
    return one_line(without_paths(f"ComfyUI: {node}: {message}" if node else f"ComfyUI: {message}"))


def _error(answer: Answer) -> Document:
    error = (answer.document() or {}).get("error")
    return error if isinstance(error, dict) else {}


def _explain(answer: Answer) -> str:
    """The message of a refusal, and which nodes it is about."""
    error = _error(answer)
    details = error.get("details")
    nodes = details.get("node_errors") if isinstance(details, dict) else None
    where = f" (nodes {', '.join(sorted(nodes))})" if isinstance(nodes, dict) and nodes else ""
    return without_paths(f"{error.get('message') or error.get('code') or 'no reason given'}{where}")
