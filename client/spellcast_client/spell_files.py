"""Spells as files: YAML or JSON, read with the place of everything in them, so that every fault has its line."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic import ValidationError

from spellcast_client import sentences
from spellcast_client.errors import Fault
from spellcast_client.models import Spell, SpellBody

# What the API takes, and more parts than such a body can have: an alias may multiply them.
MAX_BYTES = 1_000_000
MAX_PARTS = 200_000
_MAX_DEPTH = 60
_MOST_DIGITS = 1_000
# For editors; no part of the spell.
_SCHEMA = "$schema"
# What a spell's author writes, in the order in which people read it.
WRITTEN = ("name", "description", "visibility", "tags", "steps", "exposedInputs", "connections")
# YAML's line breaks beside those that all know, and its mark of a byte order.
_BREAKS = re.compile("[\x85\u2028\u2029\ufeff]")
_UNENDED = re.compile("could not find expected ':'|found unexpected end of stream")
# An escape beyond the last character.
_NO_CHARACTER = re.compile(r"\\U(?!000|0010)[0-9A-Fa-f]{8}")
# What JSON may hold, and YAML not as it is: tabs between tokens, and some characters in texts.
_UNKNOWN_TO_YAML = re.compile(rf"\t|{_BREAKS.pattern}|{yaml.reader.Reader.NON_PRINTABLE.pattern}")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Counted from 1."""

    line: int = 1
    column: int = 1

    @classmethod
    def of(cls, mark: Any) -> Place:
        return cls(mark.line + 1, mark.column + 1)


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault, or a warning, and its place in the file."""

    place: Place
    path: str
    message: str
    is_warning: bool = False

    def document(self) -> dict[str, Any]:
        """For programs."""
        said = {"path": self.path, "message": self.message, "line": self.place.line, "column": self.place.column}
        return {**said, "severity": "warning" if self.is_warning else "error"}


@dataclass(slots=True)
class SpellFile:
    """What a file holds: `body` is what can be sent, `findings` what keeps it from being read."""

    body: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    _root: yaml.Node | None = None

    @property
    def is_readable(self) -> bool:
        """Whether the body is what the file says."""
        return not self.findings

    def check(self) -> list[Finding]:
        """What can be said of it without the API: its shape. The API knows the tools, and says the same and more."""
        try:
            SpellBody.model_validate(self.body)
        except ValidationError as error:
            faults = [
                Fault(
                    self._path(said["loc"]),
                    sentences.of_shape(said["loc"], said["type"], said["msg"], said.get("ctx", {})),
                )
                for said in error.errors()
            ]
            return self.located(dict.fromkeys(faults))
        return []

    def located(self, faults: Iterable[Any], *, is_warning: bool = False) -> list[Finding]:
        """Faults as the API names them, by their paths, with their places; in the order of the file."""
        found = [Finding(self.place_of(fault.path), fault.path, fault.message, is_warning) for fault in faults]
        return sorted(found, key=lambda finding: finding.place)

    def place_of(self, path: str) -> Place:
        """Where `steps[1].toolIdentifier` stands; what is missing, or wrong as a whole, stands where its parent is."""
        node, place, rest = self._root, Place(), path
        if node is not None:
            place = Place.of(node.start_mark)
        while rest and node is not None:
            for name, key, value in _parts(node):
                if rest.startswith(name) and rest[len(name) :][:1] in ("", ".", "["):
                    node, place, rest = value, Place.of(key.start_mark), rest[len(name) :].removeprefix(".")
                    break
            else:
                break
        return place

    def _path(self, location: Sequence[str | int]) -> str:
        """Without what Pydantic adds for the kinds of a value: the last part may be missing, no other."""
        value: Any = self.body
        path = ""
        for number, part in enumerate(location):
            try:
                value = value[part]
            except (LookupError, TypeError):
                if number < len(location) - 1 or not isinstance(value, dict):
                    continue
            path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
        return path


def read(content: bytes, *, is_json: bool) -> SpellFile:
    """A spell's file. Everything that keeps it from being read is among its findings."""
    if len(content) > MAX_BYTES:
        return SpellFile(findings=[Finding(Place(), "", f"a spell's file has at most {MAX_BYTES:,} bytes")])
    try:
        text = content.decode("utf-8-sig")
        known = json.loads(text, parse_constant=str, parse_int=_whole_number) if is_json else None
        root = yaml.compose(_UNKNOWN_TO_YAML.sub(_stand_in, text) if is_json else text, _Loader)
    except (ValueError, OverflowError, RecursionError, yaml.YAMLError) as error:
        return SpellFile(findings=[_unreadable(error, content)])
    if not isinstance(root, yaml.MappingNode):
        place = Place.of(root.start_mark) if root else Place()
        return SpellFile(findings=[Finding(place, "", "a spell is an object, with a name and steps")])
    spell = SpellFile(_root=root)
    read_from_yaml = _Reader(spell.findings, is_json).value(root, "")
    # YAML reads some of JSON's escapes otherwise; its tree says where things are.
    spell.body = (read_from_yaml or {}) if known is None else known
    spell.body.pop(_SCHEMA, None)
    spell.findings.sort(key=lambda finding: finding.place)
    return spell


