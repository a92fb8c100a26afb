"""Our Replicate adapter against cog, the server in which Replicate's models run, behind what signs its webhooks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.demo_provider import WEBHOOK_SECRET
from spellcast.adapters.exchange import provider_client
from spellcast.adapters.replicate import ReplicateAdapter, build
from spellcast.domain.errors import InvalidSignature, JobLost, ProviderUnavailable
from spellcast.domain.results import Job, ToolResult
from spellcast.domain.tools import parse_tool
from spellcast.ports.adapter import ProviderConfig, Request
from tests.ports import free_port
from tests.providers.cog.shim import Shim
from tests.providers.serving import serving
from tests.receiver import Receiver, receiving

PATIENCE = 30.0
TOOL = parse_tool(
    {
        "toolId": "drawn",
        "service": "replicate",
        "displayName": "Drawn",
        "deliveryMode": "webhook",
        "inputSchema": {"prompt": {"type": "string"}, "seconds": {"type": "number", "required": False}},
        "costingModel": {"rateSource": "machine", "rate": "0.001", "unit": "second"},
        "metadata": {"model": "owner/model"},
    }
)


@pytest.fixture(scope="module")
def cog() -> Iterator[str]:
    port = free_port()
    environment = {
        # cog's server starts the `python` of its path as the model's process.
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PORT": str(port),
        "COG_PREDICT_TYPE_STUB": "predict.py:run",
    }
    command = [sys.executable, "-m", "cog.server.http", "--host", "127.0.0.1"]
    directory = Path(__file__).parents[1] / "cog"
    with subprocess.Popen(
        command,
        cwd=directory,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            until(lambda: is_ready(url))
            yield url
        finally:
            # Of both processes; told to end, the server would wait for the prediction that runs.
            os.killpg(process.pid, signal.SIGKILL)


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def is_ready(url: str) -> bool:
    try:
        return bool(httpx.get(f"{url}/health-check").json()["status"] == "READY")
    except httpx.TransportError:
        return False


@pytest.fixture
def shim(cog: str) -> Shim:
    return Shim(cog, WEBHOOK_SECRET)


@pytest.fixture
def adapter(shim: Shim, cog: str) -> Iterator[ReplicateAdapter]:
    # Its one place is free again a moment after the webhook that told of the last end.
    until(lambda: is_ready(cog))
    with serving(shim.app()) as url, provider_client() as client:
        yield build(ProviderConfig(url, "r8_key", WEBHOOK_SECRET), lambda: client, True)


def start(adapter: ReplicateAdapter, callback_url: str = "", **inputs: Any) -> Job:
    return adapter.start_job(Request("c1.0.1", TOOL, inputs, callback_url))


def heard(adapter: ReplicateAdapter, receiver: Receiver) -> ToolResult:
    headers, body = receiver.next()
    return adapter.parse_webhook(headers, body, TOOL, datetime.now(UTC))


def test_a_prediction_is_told_of_and_found_by_a_poll(adapter: ReplicateAdapter, shim: Shim) -> None:
    with receiving() as receiver:
        job = start(adapter, receiver.url, prompt="a fox", seconds=0.1)
        assert job.calls_back
        begun, done = heard(adapter, receiver), heard(adapter, receiver)
    assert (begun.status, begun.live_status) == ("processing", "processing")
    assert (done.status, done.failure) == ("succeeded", None)
    (image,) = done.payload[0]["data"]["images"]
    assert image == {"url": "data:image/png;base64,iVBORw0KGgphIGZveA==", "mediaType": "image/png"}
    assert done.duration_ms is not None and done.duration_ms >= 100
    assert replace(adapter.poll_job(job.run_id, TOOL), run_id=job.run_id) == done
    adapter.cancel_job(job.run_id)
    assert replace(adapter.poll_job(job.run_id, TOOL), run_id=job.run_id) == done, "what is over stays as it is"
    assert shim.submits == 1


def test_a_webhook_that_was_not_taken_comes_again(adapter: ReplicateAdapter) -> None:
    with receiving(refusals=2) as receiver:
        start(adapter, receiver.url, prompt="a fox", seconds=0.1)
        told = [heard(adapter, receiver) for _ in range(3)]
    assert [result.status for result in told] == ["processing", "succeeded", "succeeded"]


def test_a_webhook_of_somebody_else(adapter: ReplicateAdapter, cog: str) -> None:
    with receiving() as receiver:
        start(adapter, receiver.url, prompt="a fox")
        headers, body = receiver.next()
        receiver.next()
    other = build(ProviderConfig(cog, "r8_key", "whsec_Zm9yZ2Vk"), httpx.Client, True)
    with pytest.raises(InvalidSignature, match="wrong"):
        other.parse_webhook(headers, body, TOOL, datetime.now(UTC))


def test_a_model_that_fails(adapter: ReplicateAdapter) -> None:
    with receiving() as receiver:
        job = start(adapter, receiver.url, prompt="[fail]", seconds=0.1)
        _, done = heard(adapter, receiver), heard(adapter, receiver)
    assert done.failure is not None and done.failure.code == "JOB_FAILED"
    assert done.failure.message.startswith("Replicate: ") and "CUDA out of memory" in done.failure.message
    assert done.cost_usd is not None and done.cost_usd > 0
    assert replace(adapter.poll_job(job.run_id, TOOL), run_id=job.run_id) == done


def test_a_cancelled_prediction_and_one_that_finds_no_place(adapter: ReplicateAdapter) -> None:
    with receiving() as receiver:
        job = start(adapter, receiver.url, prompt="a fox", seconds=60)
        assert heard(adapter, receiver).live_status == "processing"
        with pytest.raises(ProviderUnavailable, match="takes no more jobs"):
            start(adapter, prompt="another fox")
        adapter.cancel_job(job.run_id)
        done = heard(adapter, receiver)
    assert done.failure is not None and done.failure.code == "JOB_CANCELLED"
    assert done.cost_usd is not None and done.cost_usd > 0, "what ran is paid for"
    assert replace(adapter.poll_job(job.run_id, TOOL), run_id=job.run_id) == done
    adapter.cancel_job(job.run_id)


def test_a_prediction_that_nobody_knows(adapter: ReplicateAdapter) -> None:
    adapter.cancel_job("unknown")
    with pytest.raises(JobLost):
        adapter.poll_job("unknown", TOOL)
