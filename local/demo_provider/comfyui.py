"""ComfyUI's own API, as far as a client that polls can see it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from local.demo_provider.switches import HANG_SECONDS, Switches

CHECKPOINTS = ("v1-5-pruned-emaonly-fp16.safetensors", "sd_xl_base_1.0.safetensors")
# What each node needs; the others of its inputs are taken as they come.
NODES: dict[str, tuple[str, ...]] = {
    "CheckpointLoaderSimple": ("ckpt_name",),
    "CLIPTextEncode": ("text", "clip"),
    "EmptyLatentImage": ("width", "height", "batch_size"),
    "KSampler": (
        "model",
        "seed",
        "steps",
        "cfg",
        "sampler_name",
        "scheduler",
        "positive",
        "negative",
        "latent_image",
    ),
    "VAEDecode": ("samples", "vae"),
    "LoadImage": ("image",),
    "SaveImage": ("images", "filename_prefix"),
    "PreviewImage": ("images",),
}
OUTPUT_NODES = ("SaveImage", "PreviewImage")
MAX_SIDE = 2048
# Of a text, a seed, a width and a height.
Paint = Callable[[str, int, int, int], bytes]


@dataclass
class Job:
    """One prompt in the queue, or in the history once `entry` is set."""

    id: str
    number: int
    prompt: dict[str, Any]
    task: asyncio.Task[None] | None = None
    is_running: bool = False
    entry: dict[str, Any] | None = None
    hiccups: int = 0
    created: int = field(default_factory=lambda: int(time.time() * 1000))

    def listed(self) -> list[Any]:
        """As /queue and the history's `prompt` show it."""
        return [self.number, self.id, self.prompt, {}, sorted(_outputs(self.prompt))]


