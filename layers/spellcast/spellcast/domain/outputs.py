"""What a step's result adds to the pipeline context (original-system.md §4.4, §4.5), and what clients get of it (§5.2).

All of it reads payloads as `payloads.normalise` leaves them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from spellcast.domain.documents import Document
from spellcast.domain.media import kind_of, url_of
from spellcast.domain.spells import Step


def merge_payload(payload: Sequence[Document]) -> Document:
    """All elements as one object: lists are joined and texts make a list, other values are the last one's."""
    merged: Document = {}
    for element in payload:
        data = element["data"]
        for key, value in (data if isinstance(data, dict) else {"result": data}).items():
            # What is no list of items says nothing of them, and must not take their place.
            if key not in ("images", "files") or isinstance(value, list):
                merged[key] = _both(key, merged[key], value) if key in merged else value
    text = merged.get("text")
    if isinstance(text, list) and len(text) <= 1:
        merged["text"] = text[0] if text else None
    return {key: value for key, value in merged.items() if key != "text" or value is not None}


def map_outputs(step: Step, payload: Sequence[Document]) -> Document:
    """What the step adds to the context: namespaced under its node, and under the names that the next step reads."""
    output = merge_payload(payload)
    mapped: Document = {}
    if not step.output_mappings.get("images"):
        mapped.update(_named("input_image", _first_image(output.get("images"))))
    if not step.output_mappings.get("files"):
        mapped.update(_named("input_video", _first_video(payload)))
    for key, value in output.items():
        if step.node_id:
            mapped[f"{step.node_id}_{key}"] = value
        if step.output_mappings.get(key):
            mapped[step.output_mappings[key]] = value
        elif key.startswith("output_"):
            mapped[f"input_{key.removeprefix('output_')}"] = value
        elif not mapped.get(key):
            mapped[key] = value
    return mapped


def pipeline_context(inputs: Document, finished: Iterable[tuple[Step, Sequence[Document]]]) -> Document:
    """The caster's inputs overlaid by the payloads of the finished steps, in order."""
    context = dict(inputs)
    for step, payload in finished:
        context.update(merge_payload(payload))
        context.update(map_outputs(step, payload))
    return context


def web_outputs(payload: Sequence[Document]) -> Document | list[Document]:
    """The client's form: one text, one set of images or files; several elements, or an unknown one, as they are."""
    if not payload:
        return {}
    element = payload[0]
    if len(payload) > 1 or element["type"] == "unknown":
        return list(payload)
    data = element["data"]
    if element["type"] == "text":
        text = data.get("text")
        first = (text or [None])[0] if isinstance(text, list) else text
        return {} if first is None else {"text": first}
    key = "images" if element["type"] == "image" else "files"
    return {key: data[key]} if data[key] else {}


def raw_answer(payload: Sequence[Document]) -> Any:
    """A tool's answer as `tool-response` tells it: a text as itself, anything else in the client's form."""
    if len(payload) == 1 and payload[0]["type"] == "text":
        return merge_payload(payload).get("text", {})
    return web_outputs(payload)


def _both(key: str, known: Any, value: Any) -> Any:
    if isinstance(known, list) and isinstance(value, list):
        return known + value
    if key == "text" and known not in ("", []) and value not in ("", []):
        return [*_listed(known), *_listed(value)]
    return known if value in ("", []) else value


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _first_image(images: Any) -> str | None:
    """The first picture's address; the next step's picture is never another one because the first has none."""
    return url_of(images[0]) if images and isinstance(images[0], dict) else None


def _first_video(payload: Sequence[Document]) -> str | None:
    for element in payload:
        data = element["data"]
        items = data.get("files") if isinstance(data, dict) else None
        for item in items if isinstance(items, list) else []:
            known = kind_of(item) or element["type"]
            if known == "video" and (url := url_of(item)):
                return url
    return None


def _named(name: str, value: str | None) -> Document:
    return {} if value is None else {name: value}
