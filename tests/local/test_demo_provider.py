"""The demo provider, driven by the product's own adapters over real connections."""

from __future__ import annotations

import http.server
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

import httpx
import pytest
from PIL import Image

from local import stack
from local.demo_provider import WEBHOOK_SECRET
from local.demo_provider.drawing import draw
from spellcast.adapters.exchange import provider_client
from spellcast.adapters.registry import Registry
from spellcast.catalog import built_in_tools
from spellcast.domain.errors import (
    InvalidSignature,
    JobLost,
    OutcomeUnknown,
    ProviderRefused,
    ProviderUnavailable,
)
from spellcast.domain.results import ToolResult
from spellcast.ports.adapter import ProviderConfig, Request
from tests.local.conftest import until
from tests.ports import free_port

COMFY, FLUX, UPSCALER = "comfyui-text-to-image", "replicate-flux-schnell", "replicate-clarity-upscaler"
TOOLS = built_in_tools()
QUICK = "[seconds:0.05]"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    python = stack.PYTHON if stack.PYTHON.exists() else sys.executable
    if python == sys.executable and find_spec("hypercorn") is None:
        pytest.fail("the embedded cloud's environment is not set up: make .local/venv")
    port = free_port()
    command = [str(python), "-m", "local.demo_provider", "--port", str(port)]
    with subprocess.Popen(command, cwd=stack.ROOT, env={"PATH": os.environ["PATH"]}, stderr=subprocess.PIPE) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            assert until(lambda: is_up(url), 10), process.poll()
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=10)
    assert process.returncode == 0


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def provider(address: str) -> Iterator[str]:
    httpx.post(f"{address}/control", json={"reset": True}).raise_for_status()
    yield address


@pytest.fixture
def adapters(provider: str) -> Iterator[Registry]:
    with provider_client() as client:
        configured = {
            "comfyui": ProviderConfig(f"{provider}/comfyui"),
            "replicate": ProviderConfig(f"{provider}/replicate", "demo-key", WEBHOOK_SECRET),
        }
        yield Registry(lambda service: configured[service], lambda: client, True)


def start(adapters: Registry, tool_id: str, callback_url: str = "", attempt: int = 1, **inputs: Any) -> str:
    tool = TOOLS[tool_id]
    request = Request(f"c1.0.{attempt}", tool, inputs, callback_url)
    return adapters.get(tool.service).start_job(request).run_id


def poll(adapters: Registry, tool_id: str, run_id: str) -> ToolResult:
    return adapters.get(TOOLS[tool_id].service).poll_job(run_id, TOOLS[tool_id])


def finish(adapters: Registry, tool_id: str, run_id: str) -> ToolResult:
    def ended() -> ToolResult | None:
        result = poll(adapters, tool_id, run_id)
        return result if result.is_final else None

    result = until(ended)
    assert result is not None
    return result  # type: ignore[no-any-return]


def picture(result: ToolResult) -> Image.Image:
    assert result.status == "succeeded", result.failure
    url = result.payload[0]["data"]["images"][0]["url"]
    image = Image.open(io.BytesIO(httpx.get(url).raise_for_status().content))
    assert image.format == "PNG"
    return image


def counts(provider: str) -> Any:
    return httpx.get(f"{provider}/control/counts").json()


def test_a_chain_of_both_providers(adapters: Registry, provider: str) -> None:
    run_id = start(adapters, COMFY, input_prompt="a fox [seconds:0.3]", input_width=256, input_height=128)
    assert poll(adapters, COMFY, run_id).live_status in ("queued", "running")
    drawn = finish(adapters, COMFY, run_id)
    assert drawn.duration_ms is not None
    assert 250 <= drawn.duration_ms < 2000
    assert picture(drawn).size == (256, 128)
    httpx.post(f"{provider}/control", json={"replicate": {"seconds": 0.2}})
    url = drawn.payload[0]["data"]["images"][0]["url"]
    enlarged = finish(adapters, UPSCALER, start(adapters, UPSCALER, image=url, scale_factor=3))
    assert picture(enlarged).size == (768, 384)
    assert enlarged.duration_ms is not None
    counted = counts(provider)
    assert counted["comfyui"]["submits"] == counted["replicate"]["submits"] == 1


def test_pictures_show_text_and_seed() -> None:
    first = draw("a fox", 1, 64, 64)
    assert first == draw("a fox", 1, 64, 64)
    assert len({first, draw("a fox", 2, 64, 64), draw("a cat", 1, 64, 64)}) == 3


