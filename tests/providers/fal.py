"""fal's queue: requests, their statuses and results, files, and callbacks signed with Ed25519."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from local.demo_provider.switches import FAULTS as COMMON_FAULTS
from local.demo_provider.switches import HANG_SECONDS, Switches

FAULTS = COMMON_FAULTS | {
    "invalid": "the inputs are refused when the job runs: its result is a 422",
    "crash": "the runner goes away: the result is a typed 503",
    "late": "no runner is found in the time that was given: the result is a 504 of the user's",
    "early": "the callback comes before the answer to the submit",
    "stale": "its callback was signed 301 seconds ago",
    "bulky": "its callback comes without the result",
    "blank": "it succeeds and has no output",
    "noise": "the submit is answered with a 200 of bytes, but the job runs",
}
RETRY_SECONDS = (0.1, 0.2, 0.4, 0.8)
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
# As far as anybody looks who asks what it is.
FILM = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42"
NAMESPACES = ("workflows", "comfy")
# The platform's own errors: the status of the result, and its words.
PLATFORM_ERRORS = {
    "crash": (503, "runner_disconnected", "Runner disconnected"),
    "late": (504, "request_timeout", "Request timed out"),
    "cancelled": (499, "client_cancelled", "Request cancelled by client"),
}


@dataclass
class Job:
    """One request to the queue, `result` as it is answered for it."""

    request_id: str
    app: str
    inputs: dict[str, Any]
    webhook: str
    fault: str
    seconds: float
    status: str = "IN_QUEUE"
    result: tuple[int, Any] = (400, None)
    headers: dict[str, str] = field(default_factory=dict)
    inference_time: float | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    called: asyncio.Event = field(default_factory=asyncio.Event)


class Fal:
    """The service in memory. `submits` has what each accepted or refused submit was asked with, headers included."""

    def __init__(self, job_seconds: float = 0.05) -> None:
        self.switches = Switches(job_seconds)
        self.submits: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.jobs: dict[str, Job] = {}
        self.key = Ed25519PrivateKey.generate()
        self.callback_answers: list[int] = []
        self._forged = Ed25519PrivateKey.generate()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def counts(self) -> Counter[str]:
        """How often it was asked for what."""
        return self.switches.counts

    def app(self) -> Starlette:
        """To be served on a port."""
        return Starlette(
            routes=[
                Route("/.well-known/jwks.json", self.keys),
                Route("/files/{name}", self.file),
                Route("/{app:path}/requests/{id}/status", self.status),
                Route("/{app:path}/requests/{id}/cancel", self.cancel, methods=["PUT"]),
                Route("/{app:path}/requests/{id}", self.answer),
                Route("/{model:path}", self.submit, methods=["POST"]),
            ],
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        yield
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def keys(self, request: Request) -> Response:
        """The keys that sign callbacks now; an older one stands before it, and one of another sort."""
        self.counts["keys"] += 1
        older = Ed25519PrivateKey.generate()
        rsa = {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "rsa"}
        return JSONResponse({"keys": [rsa, jwk(older), jwk(self.key)]})

    async def file(self, request: Request) -> Response:
        if request.url.path.endswith(".mp4"):
            return Response(FILM, media_type="video/mp4")
        return Response(PIXEL, media_type="image/png")

    async def submit(self, request: Request) -> Response:
        if (refused := _unauthenticated(request)) is not None:
            return refused
        self.counts["submits"] += 1
        parts = request.path_params["model"].split("/")
        depth = 3 if parts[0] in NAMESPACES else 2
        try:
            inputs = await request.json()
        except ValueError:
            return _detail(400, "Invalid JSON")
        if len(parts) < depth or not isinstance(inputs, dict):
            return _detail(404, "Application not found")
        self.submits.append((request.url.path, dict(request.headers), inputs))
        fault, seconds = self._fault_of(inputs)
        if fault == "refuse":
            return _detail(400, "Invalid webhook URL")
        if fault == "throttle":
            return _detail(429, "Too many requests")
        webhook = request.query_params.get("fal_webhook", "")
        job = Job(str(uuid.uuid4()), "/".join(parts[:depth]), inputs, webhook, fault, seconds)
        base = f"{request.url.scheme}://{request.url.netloc}"
        if fault != "lose":
            self.jobs[job.request_id] = job
            self._begin(self._run(job, base))
        if fault == "early":
            await job.called.wait()
        if fault == "broken":
            return HTMLResponse("<html><body><h1>502 Bad Gateway</h1></body></html>", 502)
        if fault == "garbage":
            return Response('{"request_id": "' + job.request_id, media_type="application/json")
        if fault == "noise":
            return Response(b"\x00\xff", media_type="application/json")
        if fault == "hang":
            await asyncio.sleep(HANG_SECONDS)
        return JSONResponse({"status": "IN_QUEUE", "queue_position": 0} | _addresses(job, base))

    async def status(self, request: Request) -> Response:
        self.counts["polls"] += 1
        job = self._job_of(request)
        if isinstance(job, Response):
            return job
        if job.fault == "hiccup":
            job.fault = ""
            return HTMLResponse("<html>502</html>", 502)
        base = f"{request.url.scheme}://{request.url.netloc}"
        document: dict[str, Any] = {"status": job.status} | _addresses(job, base)
        if job.status == "IN_QUEUE":
            return JSONResponse(document | {"queue_position": 0}, 202)
        logs = [{"message": "step", "level": "INFO", "timestamp": "2026-11-23T12:00:00Z"}]
        document["logs"] = logs if request.query_params.get("logs") in ("1", "true") else None
        if job.status == "IN_PROGRESS":
            return JSONResponse(document, 202)
        document["metrics"] = {} if job.inference_time is None else {"inference_time": job.inference_time}
        if job.result[0] >= 400:
            document["error"] = f"Invalid status code: {job.result[0]}"
            if kind := job.headers.get("x-fal-error-type"):
                document["error_type"] = kind
        return JSONResponse(document)

    async def answer(self, request: Request) -> Response:
        """The result, or the error that the job ended with; 400 until then."""
        self.counts["results"] += 1
        job = self._job_of(request)
        if isinstance(job, Response):
            return job
        if job.status != "COMPLETED":
            return _detail(400, "Request is still in progress")
        code, document = job.result
        return JSONResponse(document, code, headers=job.headers)

    async def cancel(self, request: Request) -> Response:
        self.counts["cancels"] += 1
        job = self._job_of(request)
        if isinstance(job, Response):
            return JSONResponse({"status": "NOT_FOUND"}, job.status_code)
        if job.status == "COMPLETED":
            return JSONResponse({"status": "ALREADY_COMPLETED"}, 400)
        job.fault = "cancelled"
        job.ended.set()
        return JSONResponse({"status": "CANCELLATION_REQUESTED"}, 202)

    async def deliver(self, job: Job, signed_at: float | None = None) -> None:
        """Calls back, and again a few times where the answer is no 2xx."""
        code, document = job.result
        told: dict[str, Any] = {"request_id": job.request_id, "gateway_request_id": job.request_id}
        if code < 400:
            bulky = {"payload": None, "payload_error": "The payload is too large"}
            told |= {"status": "OK"} | (bulky if job.fault == "bulky" else {"payload": document, "error": None})
        else:
            told |= {"status": "ERROR", "error": f"Invalid status code: {code}", "payload": document}
        body = json.dumps(told).encode()
        headers = self.signed(job.request_id, body, signed_at, forged=job.fault == "forge")
        async with httpx.AsyncClient(timeout=15, trust_env=False) as client:
            for delay in (*RETRY_SECONDS, None):
                self.counts["webhooks"] += 1
                try:
                    answer = await client.post(job.webhook, content=body, headers=headers)
                    self.callback_answers.append(answer.status_code)
                    if answer.is_success:
                        break
                except (httpx.HTTPError, httpx.InvalidURL):
                    pass
                if delay is not None:
                    await asyncio.sleep(delay)
        job.called.set()

    def signed(
        self, request_id: str, body: bytes, at: float | None = None, *, forged: bool = False, user: str = "user-1"
    ) -> dict[str, str]:
        """The headers of a callback, signed with the key that `keys` shows, or with one that it does not."""
        timestamp = str(int(time.time() if at is None else at))
        message = "\n".join([request_id, user, timestamp, hashlib.sha256(body).hexdigest()]).encode()
        signature = (self._forged if forged else self.key).sign(message)
        return {
            "content-type": "application/json",
            "x-fal-webhook-request-id": request_id,
            "x-fal-webhook-user-id": user,
            "x-fal-webhook-timestamp": timestamp,
            "x-fal-webhook-signature": signature.hex(),
        }

    async def _run(self, job: Job, base: str) -> None:
        await asyncio.sleep(job.seconds * 0.2)
        job.status = "IN_PROGRESS"
        began = time.monotonic()
        try:
            await asyncio.wait_for(job.ended.wait(), 86400 if job.fault == "stall" else job.seconds * 0.8)
        except TimeoutError:
            pass
        job.inference_time = round(time.monotonic() - began, 3)
        job.result, job.headers = _result_of(job, base)
        job.status = "COMPLETED"
        if job.webhook and job.fault != "drop":
            signed_at = time.time() - 301 if job.fault == "stale" else None
            for _ in range(2 if job.fault == "duplicate" else 1):
                await self.deliver(job, signed_at)
        else:
            job.called.set()

    def _begin(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _fault_of(self, inputs: dict[str, Any]) -> tuple[str, float]:
        fault, seconds = self.switches.for_job(inputs)
        marked = re.search(r"\[fault:([a-z]+)\]", str(inputs))
        if marked and marked[1] in FAULTS:
            fault = marked[1]
        return fault, seconds

    def _job_of(self, request: Request) -> Job | Response:
        if (refused := _unauthenticated(request)) is not None:
            return refused
        job = self.jobs.get(request.path_params["id"])
        # The queue knows a job under its app alone: the model's own path is not part of the address.
        if job is None or job.app != request.path_params["app"]:
            return _detail(404, "Request not found")
        return job


def jwk(key: Ed25519PrivateKey) -> dict[str, str]:
    """A key's public half as a JWKS shows it."""
    x = base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).rstrip(b"=").decode()
    return {"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": x[:8], "x": x}


