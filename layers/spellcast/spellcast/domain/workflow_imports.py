"""What a ComfyUI workflow says of the tool that it would make: its inputs, where their values stand, what comes out.

A node whose title is `input_<name>` is an input by its author's will; the rest is found by what nodes are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault, InvalidInput
from spellcast.domain.tool_definitions import EDITOR_FORMAT, is_editor_workflow

SEED_KEY, PROMPT_KEY, NEGATIVE_KEY = "input_seed", "input_prompt", "input_negative"
MAX_KEY_CHARACTERS = 100

# Values may be wired from a node that holds nothing else; longer ways are not followed.
_MAX_HOPS = 8
_TITLE = re.compile(r"input[\s_:-]+(.*)", re.IGNORECASE | re.DOTALL)
_EMPTY_CANVAS = re.compile(r"Empty.*(Latent|Image)")
_TEXT_FIELDS = ("text", "prompt", "text_g", "text_l", "clip_l", "t5xxl")
_SEED_FIELDS = ("seed", "noise_seed")
_SIZE_FIELDS = ("width", "height", "length")
_WHOLE_FIELDS = frozenset({*_SEED_FIELDS, *_SIZE_FIELDS, "steps", "batch_size"})
# Where a node that is there for one value has it, and what other nodes are about.
_VALUE_FIELDS = ("text", "value", "string", "prompt")
_MAIN_FIELDS = (*_VALUE_FIELDS, "image", "video", "audio", "file")
_LOADERS = {
    re.compile(r".*LoadImage.*"): ("image", ("image",)),
    re.compile(r".*LoadVideo.*"): ("video", ("video", "file")),
    re.compile(r".*LoadAudio.*"): ("audio", ("audio",)),
}
_SAVERS = {
    re.compile(r"(.*Save.*(Video|WEBM)|VHS_VideoCombine).*"): "video",
    re.compile(r".*Save.*Audio.*"): "audio",
    re.compile(r".*Save(Animated|Image).*|.*Image.*Save.*"): "image",
    re.compile(r"(ShowText|Show Text|PreviewAny|PreviewText|SaveText).*"): "text",
}
_OUTPUTS = {
    "image": ("images", "image"),
    "video": ("files", "video"),
    "audio": ("files", "audio"),
    "text": ("text", "string"),
}
_ORDER = ("prompt", "negative", "image", "video", "audio", "width", "height", "length", "steps", "seed")

Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Node:
    id: str
    class_type: str
    title: str
    inputs: Document

    def links(self, *fields: str) -> list[str]:
        """The nodes that feed these fields, or all of them."""
        return [link for field in fields or self.inputs if (link := _link(self.inputs.get(field)))]

    def literals(self) -> list[str]:
        """The fields whose values stand in the node itself."""
        return [field for field, value in self.inputs.items() if isinstance(value, str | int | float)]

    def __str__(self) -> str:
        return f"{self.title or self.class_type}, node {self.id}"


def import_workflow(workflow: object) -> Document:
    """The parts of a definition that the workflow decides. Raises InvalidInput with every fault, by node."""
    nodes = _read(workflow)
    found = _Found()
    _add_titled(nodes, found)
    _add_prompts(nodes, found)
    _add_media(nodes, found)
    for fields, key in (
        (("width",), ""),
        (("height",), ""),
        (("length",), ""),
        (("steps",), ""),
        (_SEED_FIELDS, SEED_KEY),
    ):
        _add_numbers(nodes, found, fields, key)
    if found.faults:
        raise InvalidInput(found.faults)
    return _definition(workflow, nodes, found)


class _Found:
    """The inputs so far, in order, and the places that are taken."""

    def __init__(self) -> None:
        self.fields: dict[str, Document] = {}
        self.places: dict[str, list[Place]] = {}
        self.faults: list[Fault] = []

    def add(self, key: str, places: list[Place], field: Document, *, is_shared: bool = False) -> None:
        """Under the next free name, unless nodes of this name share one value."""
        taken = {place for pairs in self.places.values() for place in pairs}
        fresh = [place for place in dict.fromkeys(places) if place not in taken]
        if not fresh:
            return
        if not is_shared:
            number, name = 1, key
            while key in self.fields:
                number += 1
                key = f"{name}_{number}"
        self.fields.setdefault(key, {"name": key, **field})
        self.places.setdefault(key, []).extend(fresh)


def _read(workflow: object) -> dict[str, _Node]:
    if not isinstance(workflow, dict) or not workflow:
        raise InvalidInput([Fault("workflow", "has no nodes")])
    if is_editor_workflow(workflow):
        raise InvalidInput([Fault("workflow", EDITOR_FORMAT)])
    faults: list[Fault] = []
    nodes: dict[str, _Node] = {}
    for node_id, document in sorted(workflow.items(), key=lambda pair: _order(pair[0])):
        path = f"workflow.{node_id}"
        if not isinstance(document, dict):
            faults.append(Fault(path, "is no node: an object with class_type and inputs"))
            continue
        class_type, inputs, meta = document.get("class_type"), document.get("inputs", {}), document.get("_meta")
        if not isinstance(class_type, str) or not class_type:
            faults.append(Fault(f"{path}.class_type", "is missing"))
        if not isinstance(inputs, dict):
            faults.append(Fault(f"{path}.inputs", "is not an object"))
            continue
        for field, value in inputs.items():
            if (link := _link(value)) and link not in workflow:
                faults.append(Fault(f"{path}.inputs.{field}", f"leads to node {link}, which there is not"))
        title = meta.get("title") if isinstance(meta, dict) else None
        nodes[node_id] = _Node(node_id, str(class_type), title if isinstance(title, str) else "", inputs)
    if faults:
        raise InvalidInput(faults)
    return nodes


def _order(node_id: str) -> tuple[int, str]:
    # Nodes of a subgraph are called `12:3`.
    number = node_id.partition(":")[0]
    return (int(number) if number.isdecimal() and len(number) < 10 else 10**9, node_id)


def _link(value: object) -> str | None:
    """The node of `[nodeId, output]`."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int):
        return value[0]
    return None


