"""OpenAI's HTTP API as far as the adapter uses it: responses, pictures, and a project's webhooks.

Faults are those of the demo provider and the ones below, by a mark in the prompt: `[fault:quota]`, `[seconds:0.1]`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from local.demo_provider.switches import HANG_SECONDS, Switches

Document = dict[str, Any]

FAULTS = {
    "quota": "the submit is answered with a 429 that waiting does not mend",
    "policy": "the submit is answered with a 400 of the moderation's",
    "decline": "the model refuses to answer",
    "cut": "the response ends before the text does",
    "mute": "the response is completed without a text",
    "early": "the webhook arrives before the submit's answer",
    "stranger": "the webhook tells of a response that has no metadata",
}
# One point of colour, a PNG in base64.
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
READ, WRITTEN = 25, 20
TERMINAL = ("completed", "failed", "cancelled", "incomplete")
RETRY_SECONDS = (0.1, 0.2, 0.4)
_MARK = re.compile(r"\[fault:([a-z]+)\]")


@dataclass
class Stored:
    """A response, and how it will come about."""

    document: Document
    prompt: str
    fault: str
    seconds: float
    hiccups: int = 0
    task: asyncio.Task[None] | None = None


@dataclass
class OpenAI:
    """One project, with its key, its responses and its webhook endpoints."""

    key: str = "sk-test"
    job_seconds: float = 0.05
    switches: Switches = field(init=False)
    bodies: list[Document] = field(default_factory=list)
    deliveries: list[tuple[dict[str, str], bytes, int]] = field(default_factory=list)
    endpoints: dict[str, Document] = field(default_factory=dict)
    responses: dict[str, Stored] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.switches = Switches(self.job_seconds)

    def app(self) -> Starlette:
        """Under /v1, as the real one."""
        routes = [
            Route("/v1/responses", self.respond, methods=["POST"]),
            Route("/v1/responses/{id}", self.read),
            Route("/v1/responses/{id}/cancel", self.cancel, methods=["POST"]),
            Route("/v1/images/generations", self.draw, methods=["POST"]),
            Route("/v1/webhook_endpoints", self.register, methods=["POST"]),
        ]
        return Starlette(routes=routes, lifespan=self._lifespan)

    def register_endpoint(self, url: str, secret: str = "") -> str:
        """As the project's settings do it; the signing secret."""
        number = f"we_{secrets.token_hex(8)}"
        signing = secret or "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
        self.endpoints[number] = {"url": url, "secret": signing}
        return signing

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        yield
        for task in list(self.tasks):
            task.cancel()

    # --- Responses ---

    async def respond(self, request: Request) -> Response:
        body = await self._submitted(request)
        if isinstance(body, Response):
            return body
        if "input" not in body:
            return _error(400, "Missing required parameter: 'input'.", "missing_required_parameter", param="input")
        fault, seconds = self._for(body["input"])
        if refused := _refused(fault):
            return refused
        if body.get("background") and not body.get("store", True):
            return _error(400, "Background responses must be stored.", "invalid_request_error", param="store")
        stored = Stored(_response(body), _spoken(body["input"]), fault, seconds, hiccups=fault == "hiccup")
        if body.get("background"):
            await self._start(stored)
            answer = _queued(stored.document) if fault == "early" else stored.document
        else:
            await asyncio.sleep(seconds)
            answer = _ended(stored)
        return await _answered(fault, answer)

    async def _start(self, stored: Stored) -> None:
        if stored.fault == "lose":
            return
        self.responses[stored.document["id"]] = stored
        if stored.fault == "early":
            await self._run(stored)
        else:
            stored.task = self._task(self._run(stored))

    async def _run(self, stored: Stored) -> None:
        await asyncio.sleep(stored.seconds / 2)
        stored.document["status"] = "in_progress"
        await asyncio.sleep(stored.seconds / 2 if stored.fault != "stall" else 86_400)
        stored.document.update(_ended(stored))
        await self._announce(stored)

    async def read(self, request: Request) -> Response:
        if refused := self._unauthenticated(request):
            return refused
        self.switches.counts["polls"] += 1
        stored = self.responses.get(request.path_params["id"])
        if stored is None:
            return _error(404, f"Response with id '{request.path_params['id']}' not found.", None)
        if stored.hiccups:
            stored.hiccups -= 1
            return _error(500, "The server had an error while processing your request.", "server_error")
        return JSONResponse(stored.document)

    async def cancel(self, request: Request) -> Response:
        if refused := self._unauthenticated(request):
            return refused
        self.switches.counts["cancels"] += 1
        stored = self.responses.get(request.path_params["id"])
        if stored is None:
            return _error(404, f"Response with id '{request.path_params['id']}' not found.", None)
        if stored.document["status"] not in TERMINAL:
            if stored.task is not None:
                stored.task.cancel()
            stored.document["status"] = "cancelled"
            self._task(self._announce(stored))
        return JSONResponse(stored.document)

    # --- Pictures ---

    async def draw(self, request: Request) -> Response:
        body = await self._submitted(request)
        if isinstance(body, Response):
            return body
        for unknown in body.keys() - {"model", "prompt", "n", "size", "quality", "background", "output_format"}:
            return _error(400, f"Unknown parameter: '{unknown}'.", "unknown_parameter", param=unknown)
        if body.get("quality", "auto") not in ("auto", "low", "medium", "high"):
            return _error(400, f"Invalid value: '{body['quality']}'.", "invalid_value", param="quality")
        if not body.get("prompt"):
            return _error(400, "Missing required parameter: 'prompt'.", "missing_required_parameter", param="prompt")
        fault, seconds = self._for(body["prompt"])
        if refused := _refused(fault):
            return refused
        await asyncio.sleep(seconds)
        answer = {
            "created": int(time.time()),
            "background": "opaque",
            "data": [] if fault == "mute" else [{"b64_json": PICTURE}] * int(body.get("n", 1)),
            "output_format": body.get("output_format", "png"),
            "quality": body.get("quality", "auto"),
            "size": body.get("size", "1024x1024"),
            "usage": {
                "input_tokens": READ,
                "input_tokens_details": {"image_tokens": 0, "text_tokens": READ},
                "output_tokens": 1056,
                "total_tokens": READ + 1056,
            },
        }
        return await _answered(fault, answer)

    # --- Webhooks ---

    async def register(self, request: Request) -> Response:
        if refused := self._unauthenticated(request):
            return refused
        body = await request.json()
        secret = self.register_endpoint(body["url"])
        known = {"object": "webhook_endpoint", "id": next(reversed(self.endpoints)), "created_at": int(time.time())}
        told = {key: body[key] for key in ("name", "url", "event_types")}
        return JSONResponse({**known, **told, "signing_secret": secret})

    async def _announce(self, stored: Stored) -> None:
        """The thin event, to every endpoint of the project."""
        if stored.fault == "drop":
            return
        named = stored.document["id"]
        if stored.fault == "stranger":
            named = f"resp_{secrets.token_hex(8)}"
            self.responses[named] = Stored({**stored.document, "id": named, "metadata": {}}, "", "", 0)
        event = {
            "object": "event",
            "id": f"evt_{secrets.token_hex(12)}",
            "type": f"response.{stored.document['status']}",
            "created_at": int(time.time()),
            "data": {"id": named},
        }
        body = json.dumps(event).encode()
        for endpoint in self.endpoints.values():
            secret = "whsec_Zm9yZ2Vk" if stored.fault == "forge" else endpoint["secret"]
            for _ in range(2 if stored.fault == "duplicate" else 1):
                await self._deliver(endpoint["url"], secret, body)

    async def _deliver(self, url: str, secret: str, body: bytes) -> None:
        message_id = f"wh_{secrets.token_hex(12)}"
        async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
            for delay in (*RETRY_SECONDS, None):
                headers = signed(secret, message_id, body)
                try:
                    status = (await client.post(url, content=body, headers=headers)).status_code
                except httpx.HTTPError:
                    status = 0
                self.deliveries.append((headers, body, status))
                if 200 <= status < 300 or delay is None:
                    return
                await asyncio.sleep(delay)

    # --- What all have in common ---

    async def _submitted(self, request: Request) -> Document | Response:
        if refused := self._unauthenticated(request):
            return refused
        self.switches.counts["submits"] += 1
        try:
            body = await request.json()
        except ValueError:
            return _error(400, "We could not parse the JSON body of your request.", None)
        if not isinstance(body, dict) or not body.get("model"):
            return _error(400, "you must provide a model parameter", None)
        self.bodies.append(body)
        if str(body["model"]).startswith("dall-e"):
            return _error(404, f"The model `{body['model']}` has been deprecated.", "model_not_found")
        return body

    def _unauthenticated(self, request: Request) -> Response | None:
        if request.headers.get("authorization") == f"Bearer {self.key}":
            return None
        given = request.headers.get("authorization", "")[-8:]
        return _error(401, f"Incorrect API key provided: sk-…{given}.", "invalid_api_key")

    def _for(self, text: Any) -> tuple[str, float]:
        fault, seconds = self.switches.for_job(text)
        own = [name for name in _MARK.findall(str(text)) if name in FAULTS]
        return own[-1] if own else fault, seconds

    def _task(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task


def signed(secret: str, message_id: str, body: bytes) -> dict[str, str]:
    """Standard Webhooks, written apart from the product's own so that the two check each other."""
    timestamp = str(int(time.time()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return {
        "Content-Type": "application/json",
        "User-Agent": "OpenAI/1.0 (+https://platform.openai.com/docs/webhooks)",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


async def _answered(fault: str, answer: Document) -> Response:
    """The answer to a submit that was taken, if it arrives."""
    if fault == "broken":
        return HTMLResponse("<html><body><h1>502 Bad Gateway</h1></body></html>", 502)
    if fault == "garbage":
        return Response('{"id": "resp_', media_type="application/json")
    if fault == "hang":
        await asyncio.sleep(HANG_SECONDS)
    return JSONResponse(answer)


def _refused(fault: str) -> Response | None:
    match fault:
        case "refuse":
            return _error(400, "Invalid 'temperature': decimal above maximum value.", "decimal_above_max_value")
        case "throttle":
            message = "Rate limit reached for requests per min (RPM): Limit 3, Used 3, Requested 1."
            headers = {"retry-after": "1", "retry-after-ms": "250", "x-should-retry": "true"}
            return _error(429, message, "rate_limit_exceeded", kind="requests", headers=headers)
        case "quota":
            message = "You exceeded your current quota, please check your plan and billing details."
            return _error(429, message, "insufficient_quota", kind="insufficient_quota")
        case "policy":
            message = "Your request was rejected by the safety system."
            return _error(400, message, "moderation_blocked", kind="image_generation_user_error")
    return None


def _error(
    status: int,
    message: str,
    code: str | None,
    *,
    kind: str = "invalid_request_error",
    param: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    error = {"message": message, "type": kind, "param": param, "code": code}
    return JSONResponse({"error": error}, status, headers)


def _response(body: Document) -> Document:
    background = bool(body.get("background"))
    return {
        "id": f"resp_{secrets.token_hex(24)}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "queued" if background else "in_progress",
        "background": background,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": body.get("metadata") or {},
        # What was asked for by its plain name is answered by its dated one.
        "model": f"{body['model']}-2026-09-22",
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
    }


def _queued(document: Document) -> Document:
    return {**document, "status": "queued", "output": [], "usage": None}


def _ended(stored: Stored) -> Document:
    document = stored.document
    usage = {
        "input_tokens": READ,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": WRITTEN,
        "output_tokens_details": {"reasoning_tokens": 8},
        "total_tokens": READ + WRITTEN,
    }
    if stored.fault == "fail":
        error = {"code": "server_error", "message": "The model failed to generate a response."}
        return {**document, "status": "failed", "error": error}
    content: list[Document]
    if stored.fault == "decline":
        content = [{"type": "refusal", "refusal": "I can't help with that."}]
    elif stored.fault == "mute":
        content = []
    else:
        text = f"An answer to: {stored.prompt}"
        content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    cut = stored.fault == "cut"
    status = "incomplete" if cut else "completed"
    message: Document = {"id": f"msg_{secrets.token_hex(8)}", "type": "message", "role": "assistant", "status": status}
    return {
        **document,
        "status": status,
        "completed_at": int(time.time()),
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": [{"id": "rs_1", "type": "reasoning", "summary": []}, {**message, "content": content}],
        "usage": usage,
    }


def _spoken(given: Any) -> str:
    """The text of an input, in either of its forms."""
    if isinstance(given, str):
        return given
    return "\n".join(str(item.get("content", "")) for item in given if isinstance(item, dict))