class ComfyUI:
    """One server: a queue, a history and a folder of files, all in memory."""

    def __init__(self, switches: Switches, paint: Paint) -> None:
        self._switches = switches
        self._paint = paint
        self._jobs: dict[str, Job] = {}
        self._files: dict[str, bytes] = {}
        self._slots = asyncio.Semaphore(4)
        self._number = 0

    def routes(self) -> list[BaseRoute]:
        """Every route stands under / and under /api."""
        table = [
            ("/prompt", self.submit, "POST"),
            ("/prompt", self.remaining, "GET"),
            ("/queue", self.queue, "GET"),
            ("/queue", self.delete, "POST"),
            ("/interrupt", self.interrupt, "POST"),
            ("/history", self.history, "GET"),
            ("/history/{id}", self.history, "GET"),
            ("/view", self.view, "GET"),
            ("/upload/image", self.upload, "POST"),
        ]
        routes = [
            Route(prefix + path, handler, methods=[method])
            for prefix in ("", "/api")
            for path, handler, method in table
        ]
        return [
            *routes,
            Route("/api/jobs/{id}", self.job, methods=["GET"]),
            Route("/api/jobs/{id}/cancel", self.cancel, methods=["POST"]),
        ]

    async def submit(self, request: Request) -> Response:
        origin = request.headers.get("origin")
        if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
            return Response(status_code=403)
        self._switches.counts["submits"] += 1
        try:
            body = await request.json()
            prompt, prompt_id = body.get("prompt"), body.get("prompt_id")
            fault, seconds = self._switches.for_job(prompt)
            refusal = _refusal(prompt, prompt_id) or self._missing_files(prompt)
        except (ValueError, AttributeError, TypeError):
            return PlainTextResponse("500 Internal Server Error\n\nServer got itself in trouble", 500)
        if refusal is not None or fault == "refuse":
            return JSONResponse(
                refusal or _error("prompt_outputs_failed_validation", "Prompt outputs failed validation"), 400
            )
        if fault == "throttle":
            return JSONResponse({"error": "too many requests"}, 429)
        self._number += 1
        job = Job(prompt_id or str(uuid.uuid4()), self._number, prompt)
        job.hiccups = 1 if fault == "hiccup" else 0
        if fault != "lose":
            self._jobs[job.id] = job
            job.task = asyncio.create_task(self._run(job, fault, seconds))
        if fault == "broken":
            return HTMLResponse("<html><body><h1>502 Bad Gateway</h1></body></html>", 502)
        if fault == "garbage":
            return Response('{"prompt_id": "' + job.id[:9], media_type="application/json")
        if fault == "hang":
            await asyncio.sleep(HANG_SECONDS)
        return JSONResponse({"prompt_id": job.id, "number": job.number, "node_errors": {}})

    async def remaining(self, request: Request) -> Response:
        return JSONResponse({"exec_info": {"queue_remaining": len(self._open())}})

    async def queue(self, request: Request) -> Response:
        self._switches.counts["polls"] += 1
        jobs = self._open()
        running, pending = ([job.listed() for job in jobs if job.is_running is wanted] for wanted in (True, False))
        return JSONResponse({"queue_running": running, "queue_pending": pending})

    async def delete(self, request: Request) -> Response:
        body = await request.json()
        for job in self._open():
            if not job.is_running and (body.get("clear") or job.id in body.get("delete", ())):
                self._stop(job)
        return Response()

    async def interrupt(self, request: Request) -> Response:
        wanted = (await request.json() if await request.body() else {}).get("prompt_id")
        for job in self._open():
            if job.is_running and wanted in (None, job.id):
                self._stop(job)
        return Response()

    async def history(self, request: Request) -> Response:
        self._switches.counts["polls"] += 1
        wanted = request.path_params.get("id")
        asked = self._jobs.get(wanted or "")
        if asked is not None and asked.hiccups:
            asked.hiccups -= 1
            return PlainTextResponse("500 Internal Server Error", 500)
        jobs = [job for job in self._jobs.values() if job.entry is not None and wanted in (None, job.id)]
        return JSONResponse({job.id: job.entry for job in jobs})

    async def job(self, request: Request) -> Response:
        job = self._jobs.get(request.path_params["id"])
        if job is None:
            return JSONResponse({"error": "Job not found"}, 404)
        status = "in_progress" if job.is_running else "pending"
        outputs = {}
        if job.entry is not None:
            outputs = job.entry["outputs"]
            names = [name for name, _ in job.entry["status"]["messages"]]
            ends = {
                "execution_success": "completed",
                "execution_error": "failed",
                "execution_interrupted": "cancelled",
            }
            status = ends[names[-1]]
        return JSONResponse(
            {
                "id": job.id,
                "status": status,
                "create_time": job.created,
                "outputs_count": len(outputs),
                "outputs": outputs,
            }
        )

    async def cancel(self, request: Request) -> Response:
        self._switches.counts["cancels"] += 1
        job = self._jobs.get(request.path_params["id"])
        if job is None:
            return JSONResponse({"error": "Job not found"}, 404)
        is_open = job.entry is None
        if is_open:
            self._stop(job)
        return JSONResponse({"cancelled": is_open})

    async def view(self, request: Request) -> Response:
        name = request.query_params.get("filename", "")
        if ".." in name:
            return Response(status_code=400)
        folder = request.query_params.get("type", "output")
        data = self._files.get(f"{folder}/{request.query_params.get('subfolder', '')}/{name}")
        return Response(status_code=404) if data is None else Response(data, media_type="image/png")

    async def upload(self, request: Request) -> Response:
        # The form is read by hand, since a parser for it would be one more dependency.
        self._switches.counts["uploads"] += 1
        content = await request.body()
        overwrites = b'name="overwrite"\r\n\r\ntrue' in content
        boundary = b"--" + request.headers["content-type"].partition("boundary=")[2].strip('"').encode()
        for part in content.split(boundary):
            head, _, data = part.partition(b"\r\n\r\n")
            if b'filename="' in head:
                name = head.partition(b'filename="')[2].partition(b'"')[0].decode()
                stem, dot, extension = name.rpartition(".")
                number = 0
                while f"input//{name}" in self._files and not overwrites:
                    number += 1
                    name = f"{stem} ({number}){dot}{extension}"
                self._files[f"input//{name}"] = data.removesuffix(b"\r\n")
                return JSONResponse({"name": name, "subfolder": "", "type": "input"})
        return Response(status_code=400)

    def _missing_files(self, prompt: Any) -> dict[str, Any] | None:
        """What LoadImage says of a file that nobody has uploaded."""
        errors = {}
        for node_id, node in prompt.items():
            if node["class_type"] == "LoadImage" and f"input//{node['inputs']['image']}" not in self._files:
                message = "Custom validation failed for node"
                fault = _fault("custom_validation_failed", message, "image")
                errors[node_id] = {"errors": [fault], "dependent_outputs": [], "class_type": "LoadImage"}
        if not errors:
            return None
        return {**_error("prompt_outputs_failed_validation", "Prompt outputs failed validation"), "node_errors": errors}

    def _open(self) -> list[Job]:
        return [job for job in self._jobs.values() if job.entry is None]

    def _stop(self, job: Job) -> None:
        """A running job is interrupted and shows in the history; a waiting one vanishes."""
        if job.task is not None:
            job.task.cancel()
        if job.is_running:
            self._finish(job, {}, "execution_interrupted", {"node_type": "KSampler"})
        else:
            del self._jobs[job.id]

    def _finish(self, job: Job, outputs: dict[str, Any], ending: str, details: dict[str, Any]) -> None:
        now = int(time.time() * 1000)
        is_success = ending == "execution_success"
        messages = [
            ["execution_start", {"prompt_id": job.id, "timestamp": job.created}],
            ["execution_cached", {"nodes": [], "prompt_id": job.id, "timestamp": job.created}],
            [ending, {"prompt_id": job.id, "timestamp": now, **details}],
        ]
        status = {
            "status_str": "success" if is_success else "error",
            "completed": is_success,
            "messages": messages,
        }
        job.entry = {"prompt": job.listed(), "outputs": outputs, "status": status, "meta": {}}
        job.is_running = False

    async def _run(self, job: Job, fault: str, seconds: float) -> None:
        if fault == "stall":  # without a slot: whoever leaves one behind keeps nobody waiting
            job.is_running = True
            await asyncio.sleep(86400)
        async with self._slots:
            job.is_running, job.created = True, int(time.time() * 1000)
            await asyncio.sleep(seconds)
            if fault == "fail":
                error = {
                    "node_id": "3",
                    "node_type": "KSampler",
                    "exception_type": "RuntimeError",
                    "exception_message": "CUDA out of memory, see /srv/comfyui/logs/run.log",
                    "traceback": ['  File "/srv/comfyui/execution.py", line 1'],
                }
                self._finish(job, {}, "execution_error", error)
                return
            try:
                text, seed, width, height = _wanted(job.prompt)
            except (TypeError, ValueError) as fault:
                node = {"node_id": "3", "node_type": "KSampler", "exception_type": "ValueError", "traceback": []}
                self._finish(job, {}, "execution_error", node | {"exception_message": str(fault)})
                return
            loaded = [node["inputs"]["image"] for node in job.prompt.values() if node["class_type"] == "LoadImage"]
            if loaded:
                data = self._files[f"input//{loaded[0]}"]
            else:
                data = await asyncio.to_thread(self._paint, text, seed, width, height)
            outputs = {}
            for node_id, node in _outputs(job.prompt).items():
                kind = "output" if node["class_type"] == "SaveImage" else "temp"
                name = f"{node['inputs'].get('filename_prefix', 'ComfyUI_temp')}_{job.number:05}_.png"
                self._files[f"{kind}//{name}"] = data
                outputs[node_id] = {"images": [{"filename": name, "subfolder": "", "type": kind}]}
            self._finish(job, outputs, "execution_success", {})


