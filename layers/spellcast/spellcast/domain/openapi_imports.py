"""What an OpenAPI document of Replicate or fal says of the tool that a model would make: what goes in and comes out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault, InvalidInput
from spellcast.domain.tools import InputField

MAX_KEY_CHARACTERS = 200
MAX_DESCRIPTION_CHARACTERS = 1_000

# References that lead through more of each other than people write.
_MAX_REFERENCES = 16
_KIND_NAMES = {
    "image": re.compile(r"(?:^|_)(?:images?|img|photo|picture|mask)(?:_|$)"),
    "video": re.compile(r"(?:^|_)videos?(?:_|$)"),
    "audio": re.compile(r"(?:^|_)(?:audios?|voice|song|sound|speech|music)(?:_|$)"),
}
_SIMPLE = {
    "string": "string",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "object": "object",
    "array": "array",
}
_OUTPUT_KEYS = {"image": ("images", "image"), "video": ("files", "video"), "audio": ("files", "audio")}
_TEXT_NAMES = ("text", "output", "response", "caption", "description", "transcript")


class OpenApi:
    """One document, whose references are followed; `path` is where it stands in the request."""

    def __init__(self, document: object) -> None:
        if not isinstance(document, dict):
            raise InvalidInput([Fault("openapi", "is not an OpenAPI document")])
        self._document: Document = document

    def at(self, *keys: str) -> Document:
        """The object under these keys; empty where there is none."""
        found: Any = self._document
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}

    def resolved(self, schema: Any) -> Document:
        """The schema without references and without the choice of null; what stands beside these stays."""
        document: Document = schema if isinstance(schema, dict) else {}
        for _ in range(_MAX_REFERENCES):
            inner = self._inner(document)
            if inner is None:
                return document
            beside = {key: value for key, value in document.items() if key not in ("$ref", "allOf", "anyOf", "oneOf")}
            document = {**inner, **beside}
        return {}

    def _inner(self, document: Document) -> Document | None:
        """What a reference, or a choice that leaves one schema, stands for."""
        reference = document.get("$ref")
        if isinstance(reference, str):
            return self.at(*reference.removeprefix("#/").split("/"))
        for word in ("allOf", "anyOf", "oneOf"):
            choices = [choice for choice in _items(document.get(word)) if choice.get("type") != "null"]
            if len(choices) == 1:
                return choices[0]
        return None


def inputs_of(api: OpenApi, schema: Document, path: str) -> dict[str, Document]:
    """The input schema of a tool. Raises InvalidInput with every fault, by property."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        raise InvalidInput([Fault(path, "has no properties: it does not say what the model takes")])
    faults = [
        Fault(f"{path}.properties.{key[:MAX_KEY_CHARACTERS]}", reason)
        for key, property_ in properties.items()
        for reason in _key_faults(key, property_)
    ]
    if faults:
        raise InvalidInput(faults)
    required = _listed(schema.get("required"))
    return {
        key: {"name": key, **_input(api, key, properties[key], key in required), "order": number}
        for number, key in enumerate(_ordered(schema, properties))
    }


def primary_input(schema: dict[str, Document]) -> str | None:
    """What a prompt, or else a file, fills."""
    for key in ("prompt", "text", "input"):
        if schema.get(key, {}).get("type") == "string":
            return key
    required = [key for key, field in schema.items() if field["required"]]
    media = [key for key, field in schema.items() if field["type"] in _KIND_NAMES]
    return next(iter(required + media), None)


