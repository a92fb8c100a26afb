"""The two services side by side, and what tests ask of them."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from local.demo_provider.comfyui import ComfyUI
from local.demo_provider.drawing import draw, upscale
from local.demo_provider.replicate import Replicate
from local.demo_provider.switches import Switches


def build_app(job_seconds: float, webhook_secret: str) -> Starlette:
    """`POST /control {"comfyui": {"fault": "fail"}}` or `{"reset": true}`, and `GET /control/counts`."""
    switches = {"comfyui": Switches(job_seconds), "replicate": Switches(job_seconds)}

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def control(request: Request) -> Response:
        try:
            wanted = await request.json()
            if wanted.pop("reset", False):
                for switch in switches.values():
                    switch.reset()
            for service, settings in wanted.items():
                switches[service].set(**settings)
        except (ValueError, KeyError, TypeError) as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse({"status": "ok"})

    async def counts(request: Request) -> Response:
        return JSONResponse({service: dict(switch.counts) for service, switch in switches.items()})

    replicate = Replicate(switches["replicate"], webhook_secret, draw, upscale)
    return Starlette(
        routes=[
            Route("/health", health),
            Route("/control", control, methods=["POST"]),
            Route("/control/counts", counts),
            Mount("/comfyui", routes=ComfyUI(switches["comfyui"], draw).routes()),
            Mount("/replicate", routes=replicate.routes()),
        ],
        lifespan=replicate.lifespan,
    )
