"""The one form of an output, `[{type, data}]`, from every form in which one is handed over (original-system.md §5.6).

An image has `data.images`, a video, audio or file `data.files`, a text `data.text`; what else the object held stays
beside these in `data`. What is none of them is `unknown`, with its data as it came.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import chain, groupby
from typing import Any

from spellcast.domain.documents import Document, to_text
from spellcast.domain.media import is_address, kind_of, url_of

Payload = tuple[Document, ...]

# Of outputs in outputs; whoever nests deeper gets an `unknown`.
MAX_NESTING = 16

_KINDS = frozenset({"text", "image", "video", "audio", "file", "unknown"})
_KIND_NAMES = {"files": "file", "sound": "audio"}
_MEDIA_KINDS = frozenset({"image", "video", "audio", "file"})
# What is under a key where neither format nor name says it. The lists come first: the single ones may repeat them.
_LISTS = {"images": "image", "files": "file", "gifs": "image", "videos": "video", "artifactUrls": "image"}
_SINGLES = {
    "imageUrl": "image",
    "image": "image",
    "videoUrl": "video",
    "video": "video",
    "audioUrl": "audio",
    "audio": "audio",
}
_MEDIA = {**_LISTS, **_SINGLES}
_TEXTS = ("text", "result", "response", "choices", "output", "description")
# What stands beside these is the envelope of a provider's answer.
_ENVELOPES = ("data", "outputs")
_PLACES = {"image": "images", "video": "files", "audio": "files", "file": "files", "text": "text"}
_NOTHING: tuple[Any, ...] = (None, "", [])
_NODE_ID = re.compile(r"\d+(:\d+)*")


class _TooDeep(Exception):
    pass


def normalise(raw: Any, kind: str | None = None) -> Payload:
    """The elements of any JSON, in order; `kind` is what its sender calls it. Normalising them again changes nothing.

    A string is text unless its key or its kind says otherwise: the result of an expression may well be an address.
    """
    hint = _kind_named(kind)
    if isinstance(raw, list | tuple):
        return _read_list(list(raw), hint, lambda item: _read_item(item, hint))
    return _read_item(raw, hint)


def _read_item(item: Any, hint: str | None) -> Payload:
    if isinstance(item, dict) and item.keys() == {"type", "data"}:
        # An element as we write them: its data lie no deeper than what they were made of.
        hint, item = _kind_named(item["type"]) or hint, item["data"]
    try:
        return _read(item, hint, 0)
    except _TooDeep:
        return (_element("unknown", item),)


def _read(value: Any, hint: str | None, level: int) -> Payload:
    if level > MAX_NESTING:
        raise _TooDeep
    if value is None:
        return ()
    if _is_media(value, hint):
        return _bare_media([value], hint)
    if isinstance(value, str):
        return (_element("text", {"text": value}),)
    if isinstance(value, list):
        return _read_list(value, hint, lambda item: _read(item, hint, level + 1))
    if isinstance(value, dict):
        return _read_object(value, hint, level)
    return (_element("unknown", value),)


def _read_list(items: list[Any], hint: str | None, read: Callable[[Any], Payload]) -> Payload:
    if not any(isinstance(item, str | list | dict) for item in items):
        return (_element("unknown", items),) if any(item is not None for item in items) else ()
    elements: list[Document] = []
    for is_media, group in groupby(items, lambda item: _is_media(item, hint)):
        run = list(group)
        elements += _bare_media(run, hint) if is_media else chain.from_iterable(map(read, run))
    return tuple(elements)


def _read_object(document: Document, hint: str | None, level: int) -> Payload:
    present = {key: value for key, value in document.items() if value is not None}
    named = _kind_named(present.get("type"))
    if named:
        hint = named
        del present["type"]
    if present.keys() == {"data"}:
        return _read(present["data"], hint, level + 1)
    found: list[Document] = []
    kept: Document = {}
    inner: dict[str, Payload] = {}
    # The type is that of the data alone; beside other outputs, `data` is one more of them.
    inner_hint = hint if present.keys().isdisjoint((*_MEDIA, *_TEXTS)) else None
    for key in sorted(present, key=lambda key: key not in _LISTS):
        elements = _read_under(key, present[key], hint if key in _MEDIA else inner_hint, level)
        if any(element["type"] != "unknown" for element in elements):
            found += elements
        else:
            kept[key] = present[key]
            inner[key] = elements
    enveloped = any(key in present and key not in kept for key in _ENVELOPES)
    text = _text_element({key: kept[key] for key in kept if key in _TEXTS} if enveloped else kept)
    if text and not (found and text["data"].get("text") in _NOTHING):
        return _joined([*found, text])
    if enveloped:
        return _joined(found)
    if found:
        return _joined(_with_kept(found, kept))
    return _read_unknown(document, kept, inner)


def _with_kept(found: list[Document], kept: Document) -> list[Document]:
    first = next(index for index, element in enumerate(found) if element["type"] != "unknown")
    element = found[first]
    return [*found[:first], _element(element["type"], {**kept, **element["data"]}), *found[first + 1 :]]


def _read_unknown(document: Document, kept: Document, inner: dict[str, Payload]) -> Payload:
    """An object without a key that is known to hold an output."""
    for key in _ENVELOPES:
        if isinstance(kept.get(key), dict) and inner[key]:
            return inner[key]
    for candidate in (kept.get("content"), kept.get("message"), _content_of(kept.get("message"))):
        if isinstance(candidate, str) and candidate:
            return (_element("text", {**kept, "text": candidate}),)
    return (_element("unknown", document),) if kept else ()


def _read_under(key: str, value: Any, hint: str | None, level: int) -> Payload:
    """The elements under a key of an object; none where the key is not known to hold an output."""
    if key in _MEDIA:
        return _media_under(key, value, hint)
    if key in _ENVELOPES and isinstance(value, str | list | dict):
        return _read(value, hint if key == "data" else None, level + 1)
    if _is_node(key, value):
        return _read(value, None, level + 1)
    if _NODE_ID.fullmatch(key) and isinstance(value, list) and value and all(map(is_address, value)):
        return _media([{"url": url} for url in value], "files", "file")
    return ()


def _is_node(key: str, value: Any) -> bool:
    """A node's output in a provider's answer: `{"9": {…}}`, or `{"save": {"data": {"images": […]}}}`."""
    if _NODE_ID.fullmatch(key):
        items = value if isinstance(value, list) else [value]
        return bool(items) and all(isinstance(item, dict | list) for item in items)
    data = value.get("data") if isinstance(value, dict) else None
    return isinstance(data, dict) and not data.keys().isdisjoint(_LISTS)


def _is_media(value: Any, hint: str | None) -> bool:
    """A bare item of media: an address that its sender calls so, or an object of an address and its facts."""
    if isinstance(value, str):
        return hint in _MEDIA_KINDS and is_address(value)
    if not isinstance(value, dict) or not value.keys().isdisjoint((*_MEDIA, *_TEXTS, *_ENVELOPES)):
        return False
    known = kind_of(value) or (hint if hint in _MEDIA_KINDS else None)
    return known is not None and (url_of(value) is not None or isinstance(value.get("b64_json"), str))


def _bare_media(items: list[Any], hint: str | None) -> Payload:
    return _media(_as_objects(items), "files" if hint == "file" else "", hint if hint in _MEDIA_KINDS else "image")


def _as_objects(items: list[Any]) -> list[Any]:
    return [{"url": item} if isinstance(item, str) else item for item in items]


def _media_under(key: str, value: Any, hint: str | None) -> Payload:
    given = value if isinstance(value, list) else [value]
    items = [item for item in given if (isinstance(item, dict) and item) or (isinstance(item, str) and item.strip())]
    if given and not items:
        return ()
    default = hint if key == "files" and hint in ("video", "audio") else _MEDIA[key]
    # Lists that are named as ours keep their strings, as the original did.
    elements = _media(items if key in ("images", "files") else _as_objects(items), key, default)
    if key in _SINGLES and isinstance(value, str):
        # A wire may name the key itself.
        return tuple(_element(element["type"], {**element["data"], key: value}) for element in elements)
    return elements


def _media(items: list[Any], key: str, default: str) -> Payload:
    """Pictures as `images`, everything else as `files`; what its sender put under `files` stays there."""
    images, files, kinds = [], [], set()
    for item in items:
        kind = kind_of(item) or default
        if kind == "image" and key != "files":
            images.append(item)
        else:
            files.append(item)
            kinds.add("file" if kind == "image" else kind)
    elements = [_element("image", {"images": images})] if images or (default == "image" and not files) else []
    if files or not elements:
        elements.append(_element(kinds.pop() if len(kinds) == 1 else "file" if kinds else default, {"files": files}))
    return tuple(elements)


def _text_element(kept: Document) -> Document | None:
    """The text that an object holds under one of its names, beside what it was taken from."""
    content = _choice_of(kept.get("choices"))
    output = kept["output"] if isinstance(kept.get("output"), str) else None
    sources = [kept.get("text"), kept.get("result"), kept.get("response"), content, output, kept.get("description")]
    if all(source is None for source in sources):
        return None
    if sources[0] in _NOTHING:
        texts = (_as_text(source) for source in sources if source not in _NOTHING)
        filled = next((text for text in texts if text is not None), None)
        return _element("text", kept if filled is None else {**kept, "text": filled})
    return _element("text", kept)


def _as_text(value: Any) -> Any:
    """A string or a list of strings as it is, anything else as its JSON."""
    if isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value)):
        return value
    try:
        return to_text(value)
    except (ValueError, RecursionError):
        return None


def _choice_of(choices: Any) -> str | None:
    first = choices[0] if isinstance(choices, list) and choices else None
    return _content_of(first.get("message")) if isinstance(first, dict) else None


def _content_of(message: Any) -> str | None:
    content = message.get("content") if isinstance(message, dict) else None
    return content if isinstance(content, str) else None


def _joined(elements: Iterable[Document]) -> Payload:
    """One element for the images, one for the files and one for the text."""
    groups: dict[str, list[Document]] = {}
    for number, element in enumerate(elements):
        place = _PLACES.get(element["type"], str(number))
        groups.setdefault(place, []).append(element)
    return tuple(group[0] if len(group) == 1 else _one_of(group, place) for place, group in groups.items())


def _one_of(group: list[Document], place: str) -> Document:
    """The elements of a group as one; an address that two of them hold is taken from the first."""
    data: Document = {}
    for element in group:
        data.update(element["data"])
    if place == "text":
        texts = [element["data"]["text"] for element in group if element["data"].get("text") not in _NOTHING]
        if texts:
            data["text"] = texts[0] if len(texts) == 1 else [part for text in texts for part in _listed(text)]
    else:
        items: list[Any] = []
        seen: set[str | None] = set()
        for element in group:
            fresh = [item for item in element["data"][place] if url_of(item) not in seen]
            items += fresh
            seen.update(url for item in fresh if (url := url_of(item)))
        data[place] = items
    # An empty list says nothing of what the others hold.
    kinds = {element["type"] for element in group if element["data"].get(place)} or {group[0]["type"]}
    return _element(kinds.pop() if len(kinds) == 1 else "file", data)


def _listed(text: Any) -> list[Any]:
    return text if isinstance(text, list) else [text]


def _kind_named(name: Any) -> str | None:
    kind = _KIND_NAMES.get(name, name) if isinstance(name, str) else None
    return kind if kind in _KINDS else None


def _element(kind: str, data: Any) -> Document:
    return {"type": kind, "data": data}
