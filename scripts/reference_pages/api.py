"""docs/reference/api.md: routes, error codes, bodies and answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from scripts.reference_pages.shapes import Place, Schema, in_words, reachable, shape, shown_default
from scripts.reference_pages.texts import NOTE, anchor, cell, sentence
from spellcast.api.errors import status_of
from spellcast.domain.errors import SpellcastError, StepFailed

_API = f"""\
# The API

{NOTE}

JSON over HTTPS; keys are camelCase, times are ISO 8601 in UTC, money is a decimal text in US dollars.
`GET /openapi.json` answers the document from which this page is written, `GET /docs` a page to try it. `X-API-Key` or
`Authorization: Bearer` says who asks; what belongs to others does not exist. Unknown keys are faults, in a
body and in a query.

A refusal is `{{"error": {{"code", "message", "details"?}}}}`; `details` names every fault with its path. Besides the
codes that are named at a route, any may answer 503 `STORAGE_UNAVAILABLE`, 500 `DOCUMENT_LOST` and 500
`INTERNAL_ERROR`. What is too large for where it stands comes as `truncated`: [limits](../limits.md).

| route | does |
|---|---|
"""

_ERRORS = """
## Error codes

The list is closed. *Again* says whether the same request can succeed later.

### Of requests

| code | status | again | means | what to do |
|---|---|---|---|---|
"""

_FAILURES = """
### Of steps

In `error` of a generation, `failure` of its cast, and the caster's webhook. *Again* is the record's `retryable`.

| code | again | means | what to do |
|---|---|---|---|
"""


def page(document: Schema) -> str:
    """Routes by what they are about, error codes, then the shapes of bodies and answers."""
    shapes = document["components"]["schemas"]
    definition = reachable("ToolBody", shapes)

    def place(name: str) -> str:
        return f"{'tools.md' if name in definition else ''}#{anchor(name)}"

    operations = {
        f"{verb.upper()} {path}": operation
        for path, item in document["paths"].items()
        for verb, operation in item.items()
    }
    parts = [_API]
    parts += [f"| [`{name}`](#{anchor(name)}) | {operation['summary']} |\n" for name, operation in operations.items()]
    for group, members in groupby(operations.items(), key=lambda item: item[1]["tags"][0]):
        parts.append(f"\n## {group.title()}\n")
        for name, operation in members:
            parts += _route(name, operation, place)
    parts += _errors()
    parts.append("\n## Shapes\n\nWhat has a `?` may be absent.\n")
    parts += [shape(name, schema, place) for name, schema in shapes.items() if name not in definition]
    return "".join(parts)


def _route(name: str, operation: Schema, place: Place) -> Iterator[str]:
    needs = " Needs no key." if operation.get("security") == [] else ""
    yield f"\n### `{name}`\n\n{sentence(operation['summary'])}{needs}\n"
    if parameters := operation.get("parameters"):
        yield "\n| parameter | in | type | default | is |\n|---|---|---|---|---|\n"
        for parameter in parameters:
            # Headers are in lower case there, as API Gateway hands them over.
            shown = parameter["name"].title() if parameter["in"] == "header" else parameter["name"]
            default = "required" if parameter.get("required") else shown_default(parameter["schema"])
            kind, about = in_words(parameter["schema"], place), cell(parameter["description"])
            yield f"| `{shown}` | {parameter['in']} | {kind} | {default} | {about} |\n"
    if body := operation.get("requestBody"):
        kind = in_words(body["content"]["application/json"]["schema"], place)
        yield f"\nBody: {kind}{'' if body.get('required') else ', which may be absent'}.\n"
    given = [_given(status, answer, place) for status, answer in operation["responses"].items() if status < "300"]
    yield f"\nAnswers {' or '.join(given)}."
    refused = [
        f"{status} {', '.join(re.findall(r'(`[A-Z_]+`):', answer['description']))}"
        for status, answer in operation["responses"].items()
        if status >= "400"
    ]
    yield f" Refuses with {'; '.join(refused)}.\n" if refused else "\n"


def _given(status: str, answer: Schema, place: Place) -> str:
    content = answer.get("content", {})
    if status == "204" or not content:
        return status
    if "application/json" in content:
        return f"{status} with {in_words(content['application/json']['schema'], place)}"
    return f"{status} with {' or '.join(f'`{kind}`' for kind in content)}"


def _errors() -> Iterator[str]:
    kinds = [kind for kind in _family(SpellcastError) if kind.remedy]
    yield _ERRORS
    for kind in kinds:
        if not issubclass(kind, StepFailed):
            yield f"| `{kind.code}` | {status_of(kind)} | {_again(kind)} | {_means(kind)} | {cell(kind.remedy)} |\n"
    yield _FAILURES
    for kind in kinds:
        if issubclass(kind, StepFailed):
            yield f"| `{kind.code}` | {_again(kind)} | {_means(kind)} | {cell(kind.remedy)} |\n"


def _family(root: type[SpellcastError]) -> Iterator[type[SpellcastError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == root.__module__:
            yield from _family(child)


def _again(kind: type[SpellcastError]) -> str:
    return "yes" if kind.retryable else "no"


def _means(kind: type[SpellcastError]) -> str:
    return cell((kind.__doc__ or "").partition("\n")[0])
