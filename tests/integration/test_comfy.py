"""ComfyDeploy over its fake, by webhook and by the poll that stands in for one; ComfyUI with a picture as its input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.cloud import Cloud, Document, drawn, wire
from tests.providers.comfydeploy import DEPLOYMENT, ComfyDeploy
from tests.providers.serving import serving

KEY = "a comfydeploy key"
A10G = Decimal("0.000337")


@pytest.fixture(scope="module")
def fake(cloud: Cloud) -> Iterator[ComfyDeploy]:
    """The stage's ComfyDeploy; configured before the first step that needs it, since secrets are kept for minutes."""
    fake = ComfyDeploy(KEY, job_seconds=0.3)
    with serving(fake.app()) as url:
        config = json.dumps({"url": f"{url}/api", "key": KEY})
        cloud.aws("secretsmanager").put_secret_value(SecretId="spellcast/local/comfydeploy", SecretString=config)
        yield fake


@pytest.fixture
def comfydeploy(fake: ComfyDeploy) -> ComfyDeploy:
    fake.switches.reset()
    fake.bodies.clear()
    fake.delivered.clear()
    return fake


def tool(cloud: Cloud, tool_id: str, **more: Any) -> str:
    """The tool that docs/providers.md shows."""
    definition: Document = {
        "toolId": tool_id,
        "service": "comfydeploy",
        "displayName": tool_id,
        "deliveryMode": "webhook",
        "inputSchema": {
            "input_prompt": {"name": "input_prompt", "type": "string"},
            "input_image": {"name": "input_image", "type": "image", "required": False},
        },
        "metadata": {"deploymentId": DEPLOYMENT},
        **more,
    }
    cloud.tool(definition)
    return tool_id


def step(tool_id: str, prompt: str, node: str = "make", **wired: Document) -> Document:
    mappings = {"input_prompt": {"type": "static", "value": prompt}, **wired}
    return {"id": node, "toolIdentifier": tool_id, "parameterMappings": mappings}


def test_a_chain_by_webhook_has_its_progress_its_pictures_and_its_cost(cloud: Cloud, comfydeploy: ComfyDeploy) -> None:
    made = tool(cloud, "comfydeploy-chain")
    spell = cloud.spell(step(made, "a cat"), step(made, "oil paint", "effect", input_image=wire("make", "image")))
    with cloud.listening() as listener:
        cast = cloud.cast(spell)
        listener.until_ended(cast)
    ended = cloud.get_cast(cast)
    assert ended["status"] == "completed", ended
    first, second = ended["generations"]
    given = comfydeploy.bodies[1]["inputs"]
    assert given == {"input_prompt": "oil paint", "input_image": given["input_image"]}
    # Both are links to the copy in the bucket, signed at different times.
    shown = first["outputs"]["images"][0]["url"]
    assert given["input_image"].partition("?")[0] == shown.partition("?")[0]
    assert comfydeploy.switches.counts["submits"] == 2
    for generation in (first, second):
        seconds = Decimal(generation["durationMs"]).scaleb(-3)
        assert Decimal(generation["costUsd"]) == seconds * A10G
    assert Decimal(ended["costUsd"]) == Decimal(first["costUsd"]) + Decimal(second["costUsd"])
    progress = [item for item in listener.of(cast, "generationProgress") if item["stepIndex"] == 0]
    assert (0.47, "Sampling…") in [(item["progress"], item["liveStatus"]) for item in progress]
    assert "queued" in {item["status"] for item in progress}
    assert {status for _, status in comfydeploy.delivered} == {200}


def test_an_end_that_the_api_does_not_show_yet_is_told_again(cloud: Cloud, comfydeploy: ComfyDeploy) -> None:
    made = tool(cloud, "comfydeploy-hiccup")
    ended = cloud.run(cloud.spell(step(made, "x [fault:hiccup]")))
    assert ended["status"] == "completed", ended
    assert [status for told, status in comfydeploy.delivered if told == "success"] == [429, 200]
    assert (comfydeploy.switches.counts["submits"], comfydeploy.switches.counts["polls"]) == (1, 2)


@pytest.mark.parametrize("fault", ["drop", "forge"])
def test_a_poll_stands_in_for_a_webhook_that_is_lost_or_forged(
    cloud: Cloud, comfydeploy: ComfyDeploy, fault: str
) -> None:
    quick = tool(cloud, f"comfydeploy-{fault}", deadlineSeconds=2)
    ended = cloud.run(cloud.spell(step(quick, f"x [fault:{fault}]")))
    assert ended["status"] == "completed", ended
    assert comfydeploy.switches.counts["submits"] == 1
    assert 200 not in {status for told, status in comfydeploy.delivered if told == "success"}


def test_a_lost_acceptance_is_made_up_for_by_the_webhook(cloud: Cloud, comfydeploy: ComfyDeploy) -> None:
    made = tool(cloud, "comfydeploy-broken")
    ended = cloud.run(cloud.spell(step(made, "x [fault:broken]")))
    assert ended["status"] == "completed", ended
    assert comfydeploy.switches.counts["submits"] == 1


def test_a_run_that_fails_says_where(cloud: Cloud, comfydeploy: ComfyDeploy) -> None:
    made = tool(cloud, "comfydeploy-fail")
    ended = cloud.run(cloud.spell(step(made, "x [fault:fail]")))
    assert ended["failure"]["code"] == "JOB_FAILED"
    assert ended["failureReason"] == "ComfyDeploy: the run failed at Executing KSampler"
    assert Decimal(ended["costUsd"]) > 0


def test_comfyui_takes_the_picture_of_the_step_before(cloud: Cloud) -> None:
    repaint = {
        "toolId": "comfyui-repaint",
        "service": "comfyui",
        "displayName": "Repaint",
        "deliveryMode": "async",
        "inputSchema": {"input_image": {"name": "input_image", "type": "image"}},
        "metadata": {
            "workflow": {
                "1": {"class_type": "LoadImage", "inputs": {"image": ""}},
                "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "repainted"}},
            },
            "workflowInputs": {"input_image": ["1", "image"]},
        },
    }
    editor = repaint | {"toolId": "editors", "metadata": {"workflow": {"nodes": [], "links": []}}}
    refused = cloud.api.post("/v1/tools", json=editor)
    assert refused.status_code == 400
    assert [detail["path"] for detail in refused.json()["error"]["details"]] == ["metadata.workflow"]
    cloud.tool(repaint)
    cloud.provider.post("/control", json={"reset": True})
    second = {
        "id": "repaint",
        "toolIdentifier": "comfyui-repaint",
        "parameterMappings": {"input_image": wire("draw", "image")},
    }
    ended = cloud.run(cloud.spell(drawn(), second))
    assert ended["status"] == "completed", ended
    before, after = (item["outputs"]["images"][0]["url"] for item in ended["generations"])
    assert before != after
    assert cloud.provider.get(before).content == cloud.provider.get(after).content
    counts = cloud.provider.get("/control/counts").json()["comfyui"]
    assert (counts["submits"], counts["uploads"]) == (2, 1)
