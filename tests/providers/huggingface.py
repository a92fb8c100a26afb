"""Hugging Face's router, and what its client asks of the Hub: only what both are known to answer.

A fault is asked for by a mark in the prompt, `[fault:broken]`, or for all that follows by `fault`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from local.demo_provider.switches import HANG_SECONDS

DRAWS, DESCRIBES, HEARS, CHATS = "text-to-image", "image-to-text", "automatic-speech-recognition", "text-generation"
MODELS = {
    "black-forest-labs/FLUX.1-schnell": DRAWS,
    "Salesforce/blip-image-captioning-base": DESCRIBES,
    "openai/whisper-large-v3": HEARS,
    "openai/gpt-oss-120b": CHATS,
    "Qwen/Qwen3-VL-8B-Instruct": CHATS,
}
FAULTS = {
    "refuse": "400, nothing runs",
    "credits": "402, nothing runs",
    "throttle": "429 with its RateLimit headers, nothing runs",
    "loading": "503 while the model is loaded, nothing runs",
    "overloaded": "503 of a proxy, the model runs",
    "broken": "502 with a page, the model runs",
    "cut": "the connection ends in the middle of the answer, the model runs",
    "truncated": "half a document, the model runs",
    "garbage": "200 with bytes of no kind, the model runs",
    "hang": "the answer comes after two minutes, the model runs",
    "mute": "the model answers an empty text",
    "huge": "the answer is larger than 10 MiB",
}
_MARK = re.compile(r"\[fault:([a-z]+)\]")


class HuggingFace:
    """The router in memory. `runs` counts by model what is billed, `requests` are all that came in."""

    def __init__(self, keys: tuple[str, ...] = ("hf_key",)) -> None:
        self.fault = ""
        self.runs: Counter[str] = Counter()
        self.requests: list[dict[str, Any]] = []
        self._keys = keys

    def app(self) -> Starlette:
        """The routes of the router, and the Hub's on the same address."""
        return Starlette(
            routes=[
                Route("/hf-inference/models/{owner}/{name}", self.infer, methods=["POST"]),
                Route("/hf-inference/models/{owner}/{name}/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/api/models/{owner}/{name}", self.model),
            ]
        )

    async def infer(self, request: Request) -> Response:
        body = await request.body()
        model = "{owner}/{name}".format(**request.path_params)
        document = _document(body) if _content_type(request) == "application/json" else None
        self._note(request, body if document is None else document)
        if (refused := self._unauthenticated(request)) is not None:
            return refused
        match MODELS.get(model):
            case "text-to-image":
                if document is None or not isinstance(document.get("inputs"), str):
                    return _error(400, "Bad request: inputs must be a text")
                # It draws a PNG where it is asked to, and a JPEG otherwise.
                accept = request.headers.get("accept", "*/*")
                done = self._drawn(document, "image/png" if accept == "image/png" else "image/jpeg")
                return await self._run(model, document["inputs"], done)
            case "image-to-text" | "automatic-speech-recognition" as task:
                recording = body if document is None else _decoded(document.get("inputs"))
                if not recording:
                    return _error(400, "Bad request: the inputs are no file")
                size = f"{len(recording)} bytes"
                answer = (
                    [{"generated_text": f"a file of {size}"}] if task == DESCRIBES else {"text": f"{size} of speech"}
                )
                return await self._run(model, "", JSONResponse(answer))
            case _:
                return _error(404, f"Model {model} is not supported by provider hf-inference")

    async def chat(self, request: Request) -> Response:
        document = _document(await request.body()) or {}
        self._note(request, document)
        if (refused := self._unauthenticated(request)) is not None:
            return refused
        model, messages = str(document.get("model")), document.get("messages")
        if MODELS.get(model.partition(":")[0]) != CHATS:
            return JSONResponse(
                {
                    "error": {
                        "message": f"The requested model '{model}' does not exist",
                        "type": "invalid_request_error",
                        "param": "model",
                        "code": "model_not_found",
                    }
                },
                400,
            )
        if not isinstance(messages, list) or not messages:
            return JSONResponse({"error": {"message": "messages must be a list", "code": "invalid"}}, 400)
        return await self._run(model, json.dumps(messages), self._replied(model, messages))

    async def model(self, request: Request) -> Response:
        model = "{owner}/{name}".format(**request.path_params)
        task = MODELS.get(model)
        if task is None:
            return JSONResponse({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        return JSONResponse({"id": model, "modelId": model, "pipeline_tag": task, "tags": [task], "private": False})

    def _note(self, request: Request, body: Any) -> None:
        self.requests.append({"path": request.url.path, "headers": dict(request.headers), "body": body})

    def _unauthenticated(self, request: Request) -> Response | None:
        known = [f"Bearer {key}" for key in self._keys]
        return None if request.headers.get("authorization") in known else _error(401, "Invalid username or password.")

    async def _run(self, model: str, prompt: str, done: Response) -> Response:
        mark = _MARK.search(prompt)
        fault = mark[1] if mark else self.fault
        assert not fault or fault in FAULTS, f"unknown fault {fault}"
        before: dict[str, Callable[[], Response]] = {
            "refuse": lambda: _error(400, "Bad request: width must be a multiple of 16"),
            "credits": lambda: _error(402, "You have exceeded your monthly included credits for Inference Providers."),
            "throttle": lambda: _throttled(),
            "loading": lambda: JSONResponse(
                {"error": f"Model {model} is currently loading", "estimated_time": 20.5}, 503
            ),
        }
        if fault in before:
            return before[fault]()
        self.runs[model] += 1
        after: dict[str, Callable[[], Response]] = {
            "overloaded": lambda: _error(503, "Service Unavailable"),
            "broken": lambda: HTMLResponse("<html><body><h1>502 Bad Gateway</h1></body></html>", 502),
            "cut": lambda: _Cut(bytes(done.body)),
            "truncated": lambda: Response(bytes(done.body)[: len(done.body) // 2], media_type=done.media_type),
            "garbage": lambda: Response(b"\x00\xff\x00", media_type=done.media_type),
            "mute": lambda: self._replied(model, json.loads(prompt), text=""),
            "huge": lambda: Response(b" " * (10 * 1024 * 1024 + 1), media_type=done.media_type),
        }
        if fault == "hang":
            await asyncio.sleep(HANG_SECONDS)
        return after[fault]() if fault in after else done

    def _drawn(self, document: dict[str, Any], kind: str) -> Response:
        parameters = document.get("parameters") or {}
        if kind == "image/jpeg":
            # As many of its bytes as tell what it is.
            return Response(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", media_type=kind)
        width, height = (int(parameters.get(side) or 64) for side in ("width", "height"))
        shade = zlib.crc32(f"{document['inputs']} {parameters.get('seed')}".encode())
        return Response(picture(width, height, shade), media_type=kind)

    def _replied(self, model: str, messages: list[Any], text: str | None = None) -> Response:
        content = messages[-1].get("content")
        parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
        texts = [str(part["text"]) for part in parts if part.get("type") == "text"]
        pictures = sum(part.get("type") == "image_url" for part in parts)
        reply = f"{' '.join(texts)}? I saw {pictures} pictures." if text is None else text
        words = sum(len(str(message.get("content")).split()) for message in messages)
        usage = {"prompt_tokens": words, "completion_tokens": len(reply.split())}
        message = {"role": "assistant", "content": reply}
        return JSONResponse(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1_790_000_000,
                "model": model,
                "system_fingerprint": "",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop" if reply else "length"}],
                "usage": {**usage, "total_tokens": sum(usage.values())},
            }
        )


class _Cut(Response):
    """An answer whose length is announced, and of which half arrives."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body[: len(self.body) // 2]})


def picture(width: int, height: int, shade: int) -> bytes:
    """A PNG of one colour."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    pixel = bytes((shade & 255, shade >> 8 & 255, shade >> 16 & 255))
    rows = (b"\x00" + pixel * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _throttled() -> Response:
    headers = {"RateLimit": '"api";r=0;t=55', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'}
    return JSONResponse({"error": "We had to rate limit you."}, 429, headers)


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status)


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0]


def _document(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _decoded(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        return b""