def _add_titled(nodes: Mapping[str, _Node], found: _Found) -> None:
    for node in nodes.values():
        title = _TITLE.fullmatch(node.title.strip())
        name = re.sub(r"[^a-z0-9]+", "_", title[1].lower()).strip("_") if title else ""
        if not name:
            continue
        path = f"workflow.{node.id}._meta.title"
        literals = node.literals()
        field = next((field for field in (name, *_MAIN_FIELDS) if field in literals), None)
        if field is None and len(literals) == 1:
            field = literals[0]
        if field is None:
            several = f"; name the input after one of {', '.join(literals)}" if literals else ""
            found.faults.append(
                Fault(path, f"says that the node is an input, but it does not say which value{several}")
            )
        elif len(name) > MAX_KEY_CHARACTERS:
            found.faults.append(Fault(path, f"is longer than {MAX_KEY_CHARACTERS} characters"))
        else:
            key = f"input_{name}"
            found.add(key, [(node.id, field)], _field_of(key, node, field), is_shared=True)


def _field_of(key: str, node: _Node, field: str) -> Document:
    value = node.inputs[field]
    kind = _media_kind(node, field)
    if kind:
        return _described(node, field, kind, required=True)
    if isinstance(value, str):
        # The template's prompt is an example of its author's.
        return _described(node, field, "string", required=key == PROMPT_KEY, default=value)
    if isinstance(value, bool):
        return _described(node, field, "boolean", default=value)
    is_whole = isinstance(value, int) and (field in _WHOLE_FIELDS or key.removeprefix("input_") in _WHOLE_FIELDS)
    # A seed that nobody chooses is drawn anew.
    default = None if key == SEED_KEY else value
    return _described(node, field, "integer" if is_whole else "number", default=default)


def _described(node: _Node, field: str, kind: str, *, required: bool = False, default: Any = None) -> Document:
    document: Document = {"type": kind, "required": required, "description": f"{field} of {node}"[:500]}
    return document if required or default in (None, "") else {**document, "default": default}


def _add_prompts(nodes: Mapping[str, _Node], found: _Found) -> None:
    sides = {
        side: {
            text for node in nodes.values() for link in node.links(side) for text in _texts_behind(nodes, link, side)
        }
        for side in ("positive", "negative")
    }
    for node in nodes.values():
        if not _is_text(node):
            continue
        is_negative = node.id in sides["negative"]
        if not is_negative and node.id not in sides["positive"]:
            is_negative = "negative" in node.title.lower()
        key = NEGATIVE_KEY if is_negative and node.id not in sides["positive"] else PROMPT_KEY
        places = [place for field in _TEXT_FIELDS if (place := _place(nodes, node, field, str))]
        if places:
            holder, field = nodes[places[0][0]], places[0][1]
            # Whoever casts gives one prompt; what the author wrote elsewhere stands until it is changed.
            found.add(key, places, _field_of("" if key in found.fields else key, holder, field))


