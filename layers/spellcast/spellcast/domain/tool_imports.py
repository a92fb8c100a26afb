"""Turns what a provider describes a model by into a tool's definition, whole and without asking anybody."""

from __future__ import annotations

import hashlib
import re

from spellcast.domain.documents import Document, canonical
from spellcast.domain.errors import Fault, InvalidInput
from spellcast.domain.openapi_imports import OpenApi, inputs_of, outputs_of, primary_input
from spellcast.domain.tool_definitions import MAX_INPUTS
from spellcast.domain.workflow_imports import import_workflow

# The default of the catalog's ComfyUI tool: US dollars per second of the usual machine.
COMFYUI_COSTING: Document = {"rateSource": "machine", "rate": "0.000337", "unit": "second"}
DEADLINE_SECONDS = 900

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_REPLICATE_MODEL = re.compile(rf"({_PART})/({_PART})(?::([0-9a-f]{{64}}))?")
_FAL_ENDPOINT = re.compile(rf"{_PART}(?:/{_PART})+")
_SOURCES = {"comfyui": ("workflow",), "replicate": ("model", "openapi"), "fal": ("endpoint", "openapi")}


def import_tool(order: Document) -> Document:
    """The definition that `{kind, …}` asks for, with the caller's `toolId`, `displayName` and `costingModel` if given.

    Raises InvalidInput with every fault and its path in the order.
    """
    kind = order["kind"]
    needed = _SOURCES[kind]
    known = {key for keys in _SOURCES.values() for key in keys}
    faults = [Fault(key, f"is required for the kind {kind}") for key in needed if order.get(key) is None]
    faults += [
        Fault(key, f"is not for the kind {kind}") for key in sorted(known - {*needed}) if order.get(key) is not None
    ]
    if faults:
        raise InvalidInput(faults)
    definition = {"comfyui": _from_comfyui, "replicate": _from_replicate, "fal": _from_fal}[kind](order)
    if (number := len(definition["inputSchema"])) > MAX_INPUTS:
        raise InvalidInput([Fault(needed[-1], f"makes {number} inputs; a tool has at most {MAX_INPUTS}")])
    own = {key: order[key] for key in ("toolId", "displayName", "costingModel") if order.get(key) is not None}
    return {**definition, **own}


def _from_comfyui(order: Document) -> Document:
    workflow = order["workflow"]
    found = import_workflow(workflow)
    digest = hashlib.sha256(canonical(workflow).encode()).hexdigest()[:12]
    return {
        **_frame(f"comfy-{digest}", order.get("toolId") or f"ComfyUI workflow {digest}", "comfyui", "async"),
        "description": "An imported ComfyUI workflow.",
        "costingModel": COMFYUI_COSTING,
        **found,
    }


def _from_replicate(order: Document) -> Document:
    match = _REPLICATE_MODEL.fullmatch(order["model"])
    if match is None:
        raise InvalidInput(
            [Fault("model", "is no model: owner/name, or owner/name:version with the version's 64 digits")]
        )
    api = OpenApi(order["openapi"])
    name = f"{match[1]}/{match[2]}"
    path = "openapi.components.schemas.Input"
    inputs = inputs_of(api, api.resolved(api.at("components", "schemas", "Input")), path)
    output = api.resolved(api.at("components", "schemas", "Output"))
    metadata = {"provider": "Replicate", "model": name, **({"version": match[3]} if match[3] else {})}
    return {
        **_frame(f"replicate-{_slug(name)}", name, "replicate", "webhook"),
        "description": f"The model {name} at Replicate.",
        **_described(api, inputs, output, metadata),
    }


def _from_fal(order: Document) -> Document:
    endpoint = order["endpoint"]
    if not _FAL_ENDPOINT.fullmatch(endpoint):
        raise InvalidInput([Fault("endpoint", "is no endpoint of fal's: owner/app, or owner/app/path")])
    api = OpenApi(order["openapi"])
    paths = api.at("paths")
    posts = [path for path in paths if api.at("paths", path, "post")]
    path = f"/{endpoint}" if f"/{endpoint}" in posts else posts[0] if len(posts) == 1 else None
    if path is None:
        raise InvalidInput([Fault("openapi.paths", f"has no POST of /{endpoint}")])
    at = f"openapi.paths.{path}.post.requestBody"
    body = api.at("paths", path, "post", "requestBody", "content", "application/json", "schema")
    inputs = inputs_of(api, api.resolved(body), at)
    result = api.at(
        "paths", f"{path}/requests/{{request_id}}", "get", "responses", "200", "content", "application/json"
    )
    metadata = {"provider": "fal", "model": endpoint}
    return {
        **_frame(f"fal-{_slug(endpoint.removeprefix('fal-ai/'))}", endpoint, "fal", "webhook"),
        "description": f"The endpoint {endpoint} at fal.",
        **_described(api, inputs, api.resolved(result.get("schema")), metadata),
    }


def _frame(tool_id: str, display_name: str, service: str, delivery_mode: str) -> Document:
    return {
        "toolId": tool_id[:100],
        "service": service,
        "displayName": display_name[:200],
        "version": "1.0.0",
        "deliveryMode": delivery_mode,
        "deadlineSeconds": DEADLINE_SECONDS,
    }


def _described(api: OpenApi, inputs: dict[str, Document], output: Document, metadata: Document) -> Document:
    outputs, kind = outputs_of(api, output)
    definition: Document = {"inputSchema": inputs}
    if outputs:
        definition["outputSchema"] = outputs
    if primary := primary_input(inputs):
        definition["platformHints"] = {"primaryInput": primary}
    if inputs.get("seed", {}).get("type") == "integer":
        metadata = {**metadata, "seedInputKey": "seed"}
    return {**definition, "metadata": {**metadata, **({"outputType": kind} if kind else {})}}


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)
