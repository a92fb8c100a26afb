"""What a step's tool is given: the author's mappings and overrides over the pipeline context (contract §3 rows 1–4, 6).

Lowest to highest: the tool's defaults, the caster's settings, the pipeline context, the author's defaults of exposed
inputs, mappings, overrides, for exposed inputs the caster, and what a retry sets. A field that its form does not show
(`visibleIf`) has no value.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from spellcast.domain.documents import Document, is_among, is_blank
from spellcast.domain.media import first_url
from spellcast.domain.migrations import names_now, renamed
from spellcast.domain.spells import Step
from spellcast.domain.tools import DEFAULT_VERSION, InputField, Tool

_ALIASES: dict[str, tuple[str, ...]] = {
    "image": ("input_image", "inputImage", "image_url", "imageUrl", "image", "inputImageUrl", "input_image_url"),
    "video": ("input_video", "inputVideo", "video_url", "videoUrl", "video", "inputVideoUrl", "input_video_url"),
    "text": ("input_prompt", "inputPrompt", "prompt", "text", "input_text", "inputText"),
}
_ALIASES["string"] = _ALIASES["text"]

# The names that single tools had before; they fill their field whether it is required or not.
LEGACY_NAMES = {
    "inputText": "stringA",
    "appendText": "stringB",
    "replacementText": "stringB",
    "searchText": "searchValue",
    "prompt": "input_prompt",
    "instructions": "input_instructions",
}


def caster_inputs(inputs: Document) -> Document:
    """The caster's inputs as the pipeline starts with them: `prompt` is `input_prompt` too, where that is not given."""
    if not is_blank(inputs.get("prompt")) and is_blank(inputs.get("input_prompt")):
        return {**inputs, "input_prompt": inputs["prompt"]}
    return inputs


def resolve(
    step: Step,
    tool: Tool,
    context: Document,
    inputs: Document,
    exposed: Mapping[tuple[str, str], Any],
    settings: Document | None = None,
    overrides: Document | None = None,
) -> Document:
    """The tool's inputs: never a key that its schema does not have, unless it declares no schema at all.

    `context` is the pipeline context, `inputs` what the caster sent, `exposed` the (node id, parameter) pairs that
    the caster may set, with their defaults, `settings` the caster's own defaults of the tool's inputs, `overrides` what
    the caster wants of this step when it is run again.
    """
    layers = (
        _exposed_defaults(step, exposed),
        _mapped(step, context),
        _overrides(step, context),
        _exposed_values(step, inputs, exposed),
    )
    # Each by itself: an old name in a higher layer beats a new one in a lower.
    beside = {key: value for layer in layers for key, value in layer.items()}
    given: Document = {}
    for layer in layers:
        given |= renamed(layer, step.tool_version, tool, beside)
    given |= overrides or {}
    merged = {**context, **given}
    if not tool.inputs:
        return merged
    # What a wire led to is kept, even where it is empty: an alias would put another step's value in its place.
    own = settings or {}
    found = {
        key: given[key] if key in given else _filled(field, merged, tool, own) for key, field in tool.inputs.items()
    }
    resolved = {
        key: _as_address(value, tool.inputs[key].type) if tool.inputs[key].is_media else value
        for key, value in found.items()
    }
    return {key: value for key, value in resolved.items() if value is not None and is_visible(key, tool, resolved)}


def missing_inputs(tool: Tool, resolved: Document) -> list[str]:
    """The required inputs that have no value; what the form does not show is not asked for."""
    return [
        key
        for key, field in tool.inputs.items()
        if field.required and is_blank(resolved.get(key)) and is_visible(key, tool, resolved)
    ]


def is_visible(key: str, tool: Tool, values: Document) -> bool:
    """Whether the tool's form shows the field at these values; a field that depends on a hidden one is hidden too."""
    followed: set[str] = set()
    while (rule := tool.inputs[key].visible_if) is not None:
        if not is_among(values.get(rule.field), rule.values):
            return False
        followed.add(key)
        key = rule.field
        if key not in tool.inputs or key in followed:
            break
    return True


def takes(tool: Tool, parameter: str, step_version: str = DEFAULT_VERSION) -> bool:
    """Whether a value that a step of this version gives under this name can reach the tool."""
    known = {*tool.inputs, *(LEGACY_NAMES.get(key) for key in tool.inputs)}
    return not tool.inputs or not known.isdisjoint(names_now(parameter, step_version, tool))


