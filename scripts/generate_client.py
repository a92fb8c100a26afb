"""Writes what the client knows of the API from its OpenAPI document: models, routes, and the schema of spell files.

Run it after a route or a body has changed: `make generated`. A test compares what it writes with what is there.
"""

from __future__ import annotations

import json
import keyword
import re
import subprocess  # nosec B404
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from pydantic.alias_generators import to_camel, to_snake

from spellcast.api.resolver import build_cast_api

Schema = dict[str, Any]
PACKAGE = Path(__file__).resolve().parent.parent / "client" / "spellcast_client"
NOTE = "Written by scripts/generate_client.py from the API's OpenAPI document: `make generated` writes it anew."

_MODELS = f'''"""What the API takes and answers.

{NOTE}
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from spellcast_client.records import Answer, Body, Moment, Money, Name, OpenBody
'''

_ROUTES = f'''"""One method for each route of the API.

{NOTE}
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any, Literal, TypeVar

from spellcast_client import models
from spellcast_client.calls import Call, new_key, quoted

A = TypeVar("A")
'''

_CLASS = '''

class {name}:
    """The routes, for {whom}."""

    {define} _send(self, call: Call[A]) -> A:
        raise NotImplementedError
'''

_METHOD = '''
    {define} {name}(self{parameters}) -> {answer}:
        """{summary}."""
        return {wait}self._send(Call("{method}", {path}, {answer_type}{given}))
'''

_LENGTHS = {
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
    "maxProperties": "max_length",
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "pattern": "pattern",
}
_PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_TIMES = ("At", "Timestamp")
DRY_RUN = "dryRun"


def openapi() -> Schema:
    """The API's description; nothing behind the routes is asked."""
    nothing = cast(Any, None)
    api = build_cast_api(nothing, nothing, nothing)
    request = {"rawPath": "/openapi.json", "requestContext": {"http": {"method": "GET"}, "stage": "$default"}}
    document: Schema = json.loads(api(request, nothing)["body"])
    return document


def written(document: Schema) -> dict[Path, str]:
    """The content of every file, by its path."""
    return {
        PACKAGE / "models.py": _formatted("".join(_models(document["components"]["schemas"]))),
        PACKAGE / "routes.py": _formatted("".join(_routes(document["paths"]))),
        PACKAGE / "spell.schema.json": _spell_schema(document["components"]["schemas"]),
    }


def _formatted(source: str) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--line-length", "120", "--stdin-filename", "written.py", "-"]
    return subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout  # nosec B603


def model_name(schema: str) -> str:
    """`CastAnswer` is a `Cast` for who asks for one; bodies keep their names."""
    return schema if schema == "ErrorAnswer" else schema.removesuffix("Answer")


def _models(schemas: Schema) -> Iterator[str]:
    yield _MODELS
    for name in _in_order(schemas):
        schema = schemas[name]
        is_answer = name.endswith(("Answer", "Detail", "Metadata"))
        base = "Answer" if is_answer else "OpenBody" if schema.get("additionalProperties") else "Body"
        yield f"\n\nclass {model_name(name)}({base}):\n"
        yield f'    """{_indented(schema["description"])}"""\n\n'
        for key, field in schema["properties"].items():
            yield _field(key, field, required=key in schema.get("required", ()))


def _in_order(schemas: Schema) -> list[str]:
    """Each after those that it names."""
    order: list[str] = []

    def place(name: str) -> None:
        if name not in order:
            for other in re.findall(r"'#/components/schemas/(\w+)'", str(schemas[name]["properties"])):
                place(other)
            order.append(name)

    for name in schemas:
        place(name)
    return order


def _field(key: str, schema: Schema, *, required: bool) -> str:
    name = to_snake(key)
    if to_camel(name) != key:
        raise ValueError(f"{key!r} cannot be told from its name in Python, {name!r}.")
    kind = _type(schema, key)
    if required:
        default = ""
    elif "default" in schema:
        default = f" = {_literal(schema['default'])}"
    elif schema.get("type") in ("object", "array"):
        default = f" = Field(default_factory={'dict' if schema['type'] == 'object' else 'list'})"
    else:
        default = " = None"
        kind = kind if kind == "Any" or kind.endswith("| None") else f"{kind} | None"
    return f"    {name}: {kind}{default}\n"


def _type(schema: Schema, key: str = "", models: str = "") -> str:
    if "$ref" in schema:
        return models + model_name(schema["$ref"].rpartition("/")[2])
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        if {"number", "string"} <= {choice.get("type") for choice in choices}:
            choices = [{"type": "money"}, *(choice for choice in choices if choice.get("type") == "null")]
        union = " | ".join(dict.fromkeys(_type(choice, key, models) for choice in choices))
        if "discriminator" in schema:
            return f'Annotated[{union}, Field(discriminator="{schema["discriminator"]["propertyName"]}")]'
        return union
    if "enum" in schema or "const" in schema:
        return f"Literal[{', '.join(map(_literal, schema.get('enum') or [schema['const']]))}]"
    return _constrained(schema, key)


def _constrained(schema: Schema, key: str) -> str:
    match schema.get("type"):
        case "money":
            return "Money"
        case "string" if key.endswith("Usd"):
            return "Money"
        case "string" if key.endswith(_TIMES) or key == "at":
            return "Moment"
        case "string" if (schema.get("minLength"), schema.get("maxLength")) == (1, 200):
            return "Name"
        case "array":
            plain = f"list[{_type(schema['items'])}]"
        case "object":
            values = schema.get("additionalProperties", True)
            names = "Name" if "propertyNames" in schema else "str"
            plain = f"dict[{names}, {'Any' if values is True else _type(values)}]"
        case str(kind):
            plain = _PLAIN[kind]
        case _:
            return "Any"
    limits = [f"{_LENGTHS[name]}={_literal(limit)}" for name, limit in schema.items() if name in _LENGTHS]
    return f"Annotated[{plain}, Field({', '.join(limits)})]" if limits else plain