def outputs_of(api: OpenApi, schema: Document) -> tuple[dict[str, Document], str | None]:
    """The output schema as far as it can be known, and the sort of thing that comes out."""
    kind = _type_of(api, schema)
    if kind == "string" or (kind == "array" and _type_of(api, api.resolved(schema.get("items"))) == "string"):
        item = schema if kind == "string" else api.resolved(schema.get("items"))
        # An address may lead to anything.
        return ({}, None) if item.get("format") == "uri" else (_text_output(), "text")
    given = schema.get("properties")
    properties: Document = given if isinstance(given, dict) else {}
    found: dict[str, Document] = {}
    sorts: list[str] = []
    for name in properties:
        property_ = api.resolved(properties[name])
        simple = _type_of(api, property_)
        sort = _kind_named(name)
        if sort and simple in ("object", "array", "string"):
            key, type_ = _OUTPUT_KEYS[sort]
            found.setdefault(key, {"name": key, "type": type_})
            sorts.append(sort)
        elif name in _TEXT_NAMES and simple == "string":
            found |= _text_output()
            sorts.append("text")
    return found, sorts[0] if sorts else None


def _text_output() -> dict[str, Document]:
    return {"text": {"name": "text", "type": "string"}}


def _key_faults(key: str, property_: object) -> Iterator[str]:
    if not 0 < len(key) <= MAX_KEY_CHARACTERS:
        yield f"has a name of {len(key)} characters; there may be 1 to {MAX_KEY_CHARACTERS}"
    if not isinstance(property_, dict):
        yield "is not a schema"


def _ordered(schema: Document, properties: Document) -> list[str]:
    """As fal or Replicate order them, otherwise as they stand."""
    given = schema.get("x-fal-order-properties")
    order = {name: number for number, name in enumerate(_listed(given)) if isinstance(name, str)}

    def rank(key: str) -> float:
        number = properties[key].get("x-order", order.get(key))
        return number if isinstance(number, int | float) else float("inf")

    return sorted(properties, key=rank)


def _input(api: OpenApi, key: str, property_: Document, is_required: bool) -> Document:
    schema = api.resolved(property_)
    choices = _choices(schema)
    kind = "enum" if choices else _input_type(api, key, schema)
    field: Document = {"type": kind}
    default = schema.get("default")
    # A default that the type does not take is the provider's affair: it stands in where we send nothing.
    has_default = default is not None and not _refuses(kind, choices, default)
    field["required"] = is_required and not has_default
    if has_default:
        field["default"] = default
    if choices:
        field["enum"] = choices
    description = schema.get("description") or schema.get("title")
    if isinstance(description, str):
        field["description"] = description[:MAX_DESCRIPTION_CHARACTERS]
    return field


def _refuses(kind: str, choices: list[Any], value: Any) -> bool:
    field = InputField("", kind, required=False, has_default=True, enum=tuple(choices))
    return field.refusal_of(value) is not None


def _choices(schema: Document) -> list[Any]:
    choices = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(choices, list):
        return []
    return [choice for choice in choices if isinstance(choice, str | int | float)]


def _input_type(api: OpenApi, key: str, schema: Document) -> str:
    kind = _type_of(api, schema)
    if kind == "string":
        is_address = schema.get("format") == "uri" or key.endswith("_url")
        # Replicate's files are addresses; fal's fields say by their names what stands under the address.
        return (_kind_named(key) or ("file" if schema.get("format") == "uri" else "url")) if is_address else "string"
    return _SIMPLE.get(kind, "any")


def _type_of(api: OpenApi, schema: Document) -> str:
    """The one type of a schema; empty where there are several, or none."""
    kind = schema.get("type")
    kinds = {str(name) for name in (kind if isinstance(kind, list) else [kind])}
    if kind is None:
        choices = [choice for word in ("anyOf", "oneOf") for choice in _items(schema.get(word))]
        kinds = {str(api.resolved(choice).get("type")) for choice in choices}
    kinds.discard("null")
    if kinds == {"integer", "number"}:
        return "number"
    return kinds.pop() if len(kinds) == 1 else ""


def _kind_named(name: str) -> str | None:
    return next((kind for kind, pattern in _KIND_NAMES.items() if pattern.search(name.lower())), None)


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _items(value: object) -> list[Document]:
    return [item for item in _listed(value) if isinstance(item, dict)]