def wired_value(mapping: Document, parameter: str, context: Document) -> Any:
    """What a `nodeOutput` leads to: the wired node's own output wherever it is present, and only then a bare key.

    A key that names a type (`image`, `text`, `output`) takes the node's output of that type.
    """
    node, output_key = mapping.get("nodeId"), str(mapping.get("outputKey"))
    own = context.get(f"{node}_{output_key}")
    if own is not None:
        return own
    for key, kind in _TYPED_OUTPUTS.get(output_key, ()):
        value = context.get(f"{node}_{key}")
        value = value if kind is None else first_url(value, kind)
        if value is not None:
            return value
    bare = context.get(output_key)
    return context.get(str(mapping.get("paramKey") or parameter)) if bare is None else bare


def _mapped(step: Step, context: Document) -> Document:
    mapped: Document = {}
    for parameter, mapping in step.parameter_mappings.items():
        if not isinstance(mapping, dict):
            continue
        if mapping.get("type") == "static":
            value = None if is_blank(mapping.get("value")) else mapping["value"]
        elif mapping.get("type") == "nodeOutput":
            value = wired_value(mapping, parameter, context)
        else:
            continue
        if value is not None:
            mapped[parameter] = value
    return mapped


def _overrides(step: Step, context: Document) -> Document:
    resolved: Document = {}
    for parameter, value in step.parameter_overrides.items():
        if isinstance(value, dict) and value.get("type") == "nodeOutput":
            value = wired_value(value, parameter, context)
        elif is_blank(value):
            value = None
        if value is not None:
            resolved[parameter] = value
    return resolved


def _exposed_defaults(step: Step, exposed: Mapping[tuple[str, str], Any]) -> Document:
    return {
        parameter: default
        for (node_id, parameter), default in exposed.items()
        if node_id == step.step_id and not is_blank(default)
    }


def _exposed_values(step: Step, inputs: Document, exposed: Collection[tuple[str, str]]) -> Document:
    values: Document = {}
    for node_id, parameter in exposed:
        if node_id == step.step_id:
            for key in (f"{node_id}_{parameter}", parameter):
                if not is_blank(inputs.get(key)):
                    values[parameter] = inputs[key]
                    break
    return values


def _filled(field: InputField, merged: Document, tool: Tool, settings: Document) -> Any:
    value = merged.get(field.key)
    if is_blank(value):
        value = _alias_value(field, merged, tool)
    if value is None:
        value = settings.get(field.key)
    return field.default if is_blank(value) else value


def _alias_value(field: InputField, merged: Document, tool: Tool) -> Any:
    legacy = LEGACY_NAMES.get(field.key)
    if legacy and not is_blank(merged.get(legacy)):
        return merged[legacy]
    if field.has_default or not (field.required or field.key == tool.primary_input):
        return None
    for alias in (*_ALIASES.get(field.type, ()), *_case_forms(field.key)):
        if alias != field.key and not is_blank(merged.get(alias)):
            return merged[alias]
    return None


def _case_forms(key: str) -> tuple[str, ...]:
    """`inputImage` for `input_image`, and `image_size` with `input_image_size` for `imageSize`."""
    if "_" in key:
        camel = re.sub(r"_+([a-zA-Z0-9])", lambda match: match[1].upper(), key)
        return camel, f"input{camel[:1].upper()}{camel[1:]}"
    snake = re.sub(r"(?<!^)([A-Z])", lambda match: f"_{match[1].lower()}", key)
    return snake, f"input_{snake}"


# Where a key that names a type looks among the node's outputs, and which kind of media it takes there.
_TYPED_OUTPUTS: dict[str, tuple[tuple[str, str | None], ...]] = {
    "image": (("images", "image"),),
    "video": (("files", "video"),),
    "audio": (("files", "audio"),),
    "file": (("files", "file"),),
    "output": (("images", "image"), ("files", "file"), ("text", None), ("result", None)),
}


def _as_address(value: Any, kind: str) -> Any:
    """A field of a picture or a file takes one address, also where its wire leads to a list of them, or to an item."""
    if isinstance(value, str):
        return value
    found = first_url(value if isinstance(value, list) else [value], kind)
    return value if found is None else found
