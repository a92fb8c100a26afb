"""The service `fal`: jobs in fal's queue, told of by a signed webhook and, where that stays away, by a poll.

A run id is `<app>/<request id>` (`fal-ai/flux/764cabcf-…`): with the configured address it makes the addresses that fal
answered when it took the job, and no key of ours can be sent elsewhere.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx

from spellcast.adapters.billing import milliseconds
from spellcast.adapters.capabilities import JobsOnly
from spellcast.adapters.exchange import Answer, Provider, one_line
from spellcast.adapters.jwks import PublicKeys
from spellcast.adapters.media import media_payload
from spellcast.domain.cost import cost_of
from spellcast.domain.documents import Document, from_text, to_text
from spellcast.domain.errors import (
    InvalidSignature,
    InvalidStepInput,
    JobCancelled,
    JobFailed,
    JobLost,
    OutcomeUnknown,
    ProviderAnswerInvalid,
    ProviderNotConfigured,
    ProviderRefused,
    ProviderUnavailable,
    StepFailed,
    StepTimedOut,
)
from spellcast.domain.media import address_type, is_address, media_type
from spellcast.domain.results import Failure, Job, ToolResult, failed
from spellcast.domain.standard_webhooks import check_time
from spellcast.domain.tools import Tool
from spellcast.outbound.guard import check_url
from spellcast.ports.adapter import ProviderConfig, Request

DEFAULT_URL = "https://queue.fal.run"
DEFAULT_KEYS_URL = "https://rest.fal.ai/.well-known/jwks.json"
# fal takes no shorter time to wait for a runner, in seconds.
SHORTEST_START = 2
MAX_NESTING = 8

# A part of a path, and no way out of it.
_PART = r"(?!\.+(?:/|$))[A-Za-z0-9_.~-]+"
_MODEL = re.compile(rf"{_PART}(?:/{_PART})+")
_REQUEST_ID = re.compile(_PART)
# Apps in these stand one level deeper than others.
_NAMESPACES = ("workflows", "comfy")
_STATUS_IN_TEXT = re.compile(r"status code: (\d{3})\b")
_SIGNATURE = re.compile(r"[0-9a-f]{128}")

# What the platform itself would try again, had we not told it to leave that to the caller.
_TRANSIENT_STATUSES = frozenset({503, 504})
_TRANSIENT_TYPES = frozenset(
    {
        "runner_scheduling_failure",
        "runner_connection_timeout",
        "runner_disconnected",
        "runner_connection_refused",
        "runner_connection_error",
    }
)
_TOO_LATE_TYPES = frozenset({"request_timeout", "startup_timeout"})
# Of the answer to a question for a result: about us or the moment, not about the job.
_NO_VERDICTS = frozenset({401, 403, 408, 425, 429})

_MEDIA_KINDS = ("image", "video", "audio")
_FILE_FACTS = frozenset({"content_type", "file_name", "file_size"})
_FILE_NAMES = re.compile(r"image|video|audio|file|mesh|mask|_url", re.IGNORECASE)
_TEXTS = ("output", "text", "response", "result", "results", "content", "caption", "description")


def build(config: ProviderConfig, client: Callable[[], httpx.Client], allow_loopback: bool) -> FalAdapter:
    """The registry's way in; `webhook_secret` is the address of fal's public keys, for who has another."""
    if not config.key:
        raise ProviderNotConfigured("fal has no key: set SPELLCAST_FAL_KEY, or `key` in its secret")
    keys_url = config.webhook_secret or DEFAULT_KEYS_URL
    if reason := check_url(keys_url, allow_loopback):
        hint = "fal signs with public keys, so `webhookSecret` is their address, or left out"
        raise ProviderNotConfigured(f"{hint}; {reason}")
    return FalAdapter(config, client, PublicKeys("fal", keys_url, client))


class FalAdapter(JobsOnly):
    """fal's queue, or whatever speaks its protocol at the configured address."""

    def __init__(self, config: ProviderConfig, client: Callable[[], httpx.Client], keys: PublicKeys) -> None:
        base = config.url or DEFAULT_URL
        self._base_path = urlsplit(base).path.rstrip("/")
        self._provider = Provider("fal", base, {"Authorization": f"Key {config.key}"}, client)
        self._keys = keys

    def start_job(self, request: Request) -> Job:
        """Queues one request to the tool's model; what has not begun by the step's deadline is not begun at all."""
        app, path = _target(request.tool)
        body = {key: value for key, value in request.inputs.items() if value is not None}
        calls_back = self.calls_back(request)
        if calls_back:
            path += "?" + urlencode({"fal_webhook": request.callback_url})
        headers = {
            # The queue would run a failing job up to ten times.
            "x-fal-no-retry": "1",
            "X-Fal-Request-Timeout": str(max(SHORTEST_START, request.tool.deadline_seconds)),
        }
        accepted = self._provider.submit(path, body, explain=_explain, headers=headers)
        request_id = accepted.get("request_id")
        if not isinstance(request_id, str) or not _REQUEST_ID.fullmatch(request_id):
            raise OutcomeUnknown("fal took the job, but its answer names none")
        return Job(f"{self._app_in(accepted.get('status_url'), request_id) or app}/{request_id}", calls_back)

    def calls_back(self, request: Request) -> bool:
        """fal calls back over https only; other jobs are found by polling."""
        return self._provider.can_call_back(request)

    def poll_job(self, run_id: str, tool: Tool) -> ToolResult:
        """Reads the job's status and, once it is over, its result."""
        path = _path(run_id)
        status = self._provider.look_up(f"{path}/status", explain=_explain) if path else None
        if path is None or status is None:
            raise JobLost("fal does not know the job any more")
        match status.get("status"):
            case "IN_QUEUE":
                return ToolResult("processing", live_status="queued", is_queued=True)
            case "IN_PROGRESS":
                return ToolResult("processing", live_status="running")
            case "COMPLETED":
                return self._ended(path, status, tool)
            case _:
                raise ProviderAnswerInvalid("fal answered a job without a known status")

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, tool: Tool, now: datetime) -> ToolResult:
        """The result as fal sends it, once its signature has been checked."""
        self._verify(headers, body, now)
        told = self._provider.told(body)
        if told.get("status") not in ("OK", "ERROR"):
            raise ProviderAnswerInvalid("fal's callback is not the end of a job")
        request_id = told.get("request_id")
        if not isinstance(request_id, str) or not _REQUEST_ID.fullmatch(request_id):
            raise ProviderAnswerInvalid("fal's callback names no job")
        # A request that fal repeats by itself has a further id; the first is the one that was answered.
        first_id = told.get("gateway_request_id") or request_id
        return replace(self._told(told, f"{_target(tool)[0]}/{request_id}", tool), run_id=str(first_id))

    def _told(self, told: Document, run_id: str, tool: Tool) -> ToolResult:
        payload = told.get("payload")
        if told["status"] == "ERROR":
            document = payload if isinstance(payload, dict) else {}
            return _failed(tool, document, {}, self._duration_ms(run_id, tool), said=told.get("error"))
        if payload is not None:
            return _succeeded(tool, payload, self._duration_ms(run_id, tool))
        # What could not be put into the callback is with the queue.
        result = self.poll_job(run_id, tool)
        if not result.is_final:
            raise ProviderUnavailable("fal called back before it had the result")
        return result

    def cancel_job(self, run_id: str) -> None:
        """A job that is over, or unknown, is left as it is; one that runs may end in its own way all the same."""
        if (path := _path(run_id)) is None:
            return
        answer = self._provider.ask("PUT", f"{path}/cancel")
        if not answer.is_success and answer.status not in (400, 404):
            raise ProviderRefused(f"fal did not cancel the job ({answer.status})")

    def _app_in(self, url: Any, request_id: str) -> str | None:
        """The app in an address that fal answered, which leaves out the model's own path."""
        path = _path_in(url)
        app, _, rest = path.removeprefix(f"{self._base_path}/").partition("/requests/")
        return app if rest.partition("/")[0] == request_id and _MODEL.fullmatch(app) else None

    def _ended(self, path: str, status: Document, tool: Tool) -> ToolResult:
        """COMPLETED says that a job is over, not how: a failed one's result is its error."""
        named = _path_in(status.get("response_url")).removeprefix(self._base_path)
        is_ours = named.startswith(f"{path}/") and _MODEL.fullmatch(named[1:])
        answer = self._provider.read("GET", named if is_ours else path)
        document = answer.document() or {}
        duration_ms = _inference_ms(status)
        said = status.get("error") or status.get("error_type")
        # A 5xx may be the queue's own trouble, unless it has the mark of a job's.
        is_typed = bool(answer.headers.get("x-fal-error-type") or document.get("error_type"))
        is_verdict = answer.status not in _NO_VERDICTS and (400 <= answer.status < 500 or is_typed)
        if said or is_verdict:
            document = {"error_type": status.get("error_type"), **document}
            return _failed(tool, document, answer.headers, duration_ms, said=status.get("error"), code=answer.status)
        if not answer.is_success:
            raise self._provider.unavailable(answer)
        return _succeeded(tool, _result(answer), duration_ms)

    def _duration_ms(self, run_id: str, tool: Tool) -> int | None:
        """The run time of what is paid by the second: a callback does not tell it."""
        path = _path(run_id)
        if path is None or tool.costing is None or not tool.costing.is_per_second:
            return None
        try:
            status = self._provider.look_up(f"{path}/status", explain=_explain)
        except StepFailed:
            # The result matters more; the cost is then taken of the time that the step took.
            return None
        return _inference_ms(status or {})

    def _verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        names = ("request-id", "user-id", "timestamp", "signature")
        request_id, user_id, timestamp, signature = (headers.get(f"x-fal-webhook-{name}") for name in names)
        if not (request_id and user_id and timestamp and signature):
            raise InvalidSignature("The callback carries no signature")
        check_time(timestamp, now)
        if not _SIGNATURE.fullmatch(signature.lower()):
            raise InvalidSignature("The callback's signature is wrong")
        digest = hashlib.sha256(body).hexdigest()
        message = "\n".join((request_id, user_id, timestamp, digest)).encode()
        self._keys.verify(bytes.fromhex(signature), message, now)


