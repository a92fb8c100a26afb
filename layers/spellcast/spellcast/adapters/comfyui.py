"""The service `comfyui`: a ComfyUI server's own API. Jobs are polled.

Their ids are derived on this side, so that a job whose acceptance was lost can be found.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import httpx

from spellcast.adapters.capabilities import JobsOnly
from spellcast.adapters.exchange import Answer, Provider, one_line
from spellcast.adapters.media import media_payload, media_type
from spellcast.domain.documents import Document
from spellcast.domain.errors import (
    InvalidStepInput,
    JobCancelled,
    JobFailed,
    JobLost,
    OutcomeUnknown,
    ProviderAnswerInvalid,
    ProviderNotConfigured,
    ProviderRefused,
)
from spellcast.domain.identifiers import job_uuid
from spellcast.domain.results import Job, ToolResult, failed
from spellcast.domain.tools import Tool
from spellcast.ports.adapter import ProviderConfig, Request

_CLIENT_ID = "spellcast"
# Custom nodes put a file of any sort under any of these; its extension says what it is.
_FILE_KEYS = ("images", "gifs", "videos", "video", "audio", "files", "text")
# Below 2^53, so that every JSON reader sees the same number.
_SEED_BITS = 48
_PATH = re.compile(r"(?:[A-Za-z]:)?(?:[\\/][\w.\-]+){2,}[\\/]?")


def build(config: ProviderConfig, client: Callable[[], httpx.Client], allow_loopback: bool) -> ComfyUIAdapter:
    """The registry's way in."""
    if not config.url:
        raise ProviderNotConfigured("comfyui has no address: set SPELLCAST_COMFYUI_URL or, on AWS, `url` in its secret")
    return ComfyUIAdapter(config, client)


class ComfyUIAdapter(JobsOnly):
    """One ComfyUI server, or the proxy before it."""

    def __init__(self, config: ProviderConfig, client: Callable[[], httpx.Client]) -> None:
        self._base = config.url.rstrip("/")
        # ComfyUI has no authentication of its own; a key is for the operator's proxy.
        headers = {"Authorization": f"Bearer {config.key}"} if config.key else {}
        self._provider = Provider("ComfyUI", self._base, headers, client)

    def derived_run_id(self, generation_id: str) -> str | None:
        """ComfyUI's `prompt_id` is ours to choose."""
        return job_uuid(generation_id)

    def start_job(self, request: Request) -> Job:
        """Queues the tool's workflow with the step's inputs in their places."""
        run_id = job_uuid(request.generation_id)
        body = {"prompt": _workflow(request), "prompt_id": run_id, "client_id": _CLIENT_ID}
        answer = self._provider.submit("/prompt", body, explain=_explain, run_id=run_id)
        # ComfyUI accepts in part: node_errors with a 200 are outputs that were left out, and the rest runs.
        accepted_id = answer.get("prompt_id")
        if not isinstance(accepted_id, str):
            raise OutcomeUnknown("ComfyUI took the job, but its answer names none", run_id)
        return Job(calls_back=False, run_id=accepted_id)

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
        """Files of its own origin are asked for as everything else is there."""
        return self._provider.file_headers(url)

    def cancel_job(self, run_id: str) -> None:
        """Servers before 0.25 cannot cancel by id: there the job is taken from the queue, or interrupted."""
        answer = self._provider.ask("POST", f"/api/jobs/{run_id}/cancel", {})
        if answer.status in (404, 405):
            self._provider.ask("POST", "/queue", {"delete": [run_id]})
            # Without the id this would stop whatever runs.
            self._provider.ask("POST", "/interrupt", {"prompt_id": run_id})
        elif not answer.is_success:
            raise ProviderRefused(f"ComfyUI did not cancel the job ({answer.status})")

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


def _workflow(request: Request) -> Document:
    metadata = request.tool.metadata
    workflow = metadata.get("workflow")
    if not isinstance(workflow, dict) or not workflow:
        raise InvalidStepInput(f"The tool {request.tool.tool_id} has no metadata.workflow")
    if not all(isinstance(node, dict) and node.get("class_type") for node in workflow.values()):
        raise InvalidStepInput(f"The workflow of {request.tool.tool_id} is not in API format; export it as API")
    workflow = copy.deepcopy(workflow)
    places = metadata.get("workflowInputs") or {}
    inputs = _with_seed(request)
    for key, value in inputs.items():
        if value is None:
            continue
        for node_id, field in _places(places.get(key)):
            node = workflow.get(node_id)
            if node is None:
                raise InvalidStepInput(f"{request.tool.tool_id}: its workflow has no node {node_id} for {key}")
            node.setdefault("inputs", {})[field] = value
    return workflow


def _places(entry: Any) -> list[tuple[str, str]]:
    """`[nodeId, field]`, or a list of them."""
    if not entry:
        return []
    pairs = entry if isinstance(entry[0], list) else [entry]
    return [(str(node_id), str(field)) for node_id, field in pairs]


def _with_seed(request: Request) -> Document:
    """A seed that nobody chose is derived from the generation: a repetition draws the same picture."""
    key = request.tool.metadata.get("seedInputKey") or "input_seed"
    if key not in request.tool.inputs or request.inputs.get(key) not in (None, "", -1, "-1"):
        return request.inputs
    digest = hashlib.sha256(request.generation_id.encode()).digest()
    return {**request.inputs, key: int.from_bytes(digest[:8]) >> (64 - _SEED_BITS)}


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
    return one_line(_without_paths(f"ComfyUI: {node}: {message}" if node else f"ComfyUI: {message}"))


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
    return _without_paths("; ".join(parts))


def _without_paths(text: str) -> str:
    return _PATH.sub("…", text)
