"""Spells as files: what is read from them, and where each fault stands."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast_client import Fault
from spellcast_client.models import Spell
from spellcast_client.spell_files import MAX_BYTES, Place, SpellFile, is_same, read, write

GOOD = """\
name: A cat
steps:
  - id: words
    toolIdentifier: string-primitive
    parameterMappings:
      a.b: {type: static, value: no}
      text:
        type: static
        value: |
          two
          lines
"""


def yaml(text: str | bytes) -> SpellFile:
    return read(text.encode() if isinstance(text, str) else text, is_json=False)


def said(spell: SpellFile) -> list[tuple[int, int, str, str]]:
    found = spell.findings or spell.check()
    return [(item.place.line, item.place.column, item.path, item.message) for item in found]


def test_yaml_is_read_as_its_writers_mean_it() -> None:
    spell = yaml("name: no\ntags: [on, 2026-01-31, 12:30, 0x1f, 1_000, null, ~, true, 1, 1.5, 1e3, '']\nsteps: []")
    assert spell.body == {
        "name": "no",
        "tags": ["on", "2026-01-31", "12:30", "0x1f", "1_000", None, None, True, 1, 1.5, 1000.0, ""],
        "steps": [],
    }


def test_a_file_may_name_its_schema() -> None:
    assert read(b'{"$schema": "./spell.schema.json", "name": "n"}', is_json=True).body == {"name": "n"}


def test_json_may_be_indented_with_tabs_and_have_every_escape() -> None:
    text = '{\n\t"name": "\\ud83d\\ude00\\/\\t",\n\t"steps":\t[7]\n}'
    spell = read(text.encode(), is_json=True)
    assert spell.body["name"] == "\N{GRINNING FACE}/\t"
    assert spell.place_of("steps[0]") == Place(3, 12)


UNREADABLE: list[tuple[str | bytes, bool, int, int, str]] = [
    ("name: x\n\tsteps: 3", False, 2, 1, "is not YAML"),
    ("name: [x\nsteps: 3", False, 2, 6, "is not YAML"),
    ('{"name": "x",\n "steps" 1}', True, 2, 10, "is not JSON"),
    ('{"a" 1}', True, 1, 6, "no `:`"),
    ('{"a": [1 2]}', True, 1, 10, "a comma, or"),
    ('{"a": "\\x"}', True, 1, 8, "no such escape"),
    ('{"a": "\n"}', True, 1, 8, "line break"),
    ('{"a": "', True, 1, 7, "never closed"),
    ("{a: 1}", True, 1, 2, "in double quotes"),
    ('{"a": }', True, 1, 7, "a value is expected"),
    ("{} {}", True, 1, 4, "has ended"),
    ('{"name": NaN}', True, 1, 10, "NaN is no number"),
    ('{"name": "n",\n "steps": [1, -Infinity]}', True, 2, 15, "-Infinity is no number"),
    ('{"name": "n",\n "tags": ' + "7" * 5000 + "}", True, 2, 10, "less than 1,000 digits"),
    ('{"name": "\\ud83d"}', True, 1, 10, "half"),
    ('a: 1\n"\\ud83d": 1', False, 2, 1, "half"),
    (b"name: x\nab: \xff", False, 2, 5, "no UTF-8"),
    ("name: x\nab\x07", False, 2, 3, "character"),
    ("", False, 1, 1, "is an object"),
    ("\n- 1", False, 2, 1, "is an object"),
    ("a: 1\n---\nb: 2", False, 2, 1, "another document"),
    ("a: *b", False, 1, 4, "alias"),
    ("a: &b\n  - *b", False, 1, 4, "holds itself"),
    ("a: 1\nb: 2\na: 3", False, 3, 1, "given twice"),
    ('{"a": 1,\n "a": 2}', True, 2, 2, "given twice"),
    ("1: x", False, 1, 1, "put it into quotes"),
    ("a: x\n? [b]\n: c", False, 2, 3, "put it into quotes"),
    ("a: !!python/object:os.system x", False, 1, 4, "nothing like it"),
    ("a: !!binary eA==", False, 1, 4, "nothing like it"),
    ("a: 1e999", False, 1, 4, "nothing like it"),
    ("a: !!float nan", False, 1, 4, "nothing like it"),
    ("a: !!int abc", False, 1, 4, "is no whole number"),
    ("a: !!float abc", False, 1, 4, "is no number"),
    ("a: !!bool abc", False, 1, 4, "true or false"),
    ("a: 1\nb: !!int [1]", False, 2, 4, "nothing like it (int)"),
    ("a: !!str [b]", False, 1, 4, "nothing like it (str)"),
    ("? !!str [b]\n: c", False, 1, 3, "put it into quotes"),
    ("!!set {a}", False, 1, 1, "nothing like it (set)"),
    ('a: 1\nb: "\\UFFFFFFFF"', False, 2, 5, "no character"),
    ("%YAML 9" + "9" * 5000 + ".1\n---\na: 1", False, 1, 1, "first lines"),
    ("a:\n\tb: 1", False, 2, 1, "use spaces"),
    ("a:\n  b: 1\n c: 2", False, 3, 2, "look at the indentation"),
    ("a: b: c", False, 1, 5, "needs quotes"),
    ("a: @b", False, 1, 4, "put into quotes"),
    ("a: [b\n", False, 2, 1, "`]` is missing"),
    ('a: "b\nc: 1\n', False, 1, 4, "never closed"),
    ("a: 1\nb\nc: 1", False, 2, 1, "after this key"),
    ("[" * 5000, False, 1, 1, "nested"),
    ("[" * 100_000, True, 1, 1, "nested"),
    ("a: " + "[" * 70 + "]" * 70, False, 1, 64, "nested"),
    ("x" * (MAX_BYTES + 1), False, 1, 1, "at most"),
]


@pytest.mark.parametrize(("content", "is_json", "line", "column", "reason"), UNREADABLE)
def test_what_cannot_be_read_is_said_with_its_place(
    content: str | bytes, is_json: bool, line: int, column: int, reason: str
) -> None:
    spell = read(content.encode() if isinstance(content, str) else content, is_json=is_json)
    assert not spell.is_readable
    first = spell.findings[0]
    assert reason in first.message
    assert (first.place.line, first.place.column) == (line, column)


@given(
    st.lists(
        st.sampled_from(
            ["name", "steps", ": ", "- ", "\n", "  ", "\t", "!!int ", "!!str ", "!!set ", "!!map ", "{", "}", "["]
        )
        | st.sampled_from(
            ["]", ", ", "? ", '"', "'", "|", "&a ", "*a", "1", "1e9", "NaN", "%YAML", "---", "@", "\\u", "d83d"]
        )
        | st.text(max_size=2),
        max_size=20,
    ).map("".join),
    st.booleans(),
)
def test_whatever_a_file_holds_something_is_said_of_it(text: str, is_json: bool) -> None:
    found = read(text.encode("utf-8", "surrogatepass"), is_json=is_json)
    if found.is_readable:
        json.dumps(found.body, ensure_ascii=False, allow_nan=False).encode()
        assert found.check(), "no spell is as short as that"


def test_a_pair_of_escapes_is_one_character_in_yaml_too() -> None:
    assert yaml('name: "\\ud83d\\ude00"').body == {"name": "\N{GRINNING FACE}"}


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("name: n\nsteps: [words]", "steps[0]", "is to be an object"),
        ("name: n\nsteps: {a: 1}", "steps", "is to be a list"),
        ("name: n\nsteps: []", "steps", "is to have at least 1 of them"),
        ("name: n", "steps", "is missing"),
        ("name: ''\nsteps: [{toolIdentifier: t}]", "name", "is empty"),
        (f"name: {'n' * 201}\nsteps: [{{toolIdentifier: t}}]", "name", "has more than 200 characters"),
        ("name: n\nvisibility: odd\nsteps: [{toolIdentifier: t}]", "visibility", "is to be 'private'"),
        (
            "name: n\nsteps: [{toolIdentifier: t, parameterMappings: 1}]",
            "steps[0].parameterMappings",
            "is to be an object",
        ),
        (
            "name: n\nsteps: [{toolIdentifier: t, parameterMappings: {a: cat}}]",
            "steps[0].parameterMappings.a",
            "is to be {type: static",
        ),
        (
            "name: n\nsteps: [{toolIdentifier: t, parameterMappings: {a: {type: statik}}}]",
            "steps[0].parameterMappings.a",
            "is to be {type: static",
        ),
        (
            "name: n\nsteps: [{toolIdentifier: t, parameterMappings: {a: {value: 1}}}]",
            "steps[0].parameterMappings.a",
            "is to be {type: static",
        ),
    ],
)
def test_a_fault_says_what_is_expected(text: str, path: str, message: str) -> None:
    [(_, _, where, what)] = said(yaml(text))
    assert where == path
    assert what.startswith(message)


def test_aliases_cannot_make_a_file_too_large() -> None:
    lines = ["a0: &a0 [1, 1]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    began = time.process_time()
    spell = yaml("\n".join(lines))
    assert [item.message for item in spell.findings] == ["the file is too large with all its aliases"]
    assert time.process_time() - began < 30


def test_every_fault_of_a_shape_is_said_at_once() -> None:
    spell = yaml(
        "name: 5\n"
        "colour: red\n"
        "steps:\n"
        "  - id: a\n"
        "    toolIdentifier: t\n"
        "    parameterMappings:\n"
        "      a.b: {type: static, valu: 1}\n"
        "      c: {type: other}\n"
        "  - stepId: []\n"
    )
    assert [(line, column, path) for line, column, path, _ in said(spell)] == [
        (1, 1, "name"),
        (2, 1, "colour"),
        (7, 27, "steps[0].parameterMappings.a.b.valu"),
        (8, 7, "steps[0].parameterMappings.c"),
        (9, 5, "steps[1].stepId"),
        (9, 5, "steps[1].stepId"),
        (9, 5, "steps[1].toolIdentifier"),
    ]


def test_a_good_spell_has_no_fault() -> None:
    assert said(yaml(GOOD)) == []


@pytest.mark.parametrize(
    ("path", "line", "column"),
    [
        ("", 1, 1),
        ("name", 1, 1),
        ("steps", 2, 1),
        ("steps[0]", 3, 5),
        ("steps[0].toolIdentifier", 4, 5),
        ("steps[0].parameterMappings.a.b.value", 6, 27),
        ("steps[0].parameterMappings.a", 5, 5),
        ("steps[0].gone", 3, 5),
        ("steps[7].gone", 2, 1),
        ("exposedInputs[0].nodeId", 1, 1),
    ],
)
def test_the_place_of_what_the_api_names(path: str, line: int, column: int) -> None:
    [finding] = yaml(GOOD).located([Fault(path, "m")])
    assert (finding.place.line, finding.place.column) == (line, column)


def test_a_key_with_dots_is_not_taken_for_another() -> None:
    assert yaml("a: {b: 1}\na.b: 2\nc: 3").place_of("a.b") == Place(2, 1)


def spell(**content: Any) -> Spell:
    known = {"spellId": "s", "slug": "s", "name": "n", "version": 1, "visibility": "private", "ownedBy": "a"}
    times = {"usageCount": 0, "createdAt": "2026-01-31T12:00:00Z", "updatedAt": "2026-01-31T12:00:00Z"}
    return Spell.model_validate({**known, **times, **content})


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(min_size=1), json_values, max_size=4), st.booleans())
def test_what_is_pulled_is_what_is_pushed(overrides: dict[str, Any], as_json: bool) -> None:
    step = {"id": "a", "toolIdentifier": "t", "parameterOverrides": overrides}
    pulled = write(spell(steps=[step]), as_json=as_json)
    again = read(pulled.encode("utf-8", "surrogatepass"), is_json=as_json)
    assert again.findings == []
    assert again.body == {"name": "n", "visibility": "private", "steps": [step]}


def test_texts_of_several_lines_stand_as_they_are() -> None:
    step = {"toolIdentifier": "expression", "parameterOverrides": {"expression": "one\ntwo"}}
    assert "expression: |-\n" in write(spell(steps=[step]), as_json=False)


def test_what_would_be_the_same_version_is_known() -> None:
    steps = [{"id": "a", "toolIdentifier": "t"}]
    kept = spell(steps=steps, description="")
    assert is_same({"name": "n", "steps": steps}, kept)
    assert is_same({"name": "n", "steps": json.loads(json.dumps(steps)), "tags": [], "visibility": "private"}, kept)
    assert not is_same({"name": "n", "steps": steps, "tags": ["a"]}, kept)
    assert not is_same({"name": "n", "steps": steps, "visibility": "listed"}, kept)
    assert not is_same({"name": "n", "steps": steps}, spell(steps=steps, tags=["a"]))
    assert not is_same({"name": "m", "steps": steps}, kept)
