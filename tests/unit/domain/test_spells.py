from __future__ import annotations

from typing import Any

import pytest

from spellcast.domain.documents import Document
from spellcast.domain.spells import Spell, SpellVersion, Step
from tests.fakes.clock import START
from tests.fakes.records import in_seconds


def a_spell(**changes: Any) -> Spell:
    values: dict[str, Any] = {
        "spell_id": "s",
        "account_id": "alice",
        "slug": "s",
        "name": "s",
        "visibility": "private",
        "version": 1,
        "created_at": START,
        "updated_at": START,
        **changes,
    }
    return Spell(**values)


@pytest.mark.parametrize(
    ("document", "step_id", "node_id"),
    [
        ({"id": "n1"}, "n1", "n1"),
        ({"id": "n1", "stepId": 4}, "n1", "n1"),
        ({"stepId": 4}, "4", None),
        ({"stepId": "s"}, "s", None),
        ({}, "3", None),
    ],
)
def test_both_step_shapes_are_read(document: Document, step_id: str, node_id: str | None) -> None:
    step = Step.parse({"toolIdentifier": "tool", **document}, 2)
    assert (step.step_id, step.node_id, step.tool_identifier) == (step_id, node_id, "tool")


def test_a_steps_sections_may_be_missing_or_null() -> None:
    assert Step.parse({"toolIdentifier": "tool", "parameterMappings": None}, 0) == Step(
        "1", None, "tool", "1.0.0", {}, {}, {}
    )


@pytest.mark.parametrize(
    ("document", "named"), [({}, None), ({"fallbackTool": None}, None), ({"fallbackTool": "b"}, "b")]
)
def test_a_step_may_name_a_fallback(document: Document, named: str | None) -> None:
    assert Step.parse({"toolIdentifier": "tool", **document}, 0).fallback_tool == named


def test_a_version_has_its_steps_in_their_order_and_what_it_exposes() -> None:
    content: Document = {
        "steps": [{"id": "b", "toolIdentifier": "tool"}, {"toolIdentifier": "tool"}],
        "exposedInputs": [{"nodeId": "b", "paramKey": "p", "defaultValue": 4}, {"nodeId": 2, "paramKey": "q"}],
    }
    version = SpellVersion(spell_id="s", version=1, name="n", content=content, created_at=START)
    assert [step.step_id for step in version.steps] == ["b", "2"]
    assert version.exposed == {("b", "p"): 4, ("2", "q"): None}


def test_a_version_may_expose_nothing() -> None:
    version = SpellVersion(spell_id="s", version=1, name="n", content={"steps": []}, created_at=START)
    assert version.exposed == {}


@pytest.mark.parametrize(
    ("visibility", "stranger", "grantee"),
    [("private", False, False), ("listed", False, True), ("public", True, True)],
)
def test_the_owner_may_always_cast_and_others_what_is_shared(visibility: Any, stranger: bool, grantee: bool) -> None:
    spell = a_spell(visibility=visibility)
    assert spell.may_be_cast_by("alice")
    assert (spell.may_be_cast_by("bob"), spell.may_be_cast_by("bob", granted=True)) == (stranger, grantee)


def test_a_changed_spell_has_its_next_version_and_keeps_its_owner_its_slug_and_its_birth() -> None:
    changed = a_spell(version=3, usage_count=8).changed(name="Renamed", visibility="listed", now=in_seconds(5))
    assert changed == a_spell(version=4, usage_count=8, name="Renamed", visibility="listed", updated_at=in_seconds(5))


def test_another_slug_is_all_that_a_taken_one_changes() -> None:
    assert a_spell().with_slug("s-2") == a_spell(slug="s-2")