def _stand_in(found: re.Match[str]) -> str:
    """One character for another, and for each its own: texts that differ go on differing."""
    return " " if found[0] == "\t" else chr(0xE000 + ord(found[0]) % 0x1000)


def _unreadable(error: Exception, content: bytes) -> Finding:
    match error:
        case UnicodeDecodeError():
            return Finding(_place_after(content[: error.start].decode("utf-8", "replace")), "", "this byte is no UTF-8")
        case json.JSONDecodeError():
            return Finding(Place(error.lineno, error.colno), "", f"is not JSON: {sentences.of_json(error.msg)}")
        case yaml.reader.ReaderError():
            before = content.decode("utf-8-sig")[: error.position]
            return Finding(_place_after(before), "", "this character may not stand in a file")
        case yaml.MarkedYAMLError():
            marks = (error.problem_mark, error.context_mark)
            # What has no end is found far from where it begins.
            mark = next(filter(None, reversed(marks) if _UNENDED.match(str(error.problem)) else marks), None)
            return Finding(
                Place.of(mark) if mark else Place(), "", f"is not YAML: {sentences.of_yaml(str(error.problem))}"
            )
        case RecursionError():
            return Finding(Place(), "", f"is nested deeper than {_MAX_DEPTH} levels")
    text = content.decode("utf-8-sig")
    if found := _NO_CHARACTER.search(text):
        return Finding(_place_after(text[: found.start()]), "", "there is no character of this number")
    return Finding(Place(), "", "is not YAML, by what its first lines say of it")


def _place_after(text: str) -> Place:
    return Place(text.count("\n") + 1, len(text) - text.rfind("\n"))


def write(spell: Spell, *, as_json: bool) -> str:
    """The file of a spell that was read from the API."""
    known = spell.document()
    body = {key: known[key] for key in WRITTEN if known.get(key) not in (None, "", [])}
    if as_json:
        return json.dumps(body, ensure_ascii=False, indent=2) + "\n"
    return str(yaml.dump(body, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110))


def is_same(body: dict[str, Any], spell: Spell) -> bool:
    """Whether saving the body would make a version like the one that is there."""
    known = {key: value for key, value in spell.document().items() if key in WRITTEN}
    written = {"visibility": "private", **body, "name": body["name"].strip()}
    return {key: value for key, value in written.items() if value} == {
        key: value for key, value in known.items() if value
    }


