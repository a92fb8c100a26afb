"""What can be said of a tool's definition (original-system.md §6.3) beyond its shape, before it is kept."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal, get_args

from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault
from spellcast.domain.segments import IMMEDIATE_SECONDS_PER_SEGMENT
from spellcast.domain.tools import DeliveryMode, InputField

InputType = Literal[
    "string",
    "text",
    "textany",
    "number",
    "integer",
    "boolean",
    "enum",
    "image",
    "video",
    "audio",
    "file",
    "url",
    "object",
    "array",
    "list",
    "any",
]
# More than any form has. Whoever resolves a step looks through them again and again, and has 29 seconds.
MAX_INPUTS = 200
VERSION_PATTERN = r"[0-9]{1,6}\.[0-9]{1,6}\.[0-9]{1,6}"
EDITOR_FORMAT = "is in the format of ComfyUI's editor; export it for the API (Workflow, Export (API))"


def find_tool_faults(document: Document, services: Mapping[str, Collection[str]]) -> list[Fault]:
    """Everything that keeps the definition from working. `services` are those that exist, with their delivery modes.

    Parts whose shape is wrong are passed over: whoever checks shapes names them.
    """
    faults = _delivery_faults(document, services)
    if is_editor_workflow(_section(document, "metadata").get("workflow")):
        faults.append(Fault("metadata.workflow", EDITOR_FORMAT))
    schema = document.get("inputSchema", {})
    if not isinstance(schema, dict):
        return faults
    primary = _section(document, "platformHints").get("primaryInput")
    if isinstance(primary, str) and primary not in schema:
        faults.append(_no_input("platformHints.primaryInput", primary))
    fields = {key: field for key, field in schema.items() if isinstance(field, dict)}
    for key, field in fields.items():
        faults.extend(_value_faults(key, field))
    faults.extend(_visibility_faults(schema, fields))
    faults.extend(_migration_faults(_section(document, "migrations"), schema))
    return faults


def is_editor_workflow(workflow: object) -> bool:
    """Whether it is what ComfyUI's editor saves: a list of nodes, where the API takes them by their ids."""
    return isinstance(workflow, dict) and isinstance(workflow.get("nodes"), list)


def _delivery_faults(document: Document, services: Mapping[str, Collection[str]]) -> list[Fault]:
    service, mode = document.get("service"), document.get("deliveryMode", "immediate")
    faults: list[Fault] = []
    if isinstance(service, str) and service not in services:
        faults.append(Fault("service", f"there is none of this name; there are {', '.join(services)}"))
    elif isinstance(service, str) and mode in get_args(DeliveryMode) and mode not in services[service]:
        faults.append(Fault("deliveryMode", f"of a tool of the service {service} is {' or '.join(services[service])}"))
    seconds = document.get("deadlineSeconds")
    if mode == "immediate" and isinstance(seconds, int) and seconds > IMMEDIATE_SECONDS_PER_SEGMENT:
        message = f"of an immediate tool is at most {IMMEDIATE_SECONDS_PER_SEGMENT}"
        faults.append(Fault("deadlineSeconds", message))
    return faults


def _value_faults(key: str, document: Document) -> Iterator[Fault]:
    """The default and the choices, each as a value of the field."""
    field = _input_field(key, document)
    of_its_type = _of_its_type(field)
    for number, member in enumerate(field.enum):
        if reason := of_its_type.refusal_of(member):
            yield Fault(f"inputSchema.{key}.enum[{number}]", reason)
    default = document.get("default")
    if default is not None and (reason := field.refusal_of(default)):
        yield Fault(f"inputSchema.{key}.default", reason)


def _visibility_faults(schema: Document, fields: Mapping[str, Document]) -> Iterator[Fault]:
    leads: dict[str, str] = {}
    for key, field in fields.items():
        condition = _section(field, "visibleIf")
        other = condition.get("field")
        path = f"inputSchema.{key}.visibleIf"
        if not isinstance(other, str):
            continue
        if other == key:
            yield Fault(f"{path}.field", "an input does not decide on itself")
        elif other not in schema:
            yield _no_input(f"{path}.field", other)
        else:
            leads[key] = other
            deciding = _of_its_type(_input_field(other, fields.get(other, {})))
            for number, value in enumerate(_items(condition, "values")):
                if reason := deciding.refusal_of(value):
                    yield Fault(f"{path}.values[{number}]", f"{reason}: {other} never has this value")
    for key in _in_circles(leads):
        yield Fault(f"inputSchema.{key}.visibleIf.field", f"leads back to {key} itself")


def _in_circles(leads: Mapping[str, str]) -> list[str]:
    """The keys from which the way leads back to themselves; every key is gone over once."""
    seen: set[str] = set()
    found: list[str] = []
    for start in leads:
        way: list[str] = []
        key = start
        while key in leads and key not in seen:
            seen.add(key)
            way.append(key)
            key = leads[key]
        if key in way:
            found += way[way.index(key) :]
    return found


def _migration_faults(migrations: Document, schema: Document) -> Iterator[Fault]:
    """Each new name is an input, or is renamed again by a later version."""
    versions: list[tuple[tuple[int, ...], str]] = []
    for version in migrations:
        if re.fullmatch(VERSION_PATTERN, version):
            versions.append((tuple(map(int, version.split("."))), version))
        else:
            yield Fault(f"migrations.{version}", "is no version: three numbers, like 1.0.0")
    known = set(schema)
    for _, version in sorted(versions, reverse=True):
        renames = _section(_section(migrations, version), "parameters")
        for old, new in renames.items():
            path = f"migrations.{version}.parameters.{old}"
            targets = [(path, new)]
            if isinstance(new, dict):
                targets = [
                    (f"{path}.default", new.get("default")),
                    (f"{path}.when.use", _section(new, "when").get("use")),
                ]
            for at, target in targets:
                if isinstance(target, str) and target not in known:
                    yield _no_input(at, target)
        known |= renames.keys()


def _no_input(path: str, name: str) -> Fault:
    return Fault(path, f"there is no input {name!r}")


def _input_field(key: str, document: Document) -> InputField:
    kind = document.get("type", "string")
    return InputField(key=key, type=str(kind), required=True, has_default=False, enum=tuple(_items(document, "enum")))


def _of_its_type(field: InputField) -> InputField:
    """The field without its choices: to look each of many values up among many choices would take too long."""
    return replace(field, enum=())


def _section(document: Document, name: str) -> Document:
    section = document.get(name)
    return section if isinstance(section, dict) else {}


def _items(document: Document, name: str) -> list[Any]:
    items = document.get(name)
    return items if isinstance(items, list) else []