def _outputs(prompt: dict[str, Any]) -> dict[str, Any]:
    return {node_id: node for node_id, node in prompt.items() if node["class_type"] in OUTPUT_NODES}


def _wanted(prompt: dict[str, Any]) -> tuple[str, int, int, int]:
    """The sampler's positive text and seed, and the size of its latent image."""
    by_type = {node["class_type"]: node["inputs"] for node in prompt.values()}
    sampler, latent = by_type.get("KSampler", {}), by_type.get("EmptyLatentImage", {})
    positive = prompt.get((sampler.get("positive") or [""])[0], {}).get("inputs", {})
    width, height = (max(16, min(int(latent.get(side, 512)), MAX_SIDE)) for side in ("width", "height"))
    return str(positive.get("text", "")), int(sampler.get("seed", 0)), width, height


def _refusal(prompt: Any, prompt_id: Any) -> dict[str, Any] | None:
    if prompt is None:
        return _error("no_prompt", "No prompt provided")
    try:
        if prompt_id is not None and str(uuid.UUID(prompt_id)) != prompt_id:
            raise ValueError
    except ValueError:
        return _error("invalid_prompt_id", "prompt_id must be a valid UUID")
    node_errors = {}
    for node_id, node in prompt.items():
        kind = node.get("class_type")
        if kind not in NODES:
            return _error("missing_node_type", f"Node '{kind}' not found. The custom node may not be installed.")
        faults = [
            _fault("required_input_missing", "Required input is missing", name)
            for name in NODES[kind]
            if name not in node["inputs"]
        ]
        if kind == "CheckpointLoaderSimple" and node["inputs"].get("ckpt_name") not in CHECKPOINTS:
            faults.append(_fault("value_not_in_list", "Value not in list", "ckpt_name"))
        if kind == "KSampler" and not 1 <= int(node["inputs"].get("steps", 1)) <= 10000:
            faults.append(_fault("value_smaller_than_min", "Value 0 smaller than min of 1", "steps"))
        if faults:
            node_errors[node_id] = {"errors": faults, "dependent_outputs": [], "class_type": kind}
    if not _outputs(prompt):
        return _error("prompt_no_outputs", "Prompt has no outputs")
    if node_errors:
        refusal = _error("prompt_outputs_failed_validation", "Prompt outputs failed validation")
        return {**refusal, "node_errors": node_errors}
    return None


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"error": {"type": kind, "message": message, "details": "", "extra_info": {}}, "node_errors": {}}


def _fault(kind: str, message: str, name: str) -> dict[str, Any]:
    return {"type": kind, "message": message, "details": name, "extra_info": {"input_name": name}}