def _result_of(job: Job, base: str) -> tuple[tuple[int, Any], dict[str, str]]:
    if job.fault in PLATFORM_ERRORS:
        code, kind, words = PLATFORM_ERRORS[job.fault]
        headers = {"x-fal-error-type": kind}
        if job.fault == "late":
            headers["x-fal-request-timeout-type"] = "user"
        return (code, {"detail": words, "error_type": kind}), headers
    needed = job.inputs.get("prompt") or job.inputs.get("image_url")
    if job.fault == "invalid" or not needed:
        fault = {
            "loc": ["body", "prompt"],
            "msg": "Field required",
            "type": "missing",
            "url": "https://docs.fal.ai/errors#missing",
            "input": job.inputs,
        }
        return (422, {"detail": [fault]}), {"x-fal-retryable": "false"}
    if job.fault == "fail":
        fault = {"loc": ["body"], "msg": "CUDA out of memory", "type": "internal_server_error", "input": job.inputs}
        return (500, {"detail": [fault]}), {}
    if job.fault == "blank":
        return (200, {"images": [], "seed": 7}), {}
    name = f"{base}/files/{job.request_id}"
    if "video" in job.app:
        return (200, {"video": _file(f"{name}.mp4", "video/mp4"), "seed": 7}), {}
    if "prompt" not in job.inputs:
        return (200, {"image": _file(f"{name}.png", "image/png") | {"width": 2, "height": 2}}), {}
    pictures = [_file(f"{name}.png", "image/png") | {"width": 1, "height": 1}]
    timings = {"inference": job.inference_time}
    return (200, {"images": pictures, "timings": timings, "seed": 7, "prompt": job.inputs["prompt"]}), {}


def _file(url: str, kind: str) -> dict[str, Any]:
    return {"url": url, "content_type": kind, "file_name": urlsplit(url).path.rpartition("/")[2], "file_size": 70}


def _addresses(job: Job, base: str) -> dict[str, str]:
    place = f"{base}/{job.app}/requests/{job.request_id}"
    return {
        "request_id": job.request_id,
        "response_url": place,
        "status_url": f"{place}/status",
        "cancel_url": f"{place}/cancel",
    }


def _unauthenticated(request: Request) -> Response | None:
    if re.fullmatch(r"Key \S+", request.headers.get("authorization", "")):
        return None
    return _detail(401, "Authentication is required to access this application")


def _detail(code: int, words: str) -> Response:
    return JSONResponse({"detail": words}, code)
