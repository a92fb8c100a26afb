"""A step whose provider refuses connections: its fallback tool does the work, once, at its own cost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal

import httpx
import pytest

from tests.cloud import Cloud, called
from tests.ports import free_port
from tests.providers.fal import Fal


@pytest.fixture
def unreachable(cloud: Cloud) -> Iterator[str]:
    """A job tool of a provider at whose address nobody listens."""
    secrets, name = cloud.aws("secretsmanager"), "spellcast/local/comfyapi"
    before = secrets.get_secret_value(SecretId=name)["SecretString"]

    def configure(text: str) -> None:
        secrets.put_secret_value(SecretId=name, SecretString=text)
        httpx.post(f"{cloud.outputs['endpointUrl']}/_spellcast/renew").raise_for_status()

    configure(json.dumps({"url": f"http://127.0.0.1:{free_port()}", "key": "a key"}))
    cloud.tool(
        {
            "toolId": "unreachable",
            "service": "comfyapi",
            "displayName": "Unreachable",
            "deliveryMode": "async",
            "inputSchema": {"prompt": {"name": "prompt", "type": "string"}},
            "costingModel": {"rateSource": "static", "staticCost": {"amount": "7", "unit": "run"}},
            "metadata": {
                "workflow": {"6": {"class_type": "CLIPTextEncode", "inputs": {"text": ""}}},
                "workflowInputs": {"prompt": ["6", "text"]},
            },
        }
    )
    yield "unreachable"
    cloud.api.delete("/v1/tools/unreachable").raise_for_status()
    configure(before)


def test_the_fallback_does_the_step(cloud: Cloud, fal: Fal, unreachable: str) -> None:
    fal.switches.reset()
    fal.submits.clear()
    step = called("a fox", tool=unreachable) | {"fallbackTool": "fal-flux-dev"}
    spell = cloud.spell(step)
    assert cloud.api.get(f"/v1/spells/{spell['spellId']}").json()["steps"] == [step]
    ended = cloud.run(spell)
    assert ended["status"] == "completed", ended
    [generation] = ended["generations"]
    assert (generation["toolId"], generation["serviceName"], generation["attempt"]) == ("fal-flux-dev", "fal", 1)
    assert generation["metadata"]["submission"] == "submitted"
    why = generation["metadata"]["fallbackFrom"]
    assert (why["toolId"], why["code"]) == ("unreachable", "PROVIDER_UNAVAILABLE")
    assert "could not be reached" in why["message"]
    assert len(fal.submits) == 1
    assert Decimal(generation["costUsd"]) == Decimal(ended["costUsd"]) == Decimal("0.025")
    assert generation["outputs"]["images"][0]["mediaType"] == "image/png"