@pytest.mark.parametrize(("tool_id", "key"), [(COMFY, "input_prompt"), (FLUX, "prompt")])
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("refuse", ProviderRefused),
        ("throttle", ProviderUnavailable),
        ("broken", OutcomeUnknown),
        ("garbage", OutcomeUnknown),
    ],
)
def test_faulty_submits(adapters: Registry, provider: str, tool_id: str, key: str, fault: str, error: Any) -> None:
    with pytest.raises(error):
        start(adapters, tool_id, attempt=10, **{key: f"x [fault:{fault}] {QUICK}"})
    assert counts(provider)[TOOLS[tool_id].service]["submits"] == 1


@pytest.mark.parametrize(("tool_id", "key"), [(COMFY, "input_prompt"), (FLUX, "prompt")])
def test_faulty_jobs(adapters: Registry, tool_id: str, key: str) -> None:
    result = finish(adapters, tool_id, start(adapters, tool_id, attempt=2, **{key: f"x [fault:fail] {QUICK}"}))
    assert result.failure is not None
    assert result.failure.code == "JOB_FAILED"
    assert "CUDA out of memory" in result.failure.message
    assert "/srv" not in result.failure.message
    lost = start(adapters, tool_id, attempt=3, **{key: "x [fault:lose]"})
    with pytest.raises(JobLost):
        poll(adapters, tool_id, lost)


@pytest.mark.parametrize(("tool_id", "key"), [(COMFY, "input_prompt"), (FLUX, "prompt")])
def test_cancelling(adapters: Registry, provider: str, tool_id: str, key: str) -> None:
    adapter = adapters.get(TOOLS[tool_id].service)
    run_id = start(adapters, tool_id, attempt=4, **{key: "x [fault:stall]"})
    until(lambda: poll(adapters, tool_id, run_id).live_status == "running" or tool_id == FLUX)
    adapter.cancel_job(run_id)
    adapter.cancel_job(run_id)
    adapter.cancel_job("7a1f3c9e-52d4-5a0b-9d54-5be11ca50000")
    result = finish(adapters, tool_id, run_id)
    assert result.failure is not None
    assert result.failure.code == "JOB_CANCELLED"


def test_a_lost_acceptance_is_found_by_its_derived_id(adapters: Registry) -> None:
    with pytest.raises(OutcomeUnknown) as caught:
        start(adapters, COMFY, attempt=5, input_prompt=f"x [fault:garbage] {QUICK}")
    assert caught.value.run_id is not None
    assert finish(adapters, COMFY, caught.value.run_id).status == "succeeded"


def test_the_control_endpoint(adapters: Registry, provider: str) -> None:
    httpx.post(f"{provider}/control", json={"replicate": {"fault": "refuse", "times": 1}}).raise_for_status()
    with pytest.raises(ProviderRefused):
        start(adapters, FLUX, prompt="x")
    start(adapters, FLUX, prompt="x")
    wrong: dict[str, Any]
    for wrong in ({"replicate": {"fault": "nonsense"}}, {"nobody": {}}, {"comfyui": {"colour": 1}}):
        assert httpx.post(f"{provider}/control", json=wrong).status_code == 400


# --- Callbacks ---


class Receiver(http.server.BaseHTTPRequestHandler):
    received: list[tuple[dict[str, str], bytes]]
    statuses: list[int]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.statuses.pop(0) if self.statuses else 200)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[tuple[str, type[Receiver]]]:
    class Mine(Receiver):
        received: list[tuple[dict[str, str], bytes]] = []  # noqa: RUF012
        statuses: list[int] = []  # noqa: RUF012

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mine) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/callback", Mine
        server.shutdown()
        thread.join()


Read = Callable[[tuple[dict[str, str], bytes]], ToolResult]


@pytest.fixture
def read(adapters: Registry) -> Read:
    def parse(message: tuple[dict[str, str], bytes]) -> ToolResult:
        return adapters.get("replicate").parse_webhook(*message, TOOLS[FLUX], datetime.now(UTC))

    return parse


def test_signed_callbacks(adapters: Registry, receiver: Any, read: Read) -> None:
    url, mine = receiver
    start(adapters, FLUX, url, prompt=f"a fox {QUICK}")
    assert until(lambda: len(mine.received) == 2)
    results = sorted((read(message) for message in mine.received), key=lambda result: result.is_final)
    assert [result.status for result in results] == ["processing", "succeeded"]
    assert picture(results[1]).size == (512, 512)


