"""The service `replicate`: predictions, told of by a signed webhook and, where that stays away, by a poll."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from spellcast.adapters.billing import failed_after, milliseconds
from spellcast.adapters.capabilities import JobsOnly
from spellcast.adapters.exchange import Answer, Provider, one_line
from spellcast.adapters.media import media_payload
from spellcast.domain.cost import cost_of
from spellcast.domain.documents import Document, to_text
from spellcast.domain.errors import (
    InvalidStepInput,
    JobCancelled,
    JobFailed,
    JobLost,
    ProviderAnswerInvalid,
    ProviderNotConfigured,
    ProviderRefused,
)
from spellcast.domain.media import address_type, is_address
from spellcast.domain.results import Job, ToolResult, Usage, failed
from spellcast.domain.standard_webhooks import verify
from spellcast.domain.tools import Tool
from spellcast.ports.adapter import ProviderConfig, Request

DEFAULT_URL = "https://api.replicate.com"
# `output` and `logs` would come twice a second; nobody is shown them.
_WEBHOOK_EVENTS = ["start", "completed"]


def build(config: ProviderConfig, client: Callable[[], httpx.Client], allow_loopback: bool) -> ReplicateAdapter:
    """The registry's way in."""
    if not config.key:
        raise ProviderNotConfigured("replicate has no key: set SPELLCAST_REPLICATE_KEY, or `key` in its secret")
    return ReplicateAdapter(config, client)


class ReplicateAdapter(JobsOnly):
    """Replicate's HTTP API, or whatever speaks it at the configured address."""

    def __init__(self, config: ProviderConfig, client: Callable[[], httpx.Client]) -> None:
        self._webhook_secret = config.webhook_secret
        headers = {"Authorization": f"Bearer {config.key}"}
        self._provider = Provider("Replicate", config.url or DEFAULT_URL, headers, client)

    def start_job(self, request: Request) -> Job:
        """Creates a prediction of the tool's model, version or deployment."""
        path, body = _target(request.tool)
        body["input"] = {key: value for key, value in request.inputs.items() if value is not None}
        calls_back = self.calls_back(request)
        if calls_back:
            body["webhook"] = request.callback_url
            body["webhook_events_filter"] = _WEBHOOK_EVENTS
        return Job(self._provider.job_id(self._provider.submit(path, body, explain=_explain)), calls_back)

    def calls_back(self, request: Request) -> bool:
        """Replicate refuses a callback that is not https, and without the secret we would; the job is then polled."""
        return bool(self._webhook_secret) and self._provider.can_call_back(request)

    def poll_job(self, run_id: str, tool: Tool) -> ToolResult:
        """Reads the prediction."""
        prediction = self._provider.look_up(f"/v1/predictions/{quote(run_id, safe='')}", explain=_explain)
        if prediction is None:
            raise JobLost("Replicate does not know the prediction any more")
        return _read(prediction, tool)

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, tool: Tool, now: datetime) -> ToolResult:
        """The prediction as Replicate sends it, once its signature has been checked."""
        verify(self._webhook_secret, headers, body, now)
        prediction = self._provider.told(body)
        run_id = prediction.get("id")
        return replace(_read(prediction, tool), run_id=run_id if isinstance(run_id, str) else None)

    def cancel_job(self, run_id: str) -> None:
        """A prediction that is over, or unknown, is left as it is."""
        answer = self._provider.ask("POST", f"/v1/predictions/{quote(run_id, safe='')}/cancel")
        if not answer.is_success and answer.status not in (404, 409, 422):
            raise ProviderRefused(f"Replicate did not cancel the prediction ({answer.status})")


def _target(tool: Tool) -> tuple[str, Document]:
    metadata = tool.metadata
    if version := metadata.get("version"):
        return "/v1/predictions", {"version": str(version)}
    for key, collection in (("model", "models"), ("deployment", "deployments")):
        if name := metadata.get(key):
            owner, _, rest = str(name).partition("/")
            return f"/v1/{collection}/{quote(owner, safe='')}/{quote(rest, safe='')}/predictions", {}
    raise InvalidStepInput(f"The tool {tool.tool_id} names no model, version or deployment in its metadata")


def _read(prediction: Document, tool: Tool) -> ToolResult:
    duration_ms = milliseconds(_metric(prediction, "predict_time"))
    usage = _usage(prediction)
    match prediction.get("status"):
        case "starting" | "processing" as status:
            return ToolResult("processing", live_status=status, is_queued=status == "starting")
        case "succeeded":
            payload = tuple(_payload(prediction.get("output"), tool))
            if not payload:
                # Replicate deletes a prediction's output an hour after its end; the run is paid for all the same.
                lost = JobFailed("Replicate has no output of the prediction")
                given = prediction.get("input")
                inputs = given if isinstance(given, dict) else {}
                done = ToolResult("succeeded", usage=usage)
                cost = None if tool.costing is None else cost_of(tool, done, duration_ms or 0, inputs)
                return failed(lost, cost_usd=cost, duration_ms=duration_ms)
            return ToolResult("succeeded", payload, duration_ms=duration_ms, usage=usage)
        case "failed":
            reason = prediction.get("error") or "the prediction failed"
            return failed_after(JobFailed(one_line(f"Replicate: {reason}")), tool, duration_ms)
        case "canceled" | "aborted":
            return failed_after(JobCancelled("The prediction was cancelled at Replicate"), tool, duration_ms)
        case _:
            raise ProviderAnswerInvalid("Replicate answered a prediction without a known status")


def _usage(prediction: Document) -> Usage | None:
    """The tokens of a language model; other models count none."""
    return Usage.of(_metric(prediction, "input_token_count"), _metric(prediction, "output_token_count"))


def _metric(prediction: Document, name: str) -> Any:
    metrics = prediction.get("metrics")
    return metrics.get(name) if isinstance(metrics, dict) else None


def _payload(output: Any, tool: Tool) -> Iterator[Document]:
    """Addresses become images and files, chunks of text one text; other JSON is kept beside its text."""
    if output is None:
        return
    values = output if isinstance(output, list) else [output]
    if values and all(is_address(value) for value in values):
        yield from _media(values, tool)
    elif values and all(isinstance(value, str) for value in values):
        yield {"type": "text", "data": {"text": "".join(values)}}
    else:
        members = output.values() if isinstance(output, dict) else values
        yield from _media([value for value in members if is_address(value)], tool)
        yield {"type": "text", "data": {"text": to_text(output), "result": output}}


def _media(urls: list[str], tool: Tool) -> Iterator[Document]:
    files = ({"url": url, **({"mediaType": kind} if (kind := address_type(url)) else {})} for url in urls)
    return media_payload(files, kind_of_unknown=str(tool.metadata.get("outputType") or "file"))


def _explain(answer: Answer) -> str:
    document = answer.document() or {}
    return str(document.get("detail") or document.get("title") or "no reason given")
