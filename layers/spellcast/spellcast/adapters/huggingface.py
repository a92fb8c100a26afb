"""The service `huggingface`: one model a run at Hugging Face's router, whose answer is the result.

There is no job to look up, to cancel or to be told of: an answer that is lost is lost.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable
from typing import Any

import httpx

from spellcast.adapters.capabilities import ImmediateOnly
from spellcast.adapters.exchange import Answer, Provider
from spellcast.adapters.input_media import InputMedia
from spellcast.domain.cost import cost_of
from spellcast.domain.documents import Document, from_text, is_blank, to_text
from spellcast.domain.errors import (
    InvalidStepInput,
    JobFailed,
    OutcomeUnknown,
    ProviderNotConfigured,
    ProviderRefused,
    ProviderUnavailable,
    StepFailed,
)
from spellcast.domain.media import url_of
from spellcast.domain.results import ToolResult, Usage, failed, succeeded
from spellcast.domain.signatures import signed_type
from spellcast.outbound.guard import shared_guarded_client
from spellcast.ports.adapter import ProviderConfig, Request

DEFAULT_URL = "https://router.huggingface.co"
MAX_FILE_BYTES = 10 * 1024 * 1024

# What a path may hold: a definition of an account's own must not lead our key to other paths.
_MODEL = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?")
_RESET_SECONDS = re.compile(r";\s*t=(\d{1,6})")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def build(config: ProviderConfig, client: Callable[[], httpx.Client], allow_loopback: bool) -> HuggingFaceAdapter:
    """The registry's way in. Input files lie at the users' addresses, so they are fetched by a client of their own."""
    if not config.key:
        raise ProviderNotConfigured("huggingface has no key: set SPELLCAST_HUGGINGFACE_KEY, or `key` in its secret")
    return HuggingFaceAdapter(config, client, lambda: shared_guarded_client(allow_loopback))


class HuggingFaceAdapter(ImmediateOnly):
    """The router's own inference (`hf-inference`), and its chat completions, which it passes on to a provider."""

    def __init__(
        self, config: ProviderConfig, client: Callable[[], httpx.Client], files: Callable[[], httpx.Client]
    ) -> None:
        headers = {"Authorization": f"Bearer {config.key}"}
        if config.bill_to:
            headers["X-HF-Bill-To"] = config.bill_to
        self._provider = Provider("Hugging Face", config.url or DEFAULT_URL, headers, client)
        self._files = InputMedia(files, max_bytes=MAX_FILE_BYTES)

    def is_repeatable(self, request: Request) -> bool:
        """Every run costs."""
        return False

    def execute(self, request: Request) -> ToolResult:
        """Runs `metadata.task` with `metadata.model`; what it costs by the second is the time of this one request."""
        deadline = time.monotonic() + request.tool.deadline_seconds
        match request.tool.metadata.get("task"):
            case "text-to-image":
                # The models' own formats differ; the router converts to the one that is asked for.
                answer, duration_ms = self._ask(_model_path(request), _drawing(request), deadline, accept="image/png")
                return _picture(answer, duration_ms)
            case "image-to-text" | "automatic-speech-recognition":
                body, content_type = self._recording(request, deadline)
                path = _model_path(request)
                answer, duration_ms = self._ask(path, body, deadline, content_type=content_type)
                return _words(answer, duration_ms)
            case "chat-completion":
                answer, duration_ms = self._ask("/v1/chat/completions", _chat(request), deadline)
                return _reply(answer, duration_ms, request)
            case task:
                raise InvalidStepInput(f"The tool {request.tool.tool_id} has no task that is known: {str(task)[:80]!r}")

    def _ask(
        self,
        path: str,
        body: Document | bytes,
        deadline: float,
        *,
        accept: str = "application/json",
        content_type: str = "application/json",
    ) -> tuple[Answer, int]:
        headers = {"Accept": accept, "Content-Type": content_type}
        started = time.monotonic()
        seconds = max(1.0, deadline - started)
        answer = self._provider.send(path, body, explain=_explain, judge=_judge, seconds=seconds, headers=headers)
        return answer, round((time.monotonic() - started) * 1000)

    def _recording(self, request: Request, deadline: float) -> tuple[Document | bytes, str]:
        """The picture or sound itself; in a document only where there are parameters beside it."""
        key = next((key for key, field in request.tool.inputs.items() if field.is_media), None)
        url = url_of(request.inputs.get(key)) if key else None
        if key is None or url is None or is_blank(url):
            raise InvalidStepInput(f"{key or 'A file'} is required")
        file = self._files.fetch(key, request.tool.inputs[key].type, url.strip(), deadline)
        parameters = _given(request, {key, "model"})
        if not parameters:
            return file.data, file.media_type
        return {"inputs": base64.b64encode(file.data).decode(), "parameters": parameters}, "application/json"


def _model(request: Request) -> str:
    model = request.inputs.get("model") or request.tool.metadata.get("model")
    if not isinstance(model, str):
        raise InvalidStepInput(f"The tool {request.tool.tool_id} names no model in its metadata")
    return model


def _model_path(request: Request) -> str:
    model = _model(request)
    if not _MODEL.fullmatch(model):
        raise InvalidStepInput(f"{model[:80]!r} is no model: it is called owner/name")
    return f"/hf-inference/models/{model}"


