"""The service `comfyui`: a ComfyUI server's own API. Jobs are polled.

Their ids are derived on this side, so that a job whose acceptance was lost can be found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import httpx

from spellcast.adapters.capabilities import JobsOnly
from spellcast.adapters.exchange import Answer, Provider, one_line
from spellcast.adapters.input_media import InputMedia, Media, uploaded
from spellcast.adapters.media import media_payload
from spellcast.adapters.workflows import Template, with_seed, without_paths
from spellcast.domain.documents import Document
from spellcast.domain.errors import (
    JobCancelled,
    JobFailed,
    JobLost,
    ProviderAnswerInvalid,
    ProviderNotConfigured,
    ProviderRefused,
)
from spellcast.domain.identifiers import job_uuid
from spellcast.domain.media import media_type
from spellcast.domain.results import Job, ToolResult, failed
from spellcast.domain.tools import Tool
from spellcast.outbound.guard import shared_guarded_client
from spellcast.ports.adapter import ProviderConfig, Request

_CLIENT_ID = "spellcast"
_FILE = re.compile("/view")
# Custom nodes put a file of any sort under any of these; its extension says what it is.
_FILE_KEYS = ("images", "gifs", "videos", "video", "audio", "files", "text")


def build(config: ProviderConfig, client: Callable[[], httpx.Client], allow_loopback: bool) -> ComfyUIAdapter:
    """The registry's way in."""
    if not config.url:
        raise ProviderNotConfigured("comfyui has no address: set SPELLCAST_COMFYUI_URL or, on AWS, `url` in its secret")
    return ComfyUIAdapter(config, client, lambda: shared_guarded_client(allow_loopback))


class ComfyUIAdapter(JobsOnly):
    """One ComfyUI server, or the proxy before it."""

    def __init__(
        self, config: ProviderConfig, client: Callable[[], httpx.Client], guarded: Callable[[], httpx.Client]
    ) -> None:
        self._base = config.url.rstrip("/")
        # ComfyUI has no authentication of its own; a key is for the operator's proxy.
        headers = {"Authorization": f"Bearer {config.key}"} if config.key else {}
        self._provider = Provider("ComfyUI", self._base, headers, client)
        self._media = InputMedia(guarded)

    def derived_run_id(self, generation_id: str) -> str | None:
        """ComfyUI's `prompt_id` is ours to choose."""
        return job_uuid(generation_id)

    def start_job(self, request: Request) -> Job:
        """Queues the tool's workflow with the step's inputs in their places, media among them as uploaded files."""
        template = Template(request.tool)
        inputs = self._media.handed_over(request.tool, with_seed(request), template.is_placed, self._upload)
        run_id = job_uuid(request.generation_id)
        body = {"prompt": template.filled(inputs), "prompt_id": run_id, "client_id": _CLIENT_ID}
        # ComfyUI accepts in part: node_errors with a 200 are outputs that were left out, and the rest runs.
        accepted = self._provider.submit("/prompt", body, explain=_explain, run_id=run_id)
        return Job(self._provider.job_id(accepted, "prompt_id", run_id), calls_back=False)

    def poll_job(self, run_id: str, tool: Tool) -> ToolResult:
        """History has the finished jobs and the queue the others. In neither, the job is lost."""
        finished = self._finished(run_id)
        if finished is None:
            queue = self._provider.look_up("/queue", explain=_explain) or {}
            if _is_listed(run_id, queue.get("queue_running")):
                return ToolResult("processing", live_status="running")
            if _is_listed(run_id, queue.get("queue_pending")):
                return ToolResult("processing", live_status="queued", is_queued=True)
            # It may have finished between the two questions.
            finished = self._finished(run_id)
        if finished is None:
            raise JobLost("ComfyUI no longer knows the job: it was cancelled, or the server was restarted")
        return self._read(finished)

    def file_headers(self, url: str) -> Mapping[str, str] | None:
        """Files are asked for as everything else is there."""
        return self._provider.file_headers(url, _FILE)

    def cancel_job(self, run_id: str) -> None:
        """Servers before 0.25 cannot cancel by id: there the job is taken from the queue, or interrupted."""
        answer = self._provider.ask("POST", f"/api/jobs/{run_id}/cancel", {})
        if answer.status in (404, 405):
            self._provider.ask("POST", "/queue", {"delete": [run_id]})
            # Without the id this would stop whatever runs.
            self._provider.ask("POST", "/interrupt", {"prompt_id": run_id})
        elif not answer.is_success:
            raise ProviderRefused(f"ComfyUI did not cancel the job ({answer.status})")

    def _upload(self, media: Media, seconds: float) -> str:
        """The name under which the server's nodes find the file; it is the server's to choose."""
        fields = {"type": "input", "overwrite": "true"}
        answer = uploaded(self._provider, "/upload/image", "image", media, fields, seconds, _explain)
        name, subfolder = answer.get("name"), answer.get("subfolder")
        if not isinstance(name, str) or not name:
            raise ProviderAnswerInvalid("ComfyUI took an input's file, but its answer does not name it")
        return f"{subfolder}/{name}" if subfolder else name

    def _finished(self, run_id: str) -> Document | None:
        history = self._provider.look_up(f"/history/{run_id}", explain=_explain) or {}
        entry = history.get(run_id)
        if entry is not None and not isinstance(entry, dict):
            raise ProviderAnswerInvalid("ComfyUI's history of the job cannot be read")
        return entry

    def _read(self, entry: Document) -> ToolResult:
        status = entry.get("status") or {}
        messages = dict(_messages(status))
        duration_ms = _duration_ms(messages)
        # An interrupted job has the status of a failed one; only its messages differ.
        if "execution_interrupted" in messages:
            return failed(JobCancelled("The job was interrupted in ComfyUI"), duration_ms=duration_ms)
        if "execution_error" in messages or status.get("status_str") == "error":
            return failed(JobFailed(_failure(messages.get("execution_error") or {})), duration_ms=duration_ms)
        payload = tuple(self._payload(entry.get("outputs")))
        if not payload:
            return failed(JobFailed("ComfyUI finished the job, but saved no output"), duration_ms=duration_ms)
        return ToolResult("succeeded", payload, duration_ms=duration_ms)

    def _payload(self, outputs: object) -> Iterator[Document]:
        items = list(_output_items(outputs))
        yield from media_payload(
            # Previews are temporary files, and no results.
            self._file(item)
            for item in items
            if isinstance(item, dict) and item.get("type", "output") == "output"
        )
        texts = [item for item in items if isinstance(item, str)]
        if texts:
            yield {"type": "text", "data": {"text": "\n".join(texts)}}

    def _file(self, item: Document) -> Document:
        name, subfolder = str(item["filename"]), str(item.get("subfolder") or "")
        query = urlencode({"filename": name, "subfolder": subfolder, "type": "output"})
        file: Document = {
            "url": f"{self._base}/view?{query}",
            "filename": name,
            "subfolder": subfolder,
            "type": "output",
        }
        kind = media_type(name)
        return {**file, "mediaType": kind} if kind else file