def _target(tool: Tool) -> tuple[str, str]:
    """The app, under which its jobs are found, and the path to which they are sent."""
    model = str(tool.metadata.get("model") or "")
    parts = model.split("/")
    depth = 3 if parts[0] in _NAMESPACES else 2
    if not _MODEL.fullmatch(model) or len(parts) < depth:
        raise InvalidStepInput(f"The tool {tool.tool_id} names no model of fal's in its metadata, as owner/app")
    return "/".join(parts[:depth]), f"/{model}"


def _path(run_id: str) -> str | None:
    app, _, request_id = run_id.rpartition("/")
    return f"/{app}/requests/{request_id}" if _MODEL.fullmatch(run_id) and "/" in app else None


def _path_in(url: Any) -> str:
    try:
        return urlsplit(url).path if isinstance(url, str) else ""
    except ValueError:
        return ""


def _result(answer: Answer) -> Any:
    try:
        return from_text(answer.body)
    except (ValueError, RecursionError) as error:
        raise ProviderAnswerInvalid("fal's result is not JSON") from error


def _inference_ms(status: Document) -> int | None:
    metrics = status.get("metrics")
    return milliseconds(metrics.get("inference_time")) if isinstance(metrics, dict) else None


# --- How a job failed ---


def _failed(
    tool: Tool,
    document: Document,
    headers: Mapping[str, str],
    duration_ms: int | None,
    *,
    said: Any,
    code: int | None = None,
) -> ToolResult:
    """A failure by fal's own words: of its error document and, where that says nothing, of what stood beside it."""
    if code is None or code < 400:
        match = _STATUS_IN_TEXT.search(said) if isinstance(said, str) else None
        code = int(match[1]) if match else None
    kind = headers.get("x-fal-error-type") or document.get("error_type")
    reason = _reason(document) or (said if isinstance(said, str) and said else "the job failed")
    message = one_line(f"fal: {reason} ({kind or code})" if kind or code else f"fal: {reason}")
    error: StepFailed = JobFailed(message)
    if kind == "client_cancelled":
        error = JobCancelled("The job was cancelled at fal")
    elif kind in _TOO_LATE_TYPES or (code == 504 and headers.get("x-fal-request-timeout-type") == "user"):
        error = StepTimedOut(message)
    again = headers.get("x-fal-retryable") or headers.get("x-fal-needs-retry")
    is_transient = code in _TRANSIENT_STATUSES or kind in _TRANSIENT_TYPES
    retryable = error.retryable or (is_transient if again is None else again.lower() in ("true", "1"))
    failure = replace(Failure.of(error), retryable=retryable)
    # fal bills no server error, and what is paid by the run only where it succeeds.
    is_billed = code is not None and code < 500 and tool.costing is not None and tool.costing.is_per_second
    cost = cost_of(tool, ToolResult("succeeded"), duration_ms, {}) if is_billed and duration_ms is not None else None
    return ToolResult("failed", failure=failure, cost_usd=cost, duration_ms=duration_ms)