def _is_text(node: _Node) -> bool:
    return "TextEncode" in node.class_type


def _texts_behind(nodes: Mapping[str, _Node], start: str, side: str) -> Iterator[str]:
    """The texts that reach a sampler on this side; what has both sides itself hands each on."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        node = nodes[waiting.pop()]
        if node.id in seen:
            continue
        seen.add(node.id)
        if _is_text(node):
            yield node.id
            continue
        conditionings = [field for field in node.inputs if field.startswith("conditioning")]
        waiting += node.links(side) if side in node.inputs else node.links(*conditionings)


def _place(nodes: Mapping[str, _Node], node: _Node, field: str, kind: type) -> Place | None:
    """Where the value of a field stands: in the node, or in the one that it is wired from."""
    for _ in range(_MAX_HOPS):
        value = node.inputs.get(field)
        if isinstance(value, kind) and not isinstance(value, bool):
            return node.id, field
        link = _link(value)
        if link is None:
            return None
        node = nodes[link]
        field = next((name for name in (field, *_VALUE_FIELDS) if name in node.inputs), "")
    return None


def _media_kind(node: _Node, field: str) -> str | None:
    for pattern, (kind, fields) in _LOADERS.items():
        if pattern.fullmatch(node.class_type) and field in fields:
            return kind
    return None


def _add_media(nodes: Mapping[str, _Node], found: _Found) -> None:
    for node in nodes.values():
        for field in node.literals():
            if kind := _media_kind(node, field):
                found.add(f"input_{kind}", [(node.id, field)], _described(node, field, kind, required=True))


def _add_numbers(nodes: Mapping[str, _Node], found: _Found, fields: tuple[str, ...], shared_key: str) -> None:
    for node in nodes.values():
        if fields[0] in _SIZE_FIELDS and not _EMPTY_CANVAS.match(node.class_type):
            continue
        for field in fields:
            if place := _place(nodes, node, field, int):
                key = shared_key or f"input_{field}"
                document = {**_field_of(key, nodes[place[0]], place[1]), "type": "integer"}
                found.add(key, [place], document, is_shared=bool(shared_key))


def _definition(workflow: object, nodes: Mapping[str, _Node], found: _Found) -> Document:
    keys = sorted(found.fields, key=_rank)
    schema = {
        key: {
            **found.fields[key],
            "order": number,
            **({"advanced": True} if _base(key) in ("steps", "seed") else {}),
        }
        for number, key in enumerate(keys)
    }
    made = [kind for node in nodes.values() for pattern, kind in _SAVERS.items() if pattern.fullmatch(node.class_type)]
    kinds = list(dict.fromkeys(made))
    given = next((field["type"] for field in schema.values() if field["type"] in ("image", "video", "audio")), "text")
    metadata: Document = {"provider": "ComfyUI", "inputType": given}
    if SEED_KEY in schema:
        metadata["seedInputKey"] = SEED_KEY
    places = {key: [list(place) for place in found.places[key]] for key in keys}
    metadata["workflowInputs"] = {key: pairs[0] if len(pairs) == 1 else pairs for key, pairs in places.items()}
    definition: Document = {"inputSchema": schema, "metadata": {**metadata, "workflow": workflow}}
    if kinds:
        definition["metadata"]["outputType"] = kinds[0]
        definition["category"] = f"{given}-to-{kinds[0]}"
        definition["outputSchema"] = {
            _OUTPUTS[kind][0]: {"name": _OUTPUTS[kind][0], "type": _OUTPUTS[kind][1]} for kind in reversed(kinds)
        }
    primary = next((key for key in (PROMPT_KEY, "input_image", "input_video", "input_audio") if key in schema), None)
    if primary:
        definition["platformHints"] = {"primaryInput": primary}
    return definition


def _base(key: str) -> str:
    return re.sub(r"_\d+$", "", key.removeprefix("input_"))


def _rank(key: str) -> int:
    base = _base(key)
    return _ORDER.index(base) if base in _ORDER else 4
