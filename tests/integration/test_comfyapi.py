"""The Comfy API over comfy-api-proxy, its makers' own server, in front of the stage's ComfyUI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.cloud import Cloud
from tests.providers.comfy_proxy import proxying

ROOT = Path(__file__).parents[2]
# The proxy lives where the providers' own clients do; `make test` sets that up.
PYTHON = str(ROOT / ".local" / "providers" / "venv" / "bin" / "python")
DRAWING = ROOT / "layers" / "spellcast" / "spellcast" / "catalog" / "comfyui-text-to-image.json"
TOKEN = "a static token"


@pytest.fixture(scope="module")
def proxy(cloud: Cloud) -> Iterator[str]:
    comfyui = f"{str(cloud.provider.base_url).rstrip('/')}/comfyui"
    with proxying(PYTHON, comfyui, TOKEN) as url:
        config = json.dumps({"url": url, "key": TOKEN})
        cloud.aws("secretsmanager").put_secret_value(SecretId="spellcast/local/comfyapi", SecretString=config)
        yield url


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
