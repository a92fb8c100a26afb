"""The service `openai`: text by `/responses`, at once or in the background, and pictures by `/images/generations`.

OpenAI sends the webhooks of a whole project to one address and names only the response in them. Whose it is stands in
the response itself: its `metadata` carry the callback's token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import httpx

from spellcast.adapters.exchange import MAX_ANSWER_BYTES, Answer, Provider, one_line
from spellcast.domain.cost import cost_of
from spellcast.domain.documents import Document, is_blank, to_text
from spellcast.domain.errors import (
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
)
from spellcast.domain.media import media_type
from spellcast.domain.results import Job, ToolResult, Usage, failed
from spellcast.domain.retrying import parse_retry_after
from spellcast.domain.standard_webhooks import verify
from spellcast.domain.tools import Tool
from spellcast.ports.adapter import ProviderConfig, Request

DEFAULT_URL = "https://api.openai.com/v1"
# Some pictures of 4K, in base64.
MAX_PICTURE_BYTES = 48 * 1024 * 1024

_PROMPTS = ("prompt", "input_prompt")
_INSTRUCTIONS = ("instructions", "input_instructions")
# Of the original's inputs; what it decided is the tool's, and pictures always come as base64.
_DROPPED = ("action", "responseFormat")
# What would change the protocol that is spoken here.
_OURS = ("stream", "store", "metadata")
_TOKEN, _MODEL = "spellcast_token", "spellcast_model"
_QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_POLICY_CODES = frozenset({"content_policy_violation", "moderation_blocked", "content_filter"})


def build(config: ProviderConfig, client: Callable[[], httpx.Client], allow_loopback: bool) -> OpenAIAdapter:
    """The registry's way in."""
    if not config.key:
        raise ProviderNotConfigured("openai has no key: set SPELLCAST_OPENAI_KEY, or `key` in its secret")
    return OpenAIAdapter(config, client)


class OpenAIAdapter:
    """OpenAI's HTTP API, or whatever speaks it at the configured address."""

    def __init__(self, config: ProviderConfig, client: Callable[[], httpx.Client]) -> None:
        self._webhook_secret = config.webhook_secret
        headers = {"Authorization": f"Bearer {config.key}"}
        self._provider = Provider("OpenAI", config.url or DEFAULT_URL, headers, client)

    def is_repeatable(self, request: Request) -> bool:
        """Every answer is billed."""
        return False

    def execute(self, request: Request) -> ToolResult:
        """Writes a text or draws a picture; either takes as long as the tool's deadline allows."""
        if _draws(request.tool):
            return self._draw(request)
        body = {**_text_body(request), "store": False}
        response = self._submit("/responses", body, request.tool)
        try:
            result = _read(response, request.tool, request.inputs)
        except ProviderAnswerInvalid as error:
            raise OutcomeUnknown(error.message) from error
        if not result.is_final:
            raise OutcomeUnknown("OpenAI did not answer at once, though it was asked to")
        return result

    def start_job(self, request: Request) -> Job:
        """Asks for a response in the background."""
        if _draws(request.tool):
            raise InvalidStepInput(
                f"OpenAI draws pictures at once: deliveryMode of {request.tool.tool_id} must be immediate"
            )
        body = _text_body(request)
        metadata = {_MODEL: str(body["model"])}
        if request.callback_url:
            metadata[_TOKEN] = request.callback_url.rpartition("/")[2]
        # A response that is not stored cannot be asked for ten minutes later.
        body |= {"background": True, "store": True, "metadata": metadata}
        run_id = self._provider.job_id(self._provider.submit("/responses", body, explain=_explain, judge=_judge))
        return Job(run_id, self.calls_back(request))

    def calls_back(self, request: Request) -> bool:
        """Whether the project has a webhook cannot be asked; whoever gave us its secret has registered it."""
        return bool(self._webhook_secret) and request.tool.delivery_mode == "webhook"

    def derived_run_id(self, generation_id: str) -> str | None:
        """OpenAI draws the ids of its responses itself."""
        return None

    def poll_job(self, run_id: str, tool: Tool) -> ToolResult:
        """Reads the response."""
        response = self._response(run_id)
        if response is None:
            raise JobLost("OpenAI does not know the response any more")
        metadata = response.get("metadata")
        model = metadata.get(_MODEL) if isinstance(metadata, dict) else None
        return _read(response, tool, {"model": model})

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, tool: Tool, now: datetime) -> ToolResult:
        """The state of the response that the event names; the event itself says no more than that it ended."""
        run_id = self._named_response(headers, body, now)
        if run_id is None:
            raise ProviderAnswerInvalid("OpenAI's event is of no response")
        return replace(self.poll_job(run_id, tool), run_id=run_id)

    def callback_token(self, headers: Mapping[str, str], body: bytes, now: datetime) -> str | None:
        """As the response's metadata have it. Others in the project, and OpenAI's test events, have none."""
        run_id = self._named_response(headers, body, now)
        response = None if run_id is None else self._response(run_id)
        metadata = None if response is None else response.get("metadata")
        token = metadata.get(_TOKEN) if isinstance(metadata, dict) else None
        return token if isinstance(token, str) else None

    def cancel_job(self, run_id: str) -> None:
        """A response that is over, or unknown, is left as it is."""
        answer = self._provider.ask("POST", f"/responses/{quote(run_id, safe='')}/cancel")
        if not answer.is_success and answer.status not in (400, 404, 409):
            raise ProviderRefused(f"OpenAI did not cancel the response ({answer.status})")

    def file_headers(self, url: str) -> Mapping[str, str] | None:
        """Its pictures come as base64; an address is one of another server's."""
        return None

    def _draw(self, request: Request) -> ToolResult:
        body = _body(request)
        answer = self._submit("/images/generations", body, request.tool, MAX_PICTURE_BYTES)
        kind = answer.get("output_format") or body.get("output_format") or "png"
        images = list(_images(answer.get("data"), media_type(f"picture.{kind}") or "image/png"))
        if not images:
            raise OutcomeUnknown("OpenAI answered, but with no picture")
        return ToolResult("succeeded", ({"type": "image", "data": {"images": images}},), usage=_usage(answer))

    def _submit(self, path: str, body: Document, tool: Tool, max_bytes: int = MAX_ANSWER_BYTES) -> Document:
        seconds = float(tool.deadline_seconds)
        return self._provider.submit(path, body, explain=_explain, judge=_judge, seconds=seconds, max_bytes=max_bytes)

    def _response(self, run_id: str) -> Document | None:
        return self._provider.look_up(f"/responses/{quote(run_id, safe='')}", explain=_explain)

    def _named_response(self, headers: Mapping[str, str], body: bytes, now: datetime) -> str | None:
        """The id of the response that a signed event is about."""
        verify(self._webhook_secret, headers, body, now)
        event = self._provider.told(body)
        if not isinstance(event.get("type"), str):
            raise ProviderAnswerInvalid("OpenAI's event has no type")
        if not event["type"].startswith("response."):
            return None
        data = event.get("data")
        run_id = data.get("id") if isinstance(data, dict) else None
        if not isinstance(run_id, str) or not run_id:
            raise ProviderAnswerInvalid("OpenAI's event names no response")
        return run_id


