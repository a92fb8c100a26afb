"""The fake of fal, as fal's own client sees it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import fal_client
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fal_client.client import FalClientHTTPError
from jwt import PyJWKSet
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.providers.fal import Fal
from tests.providers.serving import serving

APP = "fal-ai/flux/dev"


@pytest.fixture
def service() -> Fal:
    return Fal()


@pytest.fixture
def url(service: Fal, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with serving(service.app()) as address:
        # The client knows hosts only, and speaks https to them.
        monkeypatch.setattr("fal_client.client.QUEUE_URL_FORMAT", f"{address}/")
        yield address


@pytest.fixture
def client(url: str) -> Iterator[fal_client.SyncClient]:
    made = fal_client.SyncClient(key="id:secret")
    yield made
    made._client.close()


def test_a_request_is_queued_watched_and_read(client: fal_client.SyncClient, service: Fal) -> None:
    handle = client.submit(APP, {"prompt": "a fox"}, priority="low", start_timeout=30)
    seen = list(handle.iter_events(with_logs=True, interval=0.01))
    assert {type(event) for event in seen} >= {fal_client.Queued, fal_client.Completed}
    completed = seen[-1]
    assert isinstance(completed, fal_client.Completed)
    assert completed.error is None and completed.metrics["inference_time"] > 0 and completed.logs
    result = handle.get()
    assert result["images"][0]["content_type"] == "image/png"
    assert httpx.get(result["images"][0]["url"]).content.startswith(b"\x89PNG")
    path, headers, inputs = service.submits[0]
    assert (path, inputs) == (f"/{APP}", {"prompt": "a fox"})
    assert headers["x-fal-request-timeout"] == "30.0" and headers["authorization"] == "Key id:secret"


@pytest.mark.parametrize("app", [APP, "fal-ai/esrgan", "workflows/me/mine/v2", "comfy/me/mine"])
def test_a_request_is_found_by_its_app_and_id(client: fal_client.SyncClient, app: str) -> None:
    handle = client.submit(app, {"prompt": "a fox"})
    found = client.get_handle(app, handle.request_id)
    assert (found.status_url, found.response_url, found.cancel_url) == (
        handle.status_url,
        handle.response_url,
        handle.cancel_url,
    )
    assert client.result(app, handle.request_id)["images"]


def test_a_video_and_a_larger_picture(client: fal_client.SyncClient) -> None:
    film = client.subscribe("fal-ai/ltx-video", {"prompt": "a fox"}, interval=0.01)
    assert film["video"]["content_type"] == "video/mp4"
    larger = client.subscribe("fal-ai/esrgan", {"image_url": "https://f.example/a.png"}, interval=0.01)
    assert larger["image"]["url"]


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ("invalid", 422, None),
        ("fail", 500, None),
        ("crash", 503, "runner_disconnected"),
        ("late", 504, "request_timeout"),
    ],
)
def test_completed_is_not_success(
    client: fal_client.SyncClient, service: Fal, monkeypatch: pytest.MonkeyPatch, fault: str, status: int, kind: Any
) -> None:
    monkeypatch.setattr("fal_client.client.BASE_DELAY", 0.001)
    handle = client.submit(APP, {"prompt": f"a fox [fault:{fault}]"})
    with pytest.raises(FalClientHTTPError) as caught:
        handle.get(interval=0.01)
    assert (caught.value.status_code, caught.value.error_type) == (status, kind)
    completed = handle.status()
    assert isinstance(completed, fal_client.Completed)
    assert (completed.error, completed.error_type) == (f"Invalid status code: {status}", kind)
    if fault == "invalid":
        detail: Any = caught.value.message
        assert detail[0]["loc"] == ["body", "prompt"] and detail[0]["msg"] == "Field required"


def test_a_request_is_cancelled(client: fal_client.SyncClient, service: Fal) -> None:
    handle = client.submit(APP, {"prompt": "a fox [fault:stall]"})
    handle.cancel()
    with pytest.raises(FalClientHTTPError) as caught:
        handle.get(interval=0.01)
    assert (caught.value.status_code, caught.value.error_type) == (499, "client_cancelled")
    with pytest.raises(FalClientHTTPError) as caught:
        handle.cancel()
    assert caught.value.response.json() == {"status": "ALREADY_COMPLETED"}
    with pytest.raises(FalClientHTTPError) as caught:
        client.status(APP, "unknown")
    assert caught.value.status_code == 404


@pytest.mark.parametrize(("fault", "status"), [("refuse", 400), ("throttle", 429), ("broken", 502)])
def test_a_request_that_is_not_taken(
    client: fal_client.SyncClient, service: Fal, monkeypatch: pytest.MonkeyPatch, fault: str, status: int
) -> None:
    monkeypatch.setattr("fal_client.client.BASE_DELAY", 0.001)
    with pytest.raises(FalClientHTTPError) as caught:
        client.submit(APP, {"prompt": f"a fox [fault:{fault}]"})
    assert caught.value.status_code == status
    # The client repeats what was throttled; the adapter does not.
    assert service.counts["submits"] == (10 if status == 429 else 1)


def test_the_async_client(url: str) -> None:
    import asyncio

    async def ask() -> Any:
        client = fal_client.AsyncClient(key="id:secret")
        try:
            return await client.subscribe(APP, {"prompt": "a fox"}, interval=0.01)
        finally:
            await (await client._client).aclose()

    assert asyncio.run(ask())["images"]


def test_a_callback_is_signed_with_a_published_key(client: fal_client.SyncClient, service: Fal, url: str) -> None:
    told: list[tuple[dict[str, str], bytes]] = []

    async def receive(request: Request) -> Response:
        told.append((dict(request.headers), await request.body()))
        return Response()

    with serving(Starlette(routes=[Route("/hook", receive, methods=["POST"])])) as here:
        handle = client.submit(APP, {"prompt": "a fox"}, webhook_url=f"{here}/hook?token=a&b")
        handle.get(interval=0.01)
        while service.callback_answers != [200]:
            handle.status()
    ((headers, body),) = told
    names = ("request-id", "user-id", "timestamp")
    signed = "\n".join([headers[f"x-fal-webhook-{name}"] for name in names] + [hashlib.sha256(body).hexdigest()])
    keys = [
        key.key
        for key in PyJWKSet.from_dict(httpx.get(f"{url}/.well-known/jwks.json").json()).keys
        if isinstance(key.key, Ed25519PublicKey)
    ]
    assert len(keys) == 2
    keys[1].verify(bytes.fromhex(headers["x-fal-webhook-signature"]), signed.encode())
    assert handle.request_id.encode() in body
