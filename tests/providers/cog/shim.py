"""What Replicate has before cog, the server of its models: paths, predictions that can be read, signed webhooks."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.demo_provider.replicate import signed


class Shim:
    """Before the cog at this address; it signs with this secret. `submits` counts what was passed on."""

    def __init__(self, cog: str, secret: str) -> None:
        self._cog = cog
        self._secret = secret
        self._predictions: dict[str, dict[str, Any]] = {}
        self._webhooks: dict[str, str] = {}
        self.submits = 0

    def app(self) -> Starlette:
        """To be served on a port."""
        return Starlette(
            routes=[
                Route("/v1/predictions", self.create, methods=["POST"]),
                Route("/v1/models/{owner}/{name}/predictions", self.create, methods=["POST"]),
                Route("/v1/predictions/{id}", self.read),
                Route("/v1/predictions/{id}/cancel", self.cancel, methods=["POST"]),
                Route("/told/{id}", self.told, methods=["POST"]),
            ]
        )

    async def create(self, request: Request) -> Response:
        self.submits += 1
        asked = await request.json()
        prediction_id = secrets.token_hex(13)
        prediction = {
            "id": prediction_id,
            "model": "/".join(request.path_params.values()),
            "version": asked.get("version") or "hidden",
            "input": asked["input"],
            "output": None,
            "error": None,
            "created_at": datetime.now(UTC).isoformat(),
        }
        body = {
            "id": prediction_id,
            "input": asked["input"],
            "webhook": f"{request.base_url}told/{prediction_id}",
            "webhook_events_filter": asked.get("webhook_events_filter") or ["completed"],
        }
        self._predictions[prediction_id] = prediction
        self._webhooks[prediction_id] = asked.get("webhook", "")
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(f"{self._cog}/predictions", json=body, headers={"Prefer": "respond-async"})
        if answer.status_code == 409:
            # One cog has one place; Replicate has a queue before it, which may be full, too.
            return _problem(429, answer.json()["error"])
        if not answer.is_success:
            return _problem(answer.status_code, answer.text)
        # By now cog may have told of it.
        return JSONResponse(answer.json() | prediction, 201)

    async def read(self, request: Request) -> Response:
        prediction = self._predictions.get(request.path_params["id"])
        if prediction is None:
            return _problem(404, "The requested resource could not be found.")
        return JSONResponse({"status": "starting"} | prediction)

    async def cancel(self, request: Request) -> Response:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(f"{self._cog}/predictions/{request.path_params['id']}/cancel")
        return await self.read(request) if answer.is_success else _problem(answer.status_code, answer.text)

    async def told(self, request: Request) -> Response:
        """What cog says of a prediction; its caller's answer is cog's, which then tells it again or not."""
        prediction_id = request.path_params["id"]
        prediction = self._predictions[prediction_id]
        prediction.update(await request.json())
        if not self._webhooks[prediction_id]:
            return Response()
        body = json.dumps(prediction).encode()
        headers = signed(self._secret, f"msg_{prediction_id}_{prediction['status']}", body)
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(self._webhooks[prediction_id], content=body, headers=headers)
        return Response(status_code=answer.status_code)


def _problem(status: int, detail: str) -> Response:
    return JSONResponse({"title": "cog refused", "detail": detail, "status": status}, status)
