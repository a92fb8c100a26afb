"""ComfyDeploy's own client against our fake: what it reads without complaint, the fake really speaks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from comfydeploy import ComfyDeploy as Client
from comfydeploy.models import components, errors
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.providers.comfydeploy import DEPLOYMENT, ComfyDeploy
from tests.providers.serving import serving

KEY = "cd-key"


@pytest.fixture
def fake() -> ComfyDeploy:
    return ComfyDeploy(KEY)


@pytest.fixture
def client(fake: ComfyDeploy) -> Iterator[Client]:
    with serving(fake.app()) as url:
        yield Client(bearer=KEY, server_url=f"{url}/api")


def queue(client: Client, prompt: str = "a fox", **more: Any) -> str:
    answer = client.run.deployment.queue(
        request={"deployment_id": DEPLOYMENT, "inputs": {"input_prompt": prompt}, **more}
    )
    run_id: str = answer.create_run_response.run_id
    return run_id


def until(client: Client, run_id: str, wanted: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        run = client.run.get(run_id=run_id).workflow_run_model
        if wanted(run):
            return run
        time.sleep(0.02)
    raise AssertionError(run)


def test_a_run_from_its_queue_to_its_picture(client: Client, fake: ComfyDeploy) -> None:
    run = until(client, queue(client, gpu="H100"), lambda run: run.status == "success")
    assert (run.gpu, run.origin, run.progress) == ("H100", "api", 1.0)
    assert run.run_duration > 0 and run.ended_at > run.started_at >= run.queued_at
    (output,) = run.outputs
    (media,) = output.data["images"]
    assert isinstance(media, components.MediaItem)
    assert httpx.get(media.url).content.startswith(b"\x89PNG")
    assert fake.switches.counts["submits"] == 1


def test_a_run_that_fails(client: Client) -> None:
    run = until(client, queue(client, "[fault:fail]"), lambda run: run.status == "failed")
    assert run.outputs == [] and run.live_status == "Executing KSampler"


def test_a_cancelled_run(client: Client) -> None:
    run_id = queue(client, "[fault:stall]")
    until(client, run_id, lambda run: run.status == "running" and run.progress == 0.47)
    client.run.cancel(run_id=run_id)
    assert until(client, run_id, lambda run: run.ended_at is not None).status == "cancelled"


def test_what_is_refused(client: Client, fake: ComfyDeploy) -> None:
    with pytest.raises(errors.HTTPValidationError) as refused:
        client.run.deployment.queue(request={"deployment_id": "mine", "inputs": {}})
    (fault,) = refused.value.data.detail
    assert fault.loc == ["body", "deployment_id"]
    assert "valid UUID" in fault.msg
    with pytest.raises(errors.SDKError) as missing:
        client.run.get(run_id="00000000-0000-4000-8000-000000000000")
    assert missing.value.status_code == 404
    with pytest.raises(errors.SDKError) as unauthenticated, serving(ComfyDeploy("other").app()) as url:
        queue(Client(bearer=KEY, server_url=f"{url}/api"))
    assert unauthenticated.value.status_code == 401
    assert fake.switches.counts["submits"] == 1


def test_its_webhooks_are_what_the_client_expects(client: Client, fake: ComfyDeploy) -> None:
    told: list[components.WorkflowRunWebhookBody] = []

    async def receive(request: Request) -> Response:
        told.append(components.WorkflowRunWebhookBody.model_validate_json(await request.body()))
        return JSONResponse({"status": "taken"}, 500 if len(told) == 1 else 200)

    with serving(Starlette(routes=[Route("/hook", receive, methods=["POST"])])) as url:
        run_id = queue(client, webhook=f"{url}/hook", webhook_intermediate_status=True)
        until(client, run_id, lambda run: run.status == "success" and len(fake.delivered) == 6)
    assert {body.run_id for body in told} == {run_id}
    statuses = sorted(body.status.value for body in told)
    assert statuses == sorted(["queued", "queued", "started", "running", "uploading", "success"])
    (end,) = (body for body in told if body.status.value == "success")
    assert end.outputs and end.outputs[0].data["images"][0].url