def _is_listed(run_id: str, jobs: object) -> bool:
    """Whether the id is among `[number, id, …]` entries."""
    return isinstance(jobs, list) and any(isinstance(job, list) and len(job) > 1 and job[1] == run_id for job in jobs)


def _messages(status: Document) -> Iterator[tuple[str, Document]]:
    for message in status.get("messages") or []:
        if isinstance(message, list) and len(message) == 2 and isinstance(message[1], dict):
            yield str(message[0]), message[1]


def _duration_ms(messages: dict[str, Document]) -> int | None:
    start = (messages.get("execution_start") or {}).get("timestamp")
    for name in ("execution_success", "execution_error", "execution_interrupted"):
        end = (messages.get(name) or {}).get("timestamp")
        if isinstance(start, int) and isinstance(end, int):
            return max(0, end - start)
    return None


def _output_items(outputs: object) -> Iterator[Any]:
    """Files and texts, by node number: the server's own order is that of their execution."""
    if not isinstance(outputs, dict):
        return
    for _, output in sorted(outputs.items(), key=lambda pair: _node_order(pair[0])):
        if not isinstance(output, dict):
            continue
        for key in _FILE_KEYS:
            items = output.get(key)
            for item in items if isinstance(items, list) else [items]:
                is_text = isinstance(item, str) and item and key == "text"
                if is_text or (isinstance(item, dict) and item.get("filename")):
                    yield item


def _node_order(node_id: str) -> tuple[int, str]:
    # Nodes of a subgraph are called `12:3`.
    number = node_id.partition(":")[0]
    return (int(number) if number.isdecimal() else 2**31, node_id)


def _failure(error: Document) -> str:
    message = str(error.get("exception_message") or "the job failed")
    node = error.get("node_type")
    return one_line(without_paths(f"ComfyUI: {node}: {message}" if node else f"ComfyUI: {message}"))


def _explain(answer: Answer) -> str:
    """The messages of a refusal; its details quote the inputs, and are left out."""
    document = answer.document() or {}
    error = document.get("error") or "no reason given"
    parts = [str(error.get("message") or error.get("type")) if isinstance(error, dict) else str(error)]
    node_errors = document.get("node_errors")
    for node_id, node in (node_errors if isinstance(node_errors, dict) else {}).items():
        for fault in (node.get("errors") or []) if isinstance(node, dict) else []:
            name = (fault.get("extra_info") or {}).get("input_name")
            where = f"node {node_id} ({node.get('class_type')})" + (f", {name}" if name else "")
            parts.append(f"{where}: {fault.get('message')}")
    return without_paths("; ".join(parts))