@dataclass(slots=True)
class _Reader:
    """Nodes as JSON's values; what JSON has no word for is a finding."""

    findings: list[Finding]
    is_json: bool = False
    parts: int = 0
    above: list[yaml.Node] = field(default_factory=list)

    def value(self, node: yaml.Node, path: str) -> Any:
        self.parts += 1
        if node in self.above:
            return self._fault(node, path, "holds itself")
        if self.parts > MAX_PARTS:
            return (
                self._fault(node, path, "the file is too large with all its aliases")
                if self.parts == MAX_PARTS + 1
                else None
            )
        if len(self.above) > _MAX_DEPTH:
            return self._fault(node, path, f"is nested deeper than {_MAX_DEPTH} levels")
        self.above.append(node)
        try:
            if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
                return [self.value(item, f"{path}[{number}]") for number, item in enumerate(node.value)]
            if isinstance(node, yaml.ScalarNode):
                return self._scalar(node, path)
            return self._fault(node, path, f"JSON has nothing like it ({_kind_of(node)})")
        finally:
            self.above.pop()

    def _mapping(self, node: yaml.MappingNode, path: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            is_text = isinstance(key, yaml.ScalarNode) and key.tag == "tag:yaml.org,2002:str"
            name = self._text(key, path) if is_text else None
            inner = f"{path}.{name}" if path else str(name)
            if name is None:
                if not is_text:
                    self._fault(key, path, "a key is a text: put it into quotes")
            elif name in found:
                self._fault(key, inner, "is given twice")
            else:
                found[name] = self.value(value, inner)
        return found

    def _scalar(self, node: yaml.ScalarNode, path: str) -> Any:
        match _kind_of(node):
            case "str" if self.is_json and node.style is None:
                return self._fault(node, path, f"{node.value} is no number in JSON")
            case "str":
                return self._text(node, path)
            case "null":
                return None
            case "bool" if node.value.lower() in ("true", "false"):
                return node.value.lower() == "true"
            case "bool":
                return self._fault(node, path, "is to be true or false")
            case "int" if len(node.value) >= _MOST_DIGITS:
                return self._fault(node, path, f"a number has less than {_MOST_DIGITS:,} digits")
            case "int" | "float" as kind:
                return self._number(node, path, kind)
        return self._fault(node, path, f"JSON has nothing like it ({_kind_of(node)})")

    def _number(self, node: yaml.ScalarNode, path: str, kind: str) -> Any:
        try:
            if kind == "int":
                return int(node.value)
            number = float(node.value)
        except ValueError:
            return self._fault(node, path, "is no number" if kind == "float" else "is no whole number")
        return number if math.isfinite(number) else self._fault(node, path, "JSON has nothing like it (float)")

    def _text(self, node: yaml.Node, path: str) -> str | None:
        """An escape may stand for a half of a character, which cannot be sent."""
        try:
            return str(node.value.encode("utf-16-le", "surrogatepass").decode("utf-16-le"))
        except UnicodeDecodeError:
            self._fault(node, path, "holds one half of a character")
            return None

    def _fault(self, node: yaml.Node, path: str, message: str) -> None:
        self.findings.append(Finding(Place.of(node.start_mark), path, message))


def _parts(node: yaml.Node) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
    """Name in a path, node of the key, and value; the longest names first, since a key may have dots."""
    if isinstance(node, yaml.MappingNode):
        named = [(str(key.value), key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)]
        yield from sorted(named, key=lambda part: -len(part[0]))
    elif isinstance(node, yaml.SequenceNode):
        yield from ((f"[{number}]", item, item) for number, item in enumerate(node.value))


def _kind_of(node: yaml.Node) -> str:
    return str(node.tag).removeprefix("tag:yaml.org,2002:")


def _whole_number(digits: str) -> int:
    """One with too many digits is found by its node."""
    return int(digits) if len(digits) < _MOST_DIGITS else 0


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core: `no`, `on` and `2026-01-31` are texts, as their writers mean them."""

    yaml_implicit_resolvers = {}  # noqa: RUF012, as its parents declare it


class _Dumper(yaml.SafeDumper):
    """Readable by YAML 1.1 and 1.2 alike; texts of several lines stand as they are."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        key: [*found] for key, found in yaml.SafeDumper.yaml_implicit_resolvers.items()
    }

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.Node:
    style = '"' if _BREAKS.search(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    for _kind in (_Loader, _Dumper):
        _kind.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), _first)
_Dumper.add_representer(str, _represent_text)