def _explain(answer: Answer) -> str:
    return _reason(answer.document() or {}) or "no reason given"


def _reason(document: Document) -> str:
    """What is wrong and where; the inputs, which an error quotes, are left out."""
    detail = document.get("detail")
    if not isinstance(detail, list):
        return detail if isinstance(detail, str) else ""
    return "; ".join(_fault(fault) for fault in detail if isinstance(fault, dict))


def _fault(fault: Document) -> str:
    loc = fault.get("loc")
    place = ".".join(str(part) for part in loc if part != "body") if isinstance(loc, list) else ""
    text = str(fault.get("msg") or fault.get("type") or "is wrong")
    return f"{place}: {text}" if place else text


# --- What a job made ---


def _succeeded(tool: Tool, result: Any, duration_ms: int | None) -> ToolResult:
    payload = tuple(_payload(result, tool))
    if payload:
        return ToolResult("succeeded", payload, duration_ms=duration_ms)
    # It ran, so it is paid for all the same.
    cost = None if tool.costing is None else cost_of(tool, ToolResult("succeeded"), duration_ms or 0, {})
    return failed(JobFailed("fal ended the job without an output"), cost_usd=cost, duration_ms=duration_ms)


def _payload(result: Any, tool: Tool) -> Iterator[Document]:
    """Files wherever they stand, and a text under one of its names; other JSON is kept beside its text."""
    wanted = tool.metadata.get("outputType")
    found: dict[str, tuple[str, Document]] = {}
    for key, file in _files(result, "", 0):
        found.setdefault(file["url"], (_kind(key, file, wanted), file))
    for kind in (*_MEDIA_KINDS, "file"):
        yield from media_payload((file for its, file in found.values() if its == kind), kind)
    text = _text(result)
    if text:
        is_all = found or not isinstance(result, dict) or len(result) == 1
        yield {"type": "text", "data": {"text": text} if is_all else {"text": text, "result": result}}
    elif not found and wanted not in _MEDIA_KINDS and result not in (None, "", {}, []):
        yield {"type": "text", "data": {"text": to_text(result), "result": result}}