def _draws(tool: Tool) -> bool:
    return tool.metadata.get("outputType") == "image"


# --- What is asked ---


def _text_body(request: Request) -> Document:
    body = _body(request)
    body.pop("background", None)
    text = {"input": body.pop("prompt")}
    instructions = _text(_first(request.inputs, _INSTRUCTIONS))
    if instructions:
        text["instructions"] = instructions
    return {**body, **text}


def _body(request: Request) -> Document:
    """The tool's fixed parameters, overlaid by the step's inputs under their own names."""
    tool, inputs = request.tool, request.inputs
    prompt = _text(_first(inputs, _PROMPTS))
    if not prompt:
        raise InvalidStepInput("prompt is required and must not be empty")
    fixed = tool.metadata.get("defaultAdapterParams")
    body = {**fixed} if isinstance(fixed, dict) else {}
    model = inputs.get("model")
    body["model"] = tool.metadata.get("model") if is_blank(model) else model
    body.update((key, value) for key, value in inputs.items() if key != "model" and not is_blank(value))
    for key in (*_PROMPTS, *_INSTRUCTIONS, *_DROPPED, *_OURS):
        body.pop(key, None)
    body = {key: _value(tool, key, value) for key, value in body.items()}
    if is_blank(body["model"]):
        raise InvalidStepInput(f"The tool {tool.tool_id} names no model in its metadata, nor do the inputs")
    return {**body, "prompt": prompt}


def _first(inputs: Document, names: tuple[str, ...]) -> Any:
    return next((inputs[name] for name in names if not is_blank(inputs.get(name))), None)


def _text(value: Any) -> str:
    """Several prompts are joined line by line."""
    if isinstance(value, list):
        return "\n".join(filter(None, map(_text, value)))
    if is_blank(value):
        return ""
    return value if isinstance(value, str) else to_text(value)


def _value(tool: Tool, key: str, value: Any) -> Any:
    """As OpenAI takes it: names that the tool translates, numbers that came as texts."""
    if not isinstance(value, str):
        return value
    field = tool.inputs.get(key)
    if field is not None and field.type in ("number", "integer"):
        number = float(value)
        return int(number) if number.is_integer() else number
    aliases = tool.metadata.get("valueAliases")
    known = aliases.get(key) if isinstance(aliases, dict) else None
    return known.get(value, value) if isinstance(known, dict) else value


