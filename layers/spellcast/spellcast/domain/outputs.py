"""What a step's result adds to the pipeline context, and the form that clients get (original-system.md §4.4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from spellcast.domain.documents import Document
from spellcast.domain.spells import Step

_VIDEO_SUFFIXES = (".mp4", ".webm", ".mov", ".mkv", ".avi", ".m4v")


def merge_payload(payload: Sequence[Document]) -> Document:
    """All elements of a `[{type, data}]` payload as one object: lists are joined, other values are the last one's."""
    merged: Document = {}
    for element in payload:
        data = element.get("data")
        for key, value in (data if isinstance(data, dict) else {str(element.get("type", "text")): data}).items():
            known = merged.get(key)
            merged[key] = known + value if isinstance(known, list) and isinstance(value, list) else value
    return _with_text(merged)


def map_outputs(step: Step, output: Document) -> Document:
    """What the step adds to the context: namespaced under its node, and under the names that the next step reads."""
    mapped: Document = {}
    if "images" not in step.output_mappings:
        mapped.update(_media_input("input_image", output.get("images"), lambda item: True))
    mapped.update(_media_input("input_video", output.get("files"), _is_video))
    for key, value in output.items():
        if step.node_id:
            mapped[f"{step.node_id}_{key}"] = value
        if key in step.output_mappings:
            mapped[step.output_mappings[key]] = value
        elif key.startswith("output_"):
            mapped[f"input_{key.removeprefix('output_')}"] = value
        else:
            mapped[key] = value
    return mapped


def pipeline_context(inputs: Document, finished: Iterable[tuple[Step, Sequence[Document]]]) -> Document:
    """The caster's inputs overlaid by the payloads of the finished steps, in order."""
    context = dict(inputs)
    for step, payload in finished:
        context.update(map_outputs(step, merge_payload(payload)))
    return context


def web_outputs(payload: Sequence[Document]) -> Document | list[Document]:
    """The client's form: one element as its plain data, several as they are, nothing as `{}`."""
    if len(payload) == 1 and isinstance(payload[0].get("data"), dict):
        data = payload[0]["data"]
        if payload[0].get("type") == "text" and "text" in data:
            text = data["text"]
            return {"text": text[0] if isinstance(text, list) and text else text}
        return dict(data)
    return list(payload) or {}


def _with_text(output: Document) -> Document:
    text = output.get("text")
    if text in (None, ""):
        text = _text_of(output)
    if isinstance(text, list) and len(text) <= 1:
        text = text[0] if text else None
    if text is None:
        return {key: value for key, value in output.items() if key != "text"}
    return {**output, "text": text}


def _text_of(output: Document) -> Any:
    """The text of a payload that calls it something else."""
    for key in ("result", "response"):
        if output.get(key) not in (None, ""):
            return output[key]
    choices = output.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        message = choices[0].get("message")
        return message.get("content") if isinstance(message, dict) else None
    return output["output"] if isinstance(output.get("output"), str) else None


def _media_input(name: str, items: Any, wanted: Any) -> Document:
    if isinstance(items, list):
        for item in items:
            if isinstance(item, dict) and item.get("url") and wanted(item):
                return {name: item["url"]}
    return {}


def _is_video(item: Document) -> bool:
    if any(str(item.get(key, "")).startswith("video") for key in ("mediaType", "format")):
        return True
    return str(item["url"]).split("?")[0].lower().endswith(_VIDEO_SUFFIXES)
