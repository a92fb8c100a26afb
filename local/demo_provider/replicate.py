"""Replicate's HTTP API: predictions, their files, and signed callbacks."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from local.demo_provider.comfyui import Paint
from local.demo_provider.switches import HANG_SECONDS, Switches

RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 4.0)
SIDE = 512
LONGEST_WAIT = 60
# Of a picture and a factor. Raises OSError where it is not a picture.
Enlarge = Callable[[bytes, float], bytes]


@dataclass
class Prediction:
    """One run; `document` is what the API shows of it."""

    document: dict[str, Any]
    webhook: str
    events: list[str]
    fault: str
    seconds: float
    task: asyncio.Task[None] | None = None
    started: float = field(default_factory=time.monotonic)


class Replicate:
    """The service, with its predictions and files in memory."""

    def __init__(self, switches: Switches, webhook_secret: str, paint: Paint, enlarge: Enlarge) -> None:
        self._switches = switches
        self._paint = paint
        self._enlarge = enlarge
        self._secret = webhook_secret
        self._predictions: dict[str, Prediction] = {}
        self._files: dict[str, bytes] = {}
        self._deliveries: set[asyncio.Task[None]] = set()

    def routes(self) -> list[BaseRoute]:
        """Under /replicate."""
        return [
            Route("/v1/predictions", self.create, methods=["POST"]),
            Route("/v1/models/{owner}/{name}/predictions", self.create, methods=["POST"]),
            Route("/v1/deployments/{owner}/{name}/predictions", self.create, methods=["POST"]),
            Route("/v1/predictions/{id}", self.read),
            Route("/v1/predictions/{id}/cancel", self.cancel, methods=["POST"]),
            Route("/v1/webhooks/default/secret", self.secret),
            Route("/files/{name}", self.file),
        ]

    @asynccontextmanager
    async def lifespan(self, app: object) -> AsyncIterator[None]:
        """Nothing goes on when the server has stopped."""
        yield
        runs = (prediction.task for prediction in self._predictions.values())
        tasks = [*self._deliveries, *(task for task in runs if task is not None)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def create(self, request: Request) -> Response:
        if (refused := _unauthenticated(request)) is not None:
            return refused
        self._switches.counts["submits"] += 1
        try:
            body = await request.json()
            inputs = body["input"]
            if not isinstance(inputs, dict) or not (request.path_params or body.get("version")):
                raise ValueError
        except (ValueError, KeyError, TypeError):
            return _problem(422, "Invalid request", "- input: input is required, and a version, model or deployment")
        webhook = str(body.get("webhook") or "")
        fault, seconds = self._switches.for_job(inputs)
        if fault == "refuse" or not (inputs.get("prompt") or inputs.get("image")):
            return _problem(422, "Input validation failed", "- input: prompt or image is required")
        if fault == "throttle":
            return _problem(429, "Too many requests", "Request was throttled. Your rate limit resets in ~30s.")
        prediction = self._start(request, body, webhook, fault, seconds)
        if fault == "broken":
            return HTMLResponse("<html><body><h1>502 Bad Gateway</h1></body></html>", 502)
        if fault == "garbage":
            return Response('{"id": "' + prediction.document["id"], media_type="application/json")
        if fault == "hang":
            await asyncio.sleep(HANG_SECONDS)
        if prediction.task is not None and (seconds := _wait_seconds(request)):
            await asyncio.wait({prediction.task}, timeout=seconds)
        return JSONResponse(prediction.document, 201)

    def _start(self, request: Request, body: dict[str, Any], webhook: str, fault: str, seconds: float) -> Prediction:
        base = f"{request.url.scheme}://{request.url.netloc}/replicate"
        prediction_id = secrets.token_hex(13)
        model = "/".join(request.path_params.values()) or "demo/model"
        document = {
            "id": prediction_id,
            "model": model,
            "version": body.get("version") or "hidden",
            "input": body["input"],
            "output": None,
            "logs": "",
            "error": None,
            "status": "starting",
            "metrics": {},
            "created_at": _now(),
            "started_at": None,
            "completed_at": None,
            "urls": {
                "get": f"{base}/v1/predictions/{prediction_id}",
                "cancel": f"{base}/v1/predictions/{prediction_id}/cancel",
            },
        }
        events = body.get("webhook_events_filter") or ["start", "output", "logs", "completed"]
        prediction = Prediction(document, webhook, events, fault, seconds)
        if fault != "lose":
            self._predictions[prediction_id] = prediction
            prediction.task = asyncio.create_task(self._run(prediction, base))
        return prediction

    async def read(self, request: Request) -> Response:
        if (refused := _unauthenticated(request)) is not None:
            return refused
        self._switches.counts["polls"] += 1
        prediction = self._predictions.get(request.path_params["id"])
        if prediction is None:
            return _problem(404, "Not found", "The requested resource could not be found.")
        if prediction.fault == "hiccup":
            prediction.fault = ""
            return _problem(500, "Internal server error", "An unknown error has occurred.")
        return JSONResponse(prediction.document)

    async def cancel(self, request: Request) -> Response:
        if (refused := _unauthenticated(request)) is not None:
            return refused
        self._switches.counts["cancels"] += 1
        prediction = self._predictions.get(request.path_params["id"])
        if prediction is None:
            return _problem(404, "Not found", "The requested resource could not be found.")
        if prediction.document["completed_at"] is None and prediction.task is not None:
            prediction.task.cancel()
            self._finish(prediction, "canceled")
        return JSONResponse(prediction.document)

    async def secret(self, request: Request) -> Response:
        return _unauthenticated(request) or JSONResponse({"key": self._secret})

    async def file(self, request: Request) -> Response:
        data = self._files.get(request.path_params["name"])
        return Response(status_code=404) if data is None else Response(data, media_type="image/png")

    async def _run(self, prediction: Prediction, base: str) -> None:
        document = prediction.document
        self._announce(prediction, "start")
        await asyncio.sleep(prediction.seconds * 0.2)
        prediction.started = time.monotonic()
        document.update(status="processing", started_at=_now())
        for step in range(4):
            document["logs"] += f"{step * 25:3}%|{'#' * (step * 5 // 2):10}| {step}/4 [00:00<00:01]\n"
            self._announce(prediction, "logs")
            await asyncio.sleep(prediction.seconds * 0.2 if prediction.fault != "stall" else 86400)
        if prediction.fault == "fail":
            self._finish(prediction, "failed", error="CUDA out of memory")
            return
        try:
            data = await self._picture(document["input"])
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            self._finish(prediction, "failed", error=f"The input image cannot be read: {type(error).__name__}")
            return
        name = f"{document['id']}.png"
        self._files[name] = data
        self._finish(prediction, "succeeded", output=[f"{base}/files/{name}"])

    async def _picture(self, inputs: dict[str, Any]) -> bytes:
        if not inputs.get("image"):
            wide, _, high = str(inputs.get("aspect_ratio") or "1:1").partition(":")
            height = max(64, min(SIDE * int(high) // int(wide), 2 * SIDE))
            seed = int(inputs.get("seed") or 0)
            return await asyncio.to_thread(self._paint, str(inputs["prompt"]), seed, SIDE, height)
        async with httpx.AsyncClient(timeout=10, trust_env=False, follow_redirects=True) as client:
            answer = await client.get(str(inputs["image"]))
        answer.raise_for_status()
        return await asyncio.to_thread(self._enlarge, answer.content, float(inputs.get("scale_factor") or 2))

    def _finish(self, prediction: Prediction, status: str, **results: Any) -> None:
        seconds = round(time.monotonic() - prediction.started, 6)
        metrics = {"predict_time": seconds} if prediction.document["started_at"] else {}
        prediction.document.update(status=status, completed_at=_now(), metrics=metrics, **results)
        self._announce(prediction, "completed")

    def _announce(self, prediction: Prediction, event: str) -> None:
        if prediction.webhook and event in prediction.events and prediction.fault != "drop":
            body = json.dumps(prediction.document).encode()
            for _ in range(2 if prediction.fault == "duplicate" else 1):
                delivery = asyncio.create_task(self._deliver(prediction, body))
                self._deliveries.add(delivery)
                delivery.add_done_callback(self._deliveries.discard)

    async def _deliver(self, prediction: Prediction, body: bytes) -> None:
        message_id = f"msg_{secrets.token_hex(12)}"
        secret = self._secret if prediction.fault != "forge" else "whsec_Zm9yZ2Vk"
        async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
            for delay in (*RETRY_SECONDS, None):
                self._switches.counts["webhooks"] += 1
                try:
                    answer = await client.post(
                        prediction.webhook, content=body, headers=signed(secret, message_id, body)
                    )
                    if answer.status_code < 500 and answer.status_code != 429:
                        return
                except (httpx.HTTPError, httpx.InvalidURL):
                    pass
                if delay is not None:
                    await asyncio.sleep(delay)


def _wait_seconds(request: Request) -> int:
    """`Prefer: wait` or `wait=n`: how long the answer may take so that it has the output."""
    wanted = re.search(r"\bwait(?:=(\d+))?", request.headers.get("prefer", ""))
    return 0 if wanted is None else min(int(wanted[1] or LONGEST_WAIT), LONGEST_WAIT)


def signed(secret: str, message_id: str, body: bytes) -> dict[str, str]:
    """Standard Webhooks, written apart from the product's own so that the two check each other."""
    timestamp = str(int(time.time()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _unauthenticated(request: Request) -> Response | None:
    if request.headers.get("authorization", "").startswith("Bearer ") and request.headers["authorization"][7:].strip():
        return None
    return _problem(401, "Unauthenticated", "You did not pass an authentication token")


def _problem(status: int, title: str, detail: str) -> Response:
    return JSONResponse({"title": title, "detail": detail, "status": status}, status)


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