def test_callbacks_are_repeated_until_they_are_taken(adapters: Registry, receiver: Any, read: Read) -> None:
    url, mine = receiver
    mine.statuses[:] = [200, 503, 429]
    start(adapters, FLUX, url, prompt=f"a fox {QUICK}")
    assert until(lambda: len(mine.received) == 4)
    assert len({message[0]["webhook-id"] for message in mine.received}) == 2
    assert read(mine.received[-1]).status == "succeeded"


def test_faulty_callbacks(adapters: Registry, receiver: Any, read: Read) -> None:
    url, mine = receiver
    start(adapters, FLUX, url, prompt=f"a fox [fault:duplicate] {QUICK}")
    assert until(lambda: len(mine.received) == 4)
    mine.received.clear()
    start(adapters, FLUX, url, prompt=f"a fox [fault:forge] {QUICK}")
    assert until(lambda: len(mine.received) == 2)
    with pytest.raises(InvalidSignature):
        read(mine.received[0])
    mine.received.clear()
    run_id = start(adapters, FLUX, url, prompt=f"a fox [fault:drop] {QUICK}")
    assert finish(adapters, FLUX, run_id).status == "succeeded"
    time.sleep(0.1)
    assert mine.received == []


# --- What the adapters do not use, and other clients do ---


def test_the_rest_of_comfyui(adapters: Registry, provider: str) -> None:
    base = f"{provider}/comfyui"
    run_id = start(adapters, COMFY, attempt=6, input_prompt=f"x {QUICK}")
    finish(adapters, COMFY, run_id)
    job = httpx.get(f"{base}/api/jobs/{run_id}").json()
    assert (job["status"], job["outputs_count"]) == ("completed", 1)
    assert httpx.get(f"{base}/prompt").json() == {"exec_info": {"queue_remaining": 0}}
    assert run_id in httpx.get(f"{base}/api/history").json()
    assert httpx.get(f"{base}/history/unknown").json() == {}
    assert httpx.get(f"{base}/api/jobs/unknown").status_code == 404
    assert httpx.get(f"{base}/view", params={"filename": "none.png"}).status_code == 404
    assert httpx.get(f"{base}/view", params={"filename": "../x"}).status_code == 400
    names = [httpx.post(f"{base}/upload/image", files={"image": ("x.png", b"data")}).json()["name"] for _ in range(2)]
    assert names == ["x.png", "x (1).png"]
    assert httpx.get(f"{base}/view", params={"filename": "x (1).png", "type": "input"}).content == b"data"


def test_comfyuis_refusals(provider: str) -> None:
    url = f"{provider}/comfyui/prompt"

    def kind(**body: Any) -> Any:
        answer = httpx.post(url, json=body)
        assert answer.status_code == 400
        return answer.json()["error"]["type"]

    save = {"9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "x"}}}
    assert kind() == "no_prompt"
    assert kind(prompt=save, prompt_id="NOT-A-UUID") == "invalid_prompt_id"
    assert kind(prompt={"1": {"class_type": "Unheard", "inputs": {}}}) == "missing_node_type"
    assert kind(prompt={"7": {"class_type": "VAEDecode", "inputs": {}}}) == "prompt_no_outputs"
    assert kind(prompt={"9": {"class_type": "SaveImage", "inputs": {}}}) == "prompt_outputs_failed_validation"
    assert httpx.post(url, content=b"{").status_code == 500
    assert httpx.post(url, json={"prompt": [1]}).status_code == 500
    assert httpx.post(url, json={"prompt": save}, headers={"Origin": "http://evil.example"}).status_code == 403


def test_replicate_wants_a_token(provider: str) -> None:
    base = f"{provider}/replicate/v1"
    for method, path in (
        ("POST", "models/a/b/predictions"),
        ("POST", "predictions"),
        ("GET", "predictions/x"),
        ("POST", "predictions/x/cancel"),
        ("GET", "webhooks/default/secret"),
    ):
        assert httpx.request(method, f"{base}/{path}").status_code == 401
    token = {"Authorization": "Bearer x"}
    assert httpx.get(f"{base}/webhooks/default/secret", headers=token).json() == {"key": WEBHOOK_SECRET}
    for body in ({}, {"input": 1, "version": "v"}, {"input": {"prompt": "x"}}, {"input": {}, "version": "v"}):
        assert httpx.post(f"{base}/predictions", headers=token, json=body).status_code == 422
