"""The demo of `make run`: one spell of an immediate tool, a polled job and a webhook job, watched live."""

from __future__ import annotations

import json
import math
import os
import struct
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import connect

SPELL = {
    "name": "A painted cat",
    "description": "Words, a picture of them, and the picture enlarged.",
    "steps": [
        {
            "id": "words",
            "toolIdentifier": "expression",
            "parameterMappings": {
                "expression": {
                    "type": "static",
                    "value": "$uppercase($substring(input, 0, 1)) & $substring(input, 1)\ninput & ', oil on canvas'",
                },
            },
        },
        {
            "id": "draw",
            "toolIdentifier": "comfyui-text-to-image",
            "parameterMappings": {"input_prompt": {"type": "nodeOutput", "nodeId": "words", "outputKey": "text"}},
        },
        {
            "id": "enlarge",
            "toolIdentifier": "replicate-clarity-upscaler",
            "parameterMappings": {"image": {"type": "nodeOutput", "nodeId": "draw", "outputKey": "image"}},
        },
    ],
    "exposedInputs": [{"nodeId": "words", "paramKey": "input"}],
}
INPUTS = {"input": "a cat who reads the newspaper"}

# The longest silence after which the demo gives up, in seconds.
PATIENCE = 60.0
_BAR = 44


def run(outputs: Mapping[str, str], directory: Path) -> int:
    """Casts the demo spell and shows what happens; 0 where it completed. Pictures are kept in `directory`."""
    with httpx.Client(base_url=outputs["httpUrl"], headers={"X-API-Key": outputs["apiKey"]}, timeout=30) as api:
        spell = _post(api, "/v1/spells", SPELL)
        ticket = _post(api, "/v1/realtime/ticket", {})
        with connect(ticket["url"]) as socket:
            _say(f"Casting “{spell['name']}” ({spell['slug']}): {', '.join(_step_names(spell))}\n")
            cast = _post(api, "/v1/casts", {"spell": spell["spellId"], "inputs": INPUTS})
            try:
                for line in _live(iter(lambda: json.loads(socket.recv(PATIENCE)), None), cast):
                    _say(line)
            except TimeoutError:
                _say(f"Nothing was heard of the cast for {PATIENCE:.0f} s; this is how it stands:")
        finished = api.get(f"/v1/casts/{cast['castId']}").raise_for_status().json()
        _show(finished, _keep_pictures(api, finished, directory))
    return 0 if finished["status"] == "completed" else 1


def _post(api: httpx.Client, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    answer = api.post(path, json=body)
    if not answer.is_success:
        raise SystemExit(f"{path} answered {answer.status_code}: {answer.text}")
    document: dict[str, Any] = answer.json()
    return document


def _live(messages: Iterator[dict[str, Any]], cast: Mapping[str, Any]) -> Iterator[str]:
    """A line for every message of the cast, until the cast has ended. A revision that was seen is not shown again."""
    seen: set[tuple[str, int]] = set()
    started = datetime.fromisoformat(cast["startedAt"])
    for message in messages:
        kind, payload = message["type"], message["payload"]
        if payload.get("castId") != cast["castId"]:
            continue
        at = (datetime.fromisoformat(message["at"]) - started).total_seconds()
        subject = payload.get("generationId", payload["castId"])
        if kind != "generationProgress" and (subject + kind, payload["revision"]) in seen:
            continue
        seen.add((subject + kind, payload["revision"]))
        yield f"{max(at, 0):7.2f} s  {kind:<19}{_told(kind, payload)}"
        if kind == "castUpdate" and payload["status"] != "running":
            return


def _told(kind: str, payload: Mapping[str, Any]) -> str:
    step = f"step {payload['stepIndex'] + 1}  " if "stepIndex" in payload else ""
    match kind:
        case "generationProgress":
            return f"{step}{progress_label(payload)}"
        case "tool-response":
            return json.dumps(payload["output"], ensure_ascii=False)
        case "castUpdate":
            return f"the cast is {payload['status']}"
        case _:
            error = f": {payload['error']}" if payload.get("error") else ""
            return f"{step}{payload['toolId']} is {payload['status']}{error}"


def progress_label(payload: Mapping[str, Any]) -> str:
    """What a client shows of a `generationProgress`: `Sampling… 47%`, and without a percentage where there is none."""
    state = payload.get("liveStatus") or ("Queued…" if payload.get("status") == "queued" else "Running…")
    progress = payload.get("progress")
    return state if progress is None else f"{state} {math.floor(progress * 100 + 0.5)}%"


def _show(cast: Mapping[str, Any], pictures: Mapping[str, str]) -> None:
    """Timeline, outputs and cost."""
    started, ended = (datetime.fromisoformat(cast[key]) for key in ("startedAt", "updatedAt"))
    whole = max((ended - started).total_seconds(), 0.001)
    _say(f"\nTimeline ({whole:.2f} s)")
    for generation in cast["generations"]:
        begin, end = (
            (datetime.fromisoformat(generation.get(key) or cast["updatedAt"]) - started).total_seconds()
            for key in ("requestTimestamp", "responseTimestamp")
        )
        left = round(begin / whole * _BAR)
        width = max(1, round(end / whole * _BAR) - left)
        bar = " " * left + "█" * width + " " * (_BAR - left - width)
        _say(f"  {generation['toolDisplayName']:<24}|{bar}| {end - begin:6.2f} s  {generation['status']}")
    _say("\nOutputs")
    for generation in cast["generations"]:
        made = generation["outputs"]
        shown = pictures.get(generation["generationId"]) or (made.get("text", "–") if isinstance(made, dict) else made)
        _say(f"  {generation['toolDisplayName']:<24} {shown}")
    _say("\nCost")
    for generation in cast["generations"]:
        _say(f"  {generation['toolDisplayName']:<24} ${generation['costUsd']}")
    _say(f"  {'Total':<24} ${cast['costUsd']}")
    if "failure" in cast:
        _say(f"\nThe cast failed in step {cast['failure'].get('stepIndex', 0) + 1}: {cast['failure']['message']}")


def _keep_pictures(api: httpx.Client, cast: Mapping[str, Any], directory: Path) -> dict[str, str]:
    """What is shown for each generation that made a picture: its file and its size."""
    shown = {}
    for generation in cast["generations"]:
        images = generation["outputs"].get("images") if isinstance(generation["outputs"], dict) else None
        if images:
            content = httpx.get(images[0]["url"], timeout=30).raise_for_status().content
            directory.mkdir(parents=True, exist_ok=True)
            file = directory / f"{generation['stepIndex'] + 1}-{generation['stepId']}.png"
            file.write_bytes(content)
            # A PNG's header holds width and height after its signature and the chunk's head.
            width, height = struct.unpack(">II", content[16:24])
            shown[generation["generationId"]] = f"{os.path.relpath(file)} ({width} × {height} PNG)"
    return shown


def _step_names(spell: Mapping[str, Any]) -> list[str]:
    return [step["toolIdentifier"] for step in spell["steps"]]


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