def _routes(paths: Schema) -> Iterator[str]:
    yield _ROUTES
    yield _CLASS.format(name="Routes", whom="who waits for each answer", define="def")
    yield from _methods(paths, define="def", wait="")
    yield _CLASS.format(name="AsyncRoutes", whom="who awaits them", define="async def")
    yield from _methods(paths, define="async def", wait="await ")


def _methods(paths: Schema, **words: str) -> Iterator[str]:
    for path, item in paths.items():
        for method, operation in item.items():
            yield _METHOD.format(**words, **_operation(path, method, operation))
            if any(parameter["name"] == DRY_RUN for parameter in operation.get("parameters", ())):
                yield _METHOD.format(**words, **_rehearsal(path, method, operation))


def _rehearsal(path: str, method: str, operation: Schema) -> dict[str, str]:
    """A dry run answers something else, and so is a method of its own: `lint_spell` beside `create_spell`."""
    answers = {status: answer for status, answer in operation["responses"].items() if status == "200"}
    written = _operation(path, method, {**operation, "responses": answers})
    _, _, thing = written["name"].partition("_")
    query = f', query={{"{DRY_RUN}": "true"}}'
    summary = "What would be said of it; nothing is saved"
    return {**written, "name": f"lint_{thing}", "summary": summary, "given": query + written["given"]}


def _operation(path: str, method: str, operation: Schema) -> dict[str, str]:
    given: list[str] = []
    named: list[str] = []
    parameters: list[str] = []
    query: list[str] = []
    for parameter in operation.get("parameters", ()):
        name = parameter["name"].replace("-", "_")
        name += "_" if keyword.iskeyword(name) else ""
        match parameter["in"]:
            case "query" if parameter["name"] == DRY_RUN:
                continue
            case "path":
                parameters.append(f"{name}: str")
            case "header":
                named.append(f"{name}: str | None = None")
                given.append(f"key={name} or new_key()")
            case _:
                default = parameter["schema"].get("default")
                kind = _type(_unlimited(parameter["schema"]), models="models.")
                named.append(f"{name}: {kind} = {_literal(default)}")
                query.append(f'"{parameter["name"]}": {name}')
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        kind = _type(schema, models="models.") if schema.get("type") != "object" else "dict[str, Any]"
        optional = not operation["requestBody"].get("required", False)
        kind = f"{kind.removesuffix(' | None')} | Mapping[str, Any]{' | None' if optional else ''}"
        parameters.append(f"body: {kind}{' = None' if optional else ''}")
        given.insert(0, "body=body")
    if query:
        given.insert(0, f"query={{{', '.join(query)}}}")
    answer = _answer(operation["responses"])
    # Powertools adds path and method to the name of the function.
    added = re.sub(r"\W", "_", path) + "_" + method
    return {
        "name": operation["operationId"].removesuffix(added),
        "parameters": "".join(f", {part}" for part in [*parameters, *(["*"] if named else []), *named]),
        "answer": answer,
        "answer_type": "NoneType" if answer == "None" else answer,
        "summary": operation["summary"],
        "method": method.upper(),
        "path": ('f"' if "{" in path else '"') + re.sub(r"\{(\w+)\}", r"{quoted(\1)}", path) + '"',
        "given": "".join(f", {part}" for part in given),
    }


def _unlimited(schema: Schema) -> Schema:
    """The API says what is wrong with a query, in its own words."""
    if "anyOf" in schema:
        return {"anyOf": [_unlimited(choice) for choice in schema["anyOf"]]}
    return {key: value for key, value in schema.items() if key in ("type", "enum")}


def _answer(responses: Schema) -> str:
    for status, response in responses.items():
        if status.startswith("2") and status != "204" and "content" in response:
            json_content = response["content"].get("application/json")
            return _type(json_content["schema"], models="models.") if json_content else "str"
    return "None"


def _spell_schema(schemas: Schema) -> str:
    """What editors and other checkers go by."""
    text = json.dumps(schemas).replace("#/components/schemas/", "#/$defs/")
    known = json.loads(text)
    needed = ["SpellBody"]
    for name in needed:
        needed += [other for other in re.findall(r"#/\$defs/(\w+)", json.dumps(known[name])) if other not in needed]
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A spell of Spellcast",
        **{key: value for key, value in known["SpellBody"].items() if key != "title"},
        "$defs": {name: known[name] for name in sorted(needed[1:])},
    }
    # A key that another checker would refuse, so that a file may name its schema.
    document["properties"]["$schema"] = {"type": "string", "description": "Where this schema is; for editors."}
    return json.dumps(_without_titles(document), indent=2, ensure_ascii=False) + "\n"


def _without_titles(node: Any) -> Any:
    """Without the titles that are made from the names of the keys."""
    if isinstance(node, list):
        return [_without_titles(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _without_titles(value)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str) and " " not in value)
    }


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return f'r"{value}"' if "\\" in value else json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return repr(value)


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ").replace("\n    \n", "\n\n") + ("\n    " if "\n" in text else "")


def main() -> int:
    """Writes the files, and says which have changed."""
    for path, content in written(openapi()).items():
        if not path.exists() or path.read_text("utf-8") != content:
            path.write_text(content, "utf-8")
            print(f"{path.name} has changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
