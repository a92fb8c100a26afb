"""ComfyDeploy's API, under /api: runs of one deployment, and webhooks without a signature.

A webhook is sent at most three times, one straight after the other, and again only where the answer is no 2xx.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from local.demo_provider.switches import HANG_SECONDS, Switches

DEPLOYMENT = "15e79589-12c9-453c-a41a-348fdd7de957"
GPUS = ("CPU", "T4", "L4", "A10G", "L40S", "A100", "A100-80GB", "H100", "H200", "B200")
ATTEMPTS = 3
# A picture of one pixel.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c4944415408d763f8cfc000000301010018dd8db00000000049454e44ae426082"
)


@dataclass
class Run:
    """One run; `document` is what the API shows of it."""

    document: dict[str, Any]
    fault: str
    seconds: float
    task: asyncio.Task[None] | None = None
    hiccups: int = 0
    started: float = field(default_factory=time.monotonic)


class ComfyDeploy:
    """The service, with its runs and files in memory. What it was sent is in `bodies`, what it sent in `delivered`."""

    def __init__(self, key: str, job_seconds: float = 0.1) -> None:
        self.switches = Switches(job_seconds)
        self.bodies: list[dict[str, Any]] = []
        self.delivered: list[tuple[str, int]] = []
        self._key = key
        self._runs: dict[str, Run] = {}
        self._files: dict[str, bytes] = {}

    def app(self) -> Starlette:
        """The routes that the adapter and the SDK use, and the files that the outputs lead to."""
        return Starlette(
            routes=[
                Route("/api/run/deployment/queue", self.queue, methods=["POST"]),
                Route("/api/run/{id}", self.read),
                Route("/api/run/{id}/cancel", self.cancel, methods=["POST"]),
                Route("/files/{name}", self.file),
            ]
        )

    async def queue(self, request: Request) -> Response:
        if (refused := self._unauthenticated(request)) is not None:
            return refused
        self.switches.counts["submits"] += 1
        body = await request.json()
        self.bodies.append(body)
        if faults := _faults(body):
            return JSONResponse({"detail": faults}, 422)
        if body["deployment_id"] != DEPLOYMENT:
            return JSONResponse({"detail": "Deployment not found"}, 404)
        fault, seconds = self.switches.for_job(body.get("inputs"))
        if fault == "refuse":
            return JSONResponse({"detail": "Insufficient credit"}, 402)
        if fault == "throttle":
            return JSONResponse({"detail": "Too many runs"}, 429)
        run = self._start(request, body, fault, seconds)
        if fault == "broken":
            return HTMLResponse("<html><body><h1>502 Bad Gateway</h1></body></html>", 502)
        if fault == "garbage":
            return Response('{"run_id": "' + run.document["id"], media_type="application/json")
        if fault == "hang":
            await asyncio.sleep(HANG_SECONDS)
        return JSONResponse({"run_id": run.document["id"]})

    def _start(self, request: Request, body: dict[str, Any], fault: str, seconds: float) -> Run:
        now = _now()
        document: dict[str, Any] = {
            "id": str(uuid.uuid4()),
            "workflow_version_id": str(uuid.uuid4()),
            "workflow_inputs": body.get("inputs") or {},
            "workflow_id": str(uuid.uuid4()),
            "workflow_api": None,
            "machine_id": str(uuid.uuid4()),
            "origin": "api",
            "status": "not-started",
            "created_at": now,
            "updated_at": now,
            "queued_at": None,
            "started_at": None,
            "ended_at": None,
            "gpu_event_id": None,
            "gpu": body.get("gpu") or "A10G",
            "machine_version": None,
            "machine_type": "comfy-deploy-serverless",
            "modal_function_call_id": None,
            "user_id": "user_1",
            "org_id": None,
            "live_status": None,
            "progress": 0.0,
            "is_realtime": False,
            "webhook": body.get("webhook"),
            "webhook_status": None,
            "webhook_intermediate_status": bool(body.get("webhook_intermediate_status")),
            "outputs": [],
            "number": len(self._runs) + 1,
            "duration": None,
            "cold_start_duration": None,
            "cold_start_duration_total": None,
            "run_duration": None,
        }
        run = Run(document, fault, seconds, hiccups=1 if fault == "hiccup" else 0)
        if fault != "lose":
            self._runs[document["id"]] = run
            run.task = asyncio.create_task(self._run(run, f"{request.url.scheme}://{request.url.netloc}"))
        return run

    async def read(self, request: Request) -> Response:
        if (refused := self._unauthenticated(request)) is not None:
            return refused
        self.switches.counts["polls"] += 1
        run = self._runs.get(request.path_params["id"])
        if run is None:
            return JSONResponse({"detail": "Run not found"}, 404)
        if run.hiccups:
            run.hiccups -= 1
            return HTMLResponse("<html>Internal Server Error</html>", 500)
        return JSONResponse(run.document)

    async def cancel(self, request: Request) -> Response:
        if (refused := self._unauthenticated(request)) is not None:
            return refused
        self.switches.counts["cancels"] += 1
        run = self._runs.get(request.path_params["id"])
        if run is None:
            return JSONResponse({"detail": "Run not found"}, 404)
        if run.document["ended_at"] is not None or run.task is None:
            return JSONResponse({"status": run.document["status"]})
        run.task.cancel()
        run.task = asyncio.create_task(self._end(run, "cancelled"))
        return JSONResponse({"status": "cancelled"})

    async def file(self, request: Request) -> Response:
        data = self._files.get(request.path_params["name"])
        return Response(status_code=404) if data is None else Response(data, media_type="image/png")

    async def _run(self, run: Run, base: str) -> None:
        document, step = run.document, run.seconds / 4
        document["queued_at"] = _now()
        await self._tell(run, "queued")
        await asyncio.sleep(step)
        document["started_at"], run.started = _now(), time.monotonic()
        await self._tell(run, "started")
        document.update(live_status="Sampling…", progress=0.47)
        await self._tell(run, "running")
        await asyncio.sleep(step * 2 if run.fault != "stall" else 86400)
        if run.fault == "fail":
            document["live_status"] = "Executing KSampler"
            await self._end(run, "failed")
            return
        name = f"{document['id']}.png"
        self._files[name] = PNG
        document.update(live_status=None, progress=1.0)
        await self._tell(run, "uploading")
        await asyncio.sleep(step)
        now = _now()
        media = {"url": f"{base}/files/{name}", "type": "output", "filename": "ComfyUI_00001_.png", "subfolder": ""}
        output = {
            "id": str(uuid.uuid4()),
            "run_id": document["id"],
            "node_id": "9",
            "data": {"images": [{**media, "is_public": True}]},
            "node_meta": {"node_id": "9", "node_class": "SaveImage"},
            "created_at": now,
            "updated_at": now,
            "type": None,
        }
        document["outputs"] = [output]
        await self._end(run, "success")

    async def _end(self, run: Run, status: str) -> None:
        seconds = round(time.monotonic() - run.started, 6)
        run.document.update(ended_at=_now(), run_duration=seconds, duration=seconds, cold_start_duration=1.5)
        await self._tell(run, status)

    async def _tell(self, run: Run, status: str) -> None:
        """Over once the webhook was taken or given up, so that no state overtakes the one before it."""
        document = run.document
        document.update(status=status, updated_at=_now())
        if not document["webhook"] or run.fault == "drop":
            return
        if document["ended_at"] is None and not document["webhook_intermediate_status"]:
            return
        told = {name: document[name] for name in ("status", "live_status", "progress", "outputs")}
        told["run_id"] = document["id"] if run.fault != "forge" else str(uuid.uuid4())
        deliver = partial(self._deliver, document["webhook"], status, json.dumps(told).encode())
        await asyncio.gather(*(deliver() for _ in range(2 if run.fault == "duplicate" else 1)))

    async def _deliver(self, url: str, status: str, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
            for _ in range(ATTEMPTS):
                self.switches.counts["webhooks"] += 1
                try:
                    answer = await client.post(url, content=body, headers=headers)
                except httpx.HTTPError:
                    continue
                self.delivered.append((status, answer.status_code))
                if answer.is_success:
                    return

    def _unauthenticated(self, request: Request) -> Response | None:
        if request.headers.get("authorization") == f"Bearer {self._key}":
            return None
        return JSONResponse({"detail": "Invalid or expired token"}, 401)


def _faults(body: Any) -> list[dict[str, Any]]:
    """FastAPI's own words for what the documented types do not allow."""
    faults = []
    try:
        uuid.UUID(body["deployment_id"])
    except (KeyError, TypeError, ValueError, AttributeError):
        given = body.get("deployment_id")
        faults.append(_fault("deployment_id", "uuid_parsing", "Input should be a valid UUID", given))
    for name, value in (body.get("inputs") or {}).items():
        if not isinstance(value, str | int | float | bool | list):
            faults.append(_fault(f"inputs.{name}", "string_type", "Input should be a valid string", value))
    if body.get("gpu") not in (None, *GPUS):
        faults.append(_fault("gpu", "enum", f"Input should be one of {', '.join(GPUS)}", body["gpu"]))
    return faults


def _fault(path: str, kind: str, message: str, given: Any) -> dict[str, Any]:
    return {"type": kind, "loc": ["body", *path.split(".")], "msg": message, "input": given}


def _now() -> str:
    return datetime.now(UTC).isoformat()