def _drawing(request: Request) -> Document:
    body: Document = {"inputs": _required_text(request, "prompt")}
    parameters = _given(request, {"prompt", "model"})
    return {**body, "parameters": parameters} if parameters else body


def _chat(request: Request) -> Document:
    """A prompt, the instructions before it and the pictures beside it; what else the tool takes is a parameter."""
    tool, inputs = request.tool, request.inputs
    used = {"prompt", "instructions", "model"}
    template = tool.metadata.get("promptTemplate")
    if isinstance(template, str):
        used |= set(_PLACEHOLDER.findall(template))
        text = _PLACEHOLDER.sub(lambda found: _text(inputs.get(found[1])), template)
    else:
        text = _required_text(request, "prompt")
    media = {key for key, field in tool.inputs.items() if field.is_media}
    pictures = [
        {"type": "image_url", "image_url": {"url": url}}
        for key in tool.inputs
        if key in media and (url := inputs.get(key))
    ]
    content = [*pictures, {"type": "text", "text": text}] if pictures else text
    instructions = _text(inputs.get("instructions"))
    messages = [{"role": "system", "content": instructions}] if instructions else []
    return {
        **_given(request, used | media),
        "model": _model(request),
        "messages": [*messages, {"role": "user", "content": content}],
        "stream": False,
    }


def _given(request: Request, used: set[Any]) -> Document:
    return {key: value for key, value in request.inputs.items() if key not in used and value is not None}


def _required_text(request: Request, key: str) -> str:
    text = _text(request.inputs.get(key))
    if is_blank(text):
        raise InvalidStepInput(f"{key} is required and must not be empty")
    return text


def _text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    return "" if value is None else value if isinstance(value, str) else to_text(value)


def _judge(answer: Answer) -> StepFailed | None:
    """The refusals that are the router's own: before them nothing was run."""
    if answer.status == 402:
        return ProviderRefused("Hugging Face refused (402): the credits are used up")
    if answer.status == 429:
        reset = _RESET_SECONDS.search(answer.headers.get("ratelimit", ""))
        when = f"; its limit resets in {reset[1]} s" if reset else ""
        message = f"Hugging Face takes no more requests at the moment (429){when}"
        return ProviderUnavailable(message, nothing_started=True, retry_after=float(reset[1]) if reset else None)
    if answer.status == 503:
        seconds = (answer.document() or {}).get("estimated_time")
        # Without the estimate it may come from a proxy behind which the model is at work.
        if isinstance(seconds, int | float) and not isinstance(seconds, bool):
            message = f"Hugging Face is loading the model (503); it expects to need {seconds:.0f} s"
            return ProviderUnavailable(message, nothing_started=True, retry_after=float(seconds))
    return None


def _picture(answer: Answer, duration_ms: int) -> ToolResult:
    kind = signed_type(answer.body)
    if kind is None or not kind.startswith("image/"):
        raise OutcomeUnknown("Hugging Face ran the model, but answered no picture that can be read")
    image = {"b64_json": base64.b64encode(answer.body).decode(), "mediaType": kind}
    return succeeded("image", {"images": [image]}, duration_ms=duration_ms)


def _words(answer: Answer, duration_ms: int) -> ToolResult:
    """A caption comes as `[{generated_text}]`, what was said as `{text}`."""
    try:
        document = from_text(answer.body)
    except (ValueError, RecursionError):
        document = None
    first = document[0] if isinstance(document, list) and document else document
    first = first if isinstance(first, dict) else {}
    text = first.get("generated_text", first.get("text"))
    if not isinstance(text, str):
        raise OutcomeUnknown("Hugging Face ran the model, but its answer cannot be read")
    return succeeded("text", {"text": text}, duration_ms=duration_ms)


def _reply(answer: Answer, duration_ms: int, request: Request) -> ToolResult:
    document = answer.document() or {}
    choices = document.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    if not isinstance(first, dict) or not isinstance(message, dict):
        raise OutcomeUnknown("Hugging Face ran the model, but its answer cannot be read")
    text, usage = message.get("content"), _usage(document.get("usage"))
    if isinstance(text, str) and not is_blank(text):
        return succeeded("text", {"text": text}, duration_ms=duration_ms, usage=usage)
    reason = "; it was cut off" if first.get("finish_reason") == "length" else ""
    billed = cost_of(request.tool, ToolResult("succeeded", usage=usage), duration_ms, request.inputs)
    error = JobFailed(f"Hugging Face's model wrote nothing{reason}")
    return failed(error, cost_usd=billed, duration_ms=duration_ms)


def _usage(document: object) -> Usage | None:
    given = document if isinstance(document, dict) else {}
    return Usage.of(given.get("prompt_tokens"), given.get("completion_tokens"))


def _explain(answer: Answer) -> str:
    """The router says `error` as a text, as a list or as an object; validation says what is wrong in `detail`."""
    document = answer.document() or {}
    error = document.get("error") or document.get("detail") or document.get("message") or "no reason given"
    return "; ".join(_reason(part) for part in (error if isinstance(error, list) else [error]))


def _reason(part: Any) -> str:
    # Validation quotes the inputs beside its messages; they are left out.
    return str(part.get("message") or part.get("msg") or "no reason given") if isinstance(part, dict) else str(part)