def _files(value: Any, key: str, depth: int) -> Iterator[tuple[str, Document]]:
    """fal's file objects, and bare addresses under a key that speaks of a file; each with its key."""
    if depth > MAX_NESTING:
        return
    if isinstance(value, list):
        for member in value:
            yield from _files(member, key, depth + 1)
    elif isinstance(value, dict):
        is_file = not _FILE_FACTS.isdisjoint(value) or _FILE_NAMES.search(key)
        if is_file and is_address(value.get("url")):
            yield key, _file(value)
            return
        for name, member in value.items():
            yield from _files(member, name, depth + 1)
    elif is_address(value) and _FILE_NAMES.search(key):
        yield key, _file({"url": value})


def _file(given: Document) -> Document:
    file: Document = {"url": given["url"]}
    name, stated = given.get("file_name"), given.get("content_type")
    if not isinstance(stated, str) or "/" not in stated or stated == "application/octet-stream":
        stated = (media_type(name) if isinstance(name, str) else None) or address_type(given["url"])
    if stated:
        file["mediaType"] = stated
    if isinstance(name, str) and name:
        file["filename"] = name
    return file | {side: given[side] for side in ("width", "height") if isinstance(given.get(side), int)}


def _kind(key: str, file: Document, wanted: Any) -> str:
    if "mediaType" in file:
        hints = [file["mediaType"].partition("/")[0]]
    else:
        hints = [kind for kind in _MEDIA_KINDS if kind in key.lower()] + [wanted]
    return hints[0] if hints[0] in _MEDIA_KINDS else "file"


def _text(result: Any) -> str | None:
    if isinstance(result, str):
        return result
    candidates = [result.get(key) for key in _TEXTS] if isinstance(result, dict) else []
    return next((text for text in candidates if isinstance(text, str) and text and not is_address(text)), None)
