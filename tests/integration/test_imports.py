"""A workflow becomes a tool, and the tool a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from tests.cloud import Cloud

SAMPLES = Path(__file__).parents[1] / "fixtures" / "imports"


def sample(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text("utf-8"))
    return document


def test_an_imported_workflow_is_cast(cloud: Cloud) -> None:
    order = {"kind": "comfyui", "workflow": sample("comfyui_text_to_image"), "displayName": "Lighthouse"}
    answer = cloud.api.post("/v1/tools/import", json=order)
    assert answer.status_code == 201, answer.text
    tool = answer.json()
    assert cloud.api.get("/v1/tools/Lighthouse").json() == tool

    spell = cloud.spell({"id": "draw", "toolIdentifier": "Lighthouse"})
    assert spell["warnings"] == [], "the caster's prompt fills the input"
    ended = cloud.run(spell, {"prompt": "a lighthouse in snow"})
    assert ended["status"] == "completed", ended.get("failure")
    [drawn] = ended["generations"]
    assert drawn["toolId"] == tool["toolId"]
    assert drawn["requestPayload"]["input_prompt"] == "a lighthouse in snow"
    assert drawn["requestPayload"]["input_width"] == 384
    picture = httpx.get(drawn["outputs"]["images"][0]["url"]).content
    width, height = (int.from_bytes(picture[start : start + 4]) for start in (16, 20))
    assert (picture[:4], width, height) == (b"\x89PNG", 384, 256)
    assert cloud.api.post("/v1/tools/import", json=order).status_code == 409


def test_a_workflow_of_the_editor_is_refused_with_advice(cloud: Cloud) -> None:
    answer = cloud.api.post("/v1/tools/import", json={"kind": "comfyui", "workflow": sample("comfyui_editor")})
    assert answer.status_code == 400
    [fault] = answer.json()["error"]["details"]
    assert fault["path"] == "workflow" and "Export (API)" in fault["message"]
