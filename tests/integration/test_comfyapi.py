"""The Comfy API over comfy-api-proxy, its makers' own server, in front of the stage's ComfyUI."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.cloud import PATIENCE, Cloud
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
# The proxy lives where the providers' own clients do; `make test` sets that up.
PYTHON = str(ROOT / ".local" / "providers" / "venv" / "bin" / "python")
DRAWING = ROOT / "layers" / "spellcast" / "spellcast" / "catalog" / "comfyui-text-to-image.json"
TOKEN = "a static token"


@pytest.fixture(scope="module")
def proxy(cloud: Cloud) -> Iterator[str]:
    port = free_port()
    comfyui = f"{str(cloud.provider.base_url).rstrip('/')}/comfyui"
    command = [PYTHON, "-m", "comfy_api_proxy.cli", "run", "--comfyui", comfyui, "--port", str(port), "--token", TOKEN]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            await_health(url)
            config = json.dumps({"url": url, "key": TOKEN})
            cloud.aws("secretsmanager").put_secret_value(SecretId="spellcast/local/comfyapi", SecretString=config)
            yield url
        finally:
            process.terminate()


def await_health(url: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/api/v2/health").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the proxy did not start")


def test_a_picture_is_drawn_through_the_proxy(cloud: Cloud, proxy: str) -> None:
    # The catalog's own drawing, by the other service: the workflow is the same.
    drawing = json.loads(DRAWING.read_text("utf-8"))
    cloud.tool({**drawing, "toolId": "comfyapi-draw", "service": "comfyapi", "displayName": "Draw by the Comfy API"})
    prompt = {"input_prompt": {"type": "static", "value": "a fox"}}
    cloud.provider.post("/control", json={"reset": True})
    ended = cloud.run(cloud.spell({"id": "draw", "toolIdentifier": "comfyapi-draw", "parameterMappings": prompt}))
    assert ended["status"] == "completed", ended["failureReason"]
    picture = ended["generations"][0]["outputs"]["images"][0]
    assert picture["mediaType"] == "image/png"
    assert httpx.get(picture["url"]).content.startswith(b"\x89PNG")
    assert cloud.provider.get("/control/counts").json()["comfyui"]["submits"] == 1