# --- What is answered ---


def _read(response: Document, tool: Tool, inputs: Document) -> ToolResult:
    """`inputs` have the model that was asked for, by which a failure's tokens are priced."""
    usage = _usage(response)
    match response.get("status"):
        case "queued" | "in_progress" as status:
            return ToolResult("processing", live_status=status, is_queued=status == "queued")
        case "completed":
            texts = list(_contents(response, "output_text", "text"))
            if any(map(str.strip, texts)):
                text = "".join(texts)
                return ToolResult("succeeded", ({"type": "text", "data": {"text": text}},), usage=usage)
            refusals = " ".join(_contents(response, "refusal", "refusal"))
            reason = f"OpenAI's model declined: {refusals}" if refusals else "OpenAI answered without a text"
            return _billed(JobFailed(one_line(reason)), tool, usage, inputs)
        case "failed":
            reason = _reason(response.get("error")) or "the response failed"
            return _billed(JobFailed(one_line(f"OpenAI: {reason}")), tool, usage, inputs)
        case "incomplete":
            details = response.get("incomplete_details")
            why = details.get("reason") if isinstance(details, dict) else None
            error = JobFailed(one_line(f"OpenAI stopped before the end: {why or 'no reason given'}"))
            return _billed(error, tool, usage, inputs)
        case "cancelled":
            return _billed(JobCancelled("The response was cancelled at OpenAI"), tool, usage, inputs)
        case _:
            raise ProviderAnswerInvalid("OpenAI answered a response without a known status")


def _contents(response: Document, kind: str, key: str) -> Iterator[str]:
    """The texts of one kind in the response's messages."""
    for item in _objects(response.get("output")):
        for part in _objects(item.get("content")):
            if part.get("type") == kind and isinstance(part.get(key), str):
                yield part[key]


def _images(data: Any, kind: str) -> Iterator[Document]:
    """Base64 as it came; servers that only speak OpenAI's protocol may give addresses instead."""
    for item in _objects(data):
        if isinstance(item.get("b64_json"), str) and item["b64_json"]:
            yield {"b64_json": item["b64_json"], "mediaType": kind}
        elif isinstance(item.get("url"), str) and item["url"]:
            yield {"url": item["url"]}


def _objects(value: Any) -> list[Document]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _usage(answer: Document) -> Usage | None:
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return None
    read, written = usage.get("input_tokens"), usage.get("output_tokens")
    return Usage(read, written) if Usage.is_count(read) and Usage.is_count(written) else None


def _billed(error: StepFailed, tool: Tool, usage: Usage | None, inputs: Document) -> ToolResult:
    """What a model wrote is paid for, whatever came of it."""
    cost: Decimal | None = None
    if usage is not None and tool.costing is not None and tool.costing.is_per_token:
        cost = cost_of(tool, ToolResult("succeeded", usage=usage), 0, inputs)
    return failed(error, cost_usd=cost)


# --- What is refused ---


def _error(answer: Answer) -> Document:
    error = (answer.document() or {}).get("error")
    return error if isinstance(error, dict) else {}


def _code(error: Document) -> str:
    return str(error.get("code") or error.get("type") or "")


def _reason(error: Any) -> str:
    """`code: message`, with whatever of the two there is."""
    parts = (_code(error), error.get("message")) if isinstance(error, dict) else ()
    return ": ".join(str(part) for part in parts if part)


def _explain(answer: Answer) -> str:
    return _reason(_error(answer)) or "no reason given"


def _judge(answer: Answer) -> StepFailed | None:
    """A 429 is a matter of waiting, or of paying; a 400 may be one of policy."""
    error = _error(answer)
    codes = {_code(error), str(error.get("type"))}
    if answer.status == 429:
        if codes & _QUOTA_CODES or answer.headers.get("x-should-retry") == "false":
            return ProviderRefused(one_line(f"OpenAI refused (429): {_explain(answer)}"))
        stated = " ".join(filter(None, ("429", _code(error))))
        retry_after = parse_retry_after(answer.headers, datetime.now(UTC))
        wait = "" if retry_after is None else f"; ask again in {retry_after:g} s"
        message = f"OpenAI takes no more requests at the moment ({stated}){wait}"
        return ProviderUnavailable(message, nothing_started=True, retry_after=retry_after)
    if answer.status == 400 and codes & _POLICY_CODES:
        return ProviderRefused(one_line(f"OpenAI refused the request by its content policy: {_explain(answer)}"))
    return None
