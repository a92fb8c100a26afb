"""The original's spell documents, kept as spells of the account that casts them."""

from __future__ import annotations

from typing import Any

import pytest

from spellcast.domain.errors import InvalidInput, SpellNotExecutable
from tests.fakes.world import ACCOUNT, World

OID = "65f1c0ffee65f1c0ffee0001"
# As the web client stores it, and as the chat commands do.
CANVAS = {
    "_id": {"$oid": OID},
    "slug": "a-cat-65f1c0",
    "publicSlug": None,
    "name": "A cat",
    "description": None,
    "creatorId": {"$oid": "65f1c0ffee65f1c0ffee00aa"},
    "ownedBy": ACCOUNT,
    "visibility": "public",
    "usageCount": 7,
    "rating": {"avg": 0, "count": 0},
    "exposedInputs": [{"nodeId": "n0", "paramKey": "prompt", "paramType": "string", "label": "Prompt"}, "n0_prompt"],
    "steps": [
        {
            "id": "n0",
            "toolIdentifier": "free",
            "toolVersion": "1.0.0",
            "displayName": None,
            "colour": "red",
            "parameterMappings": {
                "prompt": {"type": "static", "value": "a cat", "label": "x"},
                "other": None,
            },
            "outputMappings": {"text": "input_text", "image": None},
        },
        {
            "id": 2,
            "toolId": "paid",
            "parameterMappings": {"text": {"type": "nodeOutput", "nodeId": "n0", "outputKey": "text"}},
        },
    ],
}
COMMAND = {
    "_id": OID,
    "name": "A cat",
    "isPublic": False,
    "steps": [
        {
            "stepId": 1,
            "toolIdentifier": "Free",
            "parameterOverrides": {"prompt": "a cat"},
            "parameters": {"prompt": "x"},
        }
    ],
}


def document(**changes: Any) -> dict[str, Any]:
    return {**COMMAND, **changes}


def test_a_canvas_spell_is_kept_without_what_nothing_here_reads() -> None:
    spell, version = World().adopt_spell(ACCOUNT, CANVAS)
    assert (spell.account_id, spell.slug, spell.name, spell.visibility) == (ACCOUNT, "a-cat-65f1c0", "A cat", "public")
    assert version.content == {
        "exposedInputs": [{"nodeId": "n0", "paramKey": "prompt", "paramType": "string"}],
        "steps": [
            {
                "id": "n0",
                "toolIdentifier": "free",
                "toolVersion": "1.0.0",
                "parameterMappings": {"prompt": {"type": "static", "value": "a cat"}},
                "outputMappings": {"text": "input_text"},
            },
            {
                "id": "2",
                "toolIdentifier": "paid",
                "parameterMappings": {"text": {"type": "nodeOutput", "nodeId": "n0", "outputKey": "text"}},
            },
        ],
    }


def test_a_fallback_is_kept_and_judged() -> None:
    steps = [{"stepId": 1, "toolIdentifier": "free", "fallbackTool": "paid"}]
    _, version = World().adopt_spell(ACCOUNT, {**COMMAND, "steps": steps})
    assert version.steps[0].fallback_tool == "paid"
    with pytest.raises(InvalidInput) as refused:
        World().adopt_spell(ACCOUNT, {**COMMAND, "steps": [{**steps[0], "fallbackTool": "gone"}]})
    assert [fault.path for fault in refused.value.faults] == ["steps[0].fallbackTool"]


@pytest.mark.parametrize("mapping", [{"type": "uploaded", "value": 1}, {"type": {"x": 1}}, {}, "raw", 1])
def test_a_mapping_that_the_original_ignored_is_refused_by_its_path(mapping: Any) -> None:
    world = World()
    steps = [{"toolIdentifier": "free", "parameterMappings": {"text": mapping}}]
    with pytest.raises(InvalidInput) as refused:
        world.adopt_spell(ACCOUNT, {**CANVAS, "steps": steps})
    assert [fault.path for fault in refused.value.faults] == ["steps[0].parameterMappings.text"]
    assert world.store.list_spells(ACCOUNT, limit=1, cursor=None).items == []


def test_a_command_spell_is_kept_by_its_overrides_and_not_by_its_parameters() -> None:
    spell, version = World().adopt_spell(ACCOUNT, COMMAND)
    assert spell.visibility == "private"
    (step,) = version.steps
    assert (step.step_id, step.node_id, step.parameter_overrides) == ("1", None, {"prompt": "a cat"})


@pytest.mark.parametrize(
    ("changes", "visibility"),
    [
        ({}, "private"),
        ({"isPublic": True}, "public"),
        ({"visibility": "listed"}, "listed"),
        ({"visibility": "unlisted", "isPublic": True}, "private"),
        ({"isPublic": True, "ownedBy": ACCOUNT}, "public"),
        # Whoever casts another's public spell does not publish a copy.
        ({"isPublic": True, "ownedBy": "bob"}, "private"),
        ({"isPublic": True, "creatorId": {"$oid": "b0b"}}, "private"),
    ],
    ids=str,
)
def test_visibility(changes: dict[str, Any], visibility: str) -> None:
    assert World().adopt_spell(ACCOUNT, document(**changes))[0].visibility == visibility


def test_the_same_document_is_the_same_version_however_its_id_is_written() -> None:
    world = World()
    first = world.adopt_spell(ACCOUNT, COMMAND)
    assert world.adopt_spell(ACCOUNT, document(_id={"$oid": OID}, usageCount=9)) == first


def test_another_accounts_copy_is_another_spell() -> None:
    world = World()
    (mine, _), (theirs, _) = (world.adopt_spell(account, CANVAS) for account in (ACCOUNT, "bob"))
    assert mine.spell_id != theirs.spell_id
    assert (theirs.slug, theirs.visibility) == (f"a-cat-65f1c0-{theirs.spell_id[:8]}", "private")


@pytest.mark.parametrize("changes", [{"name": "A dog"}, {"tags": ["x"]}, {"isPublic": True}], ids=str)
def test_a_changed_document_is_the_next_version(changes: dict[str, Any]) -> None:
    world = World()
    before, _ = world.adopt_spell(ACCOUNT, COMMAND)
    spell, version = world.adopt_spell(ACCOUNT, document(**changes))
    assert (spell.spell_id, spell.slug, version.version) == (before.spell_id, before.slug, 2)
    assert spell == world.store.get_spell(spell.spell_id)
    assert world.adopt_spell(ACCOUNT, document(**changes)) == (spell, version)


def test_without_an_id_the_content_is_the_id() -> None:
    world = World()
    nameless = {key: value for key, value in COMMAND.items() if key != "_id"}
    spell, _ = world.adopt_spell(ACCOUNT, nameless)
    assert world.adopt_spell(ACCOUNT, nameless)[0] == spell
    other, version = world.adopt_spell(ACCOUNT, {**nameless, "tags": ["x"]})
    assert other.spell_id != spell.spell_id and version.version == 1


def test_a_document_of_ours_is_the_version_that_it_names() -> None:
    world = World()
    spell, _ = world.adopt_spell(ACCOUNT, COMMAND)
    world.adopt_spell(ACCOUNT, document(name="Later"))
    ours = {"spellId": spell.spell_id, "version": 1, "name": "whatever", "steps": []}
    _, version = world.adopt_spell(ACCOUNT, ours)
    assert (version.version, version.name) == (1, "A cat")
    assert world.adopt_spell(ACCOUNT, {"spellId": spell.spell_id})[1].version == 2


def test_an_id_of_ours_that_is_not_known_here_is_adopted() -> None:
    world = World()
    theirs, _ = world.adopt_spell("bob", COMMAND)
    copy, version = world.adopt_spell(ACCOUNT, {**COMMAND, "_id": None, "spellId": theirs.spell_id, "version": 1})
    assert (copy.account_id, version.version) == (ACCOUNT, 1)
    assert copy.spell_id != theirs.spell_id


def test_two_who_adopt_it_at_once_adopt_one() -> None:
    world = World()
    world.store.meanwhile.append(lambda: world.adopt_spell(ACCOUNT, COMMAND))
    spell, version = world.adopt_spell(ACCOUNT, COMMAND)
    assert (spell.version, version.version) == (1, 1)
    assert len(world.store.list_spells(ACCOUNT, limit=9, cursor=None).items) == 1


@pytest.mark.parametrize(("theirs", "latest"), [("A dog", 2), ("A fish", 3)])
def test_two_who_change_it_at_once_both_have_their_version(theirs: str, latest: int) -> None:
    world = World()
    world.adopt_spell(ACCOUNT, COMMAND)
    world.store.meanwhile.append(lambda: world.adopt_spell(ACCOUNT, document(name=theirs)))
    _, version = world.adopt_spell(ACCOUNT, document(name="A dog"))
    assert (version.name, version.version) == ("A dog", latest)


def test_a_spell_that_was_deleted_here_comes_back_as_a_version_that_was_never_written() -> None:
    world = World()
    spell, _ = world.adopt_spell(ACCOUNT, COMMAND)
    world.delete_spell(ACCOUNT, spell.spell_id)
    again, version = world.adopt_spell(ACCOUNT, document(name="A dog"))
    assert (again.spell_id, version.version) == (spell.spell_id, 2)
    first = world.store.get_version(spell.spell_id, 1)
    assert first is not None and first.name == "A cat"
    world.delete_spell(ACCOUNT, spell.spell_id)
    assert world.adopt_spell(ACCOUNT, COMMAND)[1].version == 3


STEP = {"toolIdentifier": "free"}


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], 'Invalid stepIndex 0 for spell "A cat" with 0 steps'),
        (None, 'Invalid stepIndex 0 for spell "A cat" with 0 steps'),
        ([None], 'Step at index 0 is undefined in spell "A cat"'),
        ([STEP, None], 'Step at index 1 is undefined in spell "A cat"'),
        ([{}], 'Step 0 in spell "A cat" is missing toolIdentifier'),
        ([STEP, {"stepId": 7}], 'Step 7 in spell "A cat" is missing toolIdentifier'),
        ([STEP, {"id": "n1", "toolIdentifier": ""}], 'Step 1 in spell "A cat" is missing toolIdentifier'),
        (
            [{"toolIdentifier": "spell:x"}],
            "Tool with name or ID 'spell:x' not found in registry for step 0 of spell \"A cat\".",
        ),
        (
            [{"toolIdentifier": "x" * 3_000}],
            f"Tool with name or ID '{'x' * 3_000}' not found in registry for step 0 of spell \"A cat\".",
        ),
        (
            [STEP, {"stepId": 2, "toolId": "none"}],
            "Tool with name or ID 'none' not found in registry for step 2 of spell \"A cat\".",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_the_originals_refusals_have_its_words_and_nothing_is_written(steps: Any, message: str) -> None:
    world = World()
    with pytest.raises(SpellNotExecutable) as raised:
        world.adopt_spell(ACCOUNT, document(steps=steps))
    assert str(raised.value) == message
    assert world.store.list_spells(ACCOUNT, limit=1, cursor=None).items == []


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"name": " "}, "name"),
        ({"name": None}, "name"),
        ({"tags": "cats"}, "tags"),
        ({"steps": [{**STEP, "parameterOverrides": 7}]}, "steps[0].parameterOverrides"),
        ({"steps": [{**STEP, "id": "a"}, {**STEP, "id": "a"}]}, "steps[1].id"),
        ({"connections": [{"at": object()}]}, "spell"),
        ({"description": float("nan")}, "spell"),
    ],
    ids=str,
)
def test_what_a_spell_here_cannot_be_is_refused_with_its_path(changes: dict[str, Any], path: str) -> None:
    world = World()
    with pytest.raises(InvalidInput) as raised:
        world.adopt_spell(ACCOUNT, document(**changes))
    assert path in {fault.path for fault in raised.value.faults}
    assert world.store.list_spells(ACCOUNT, limit=1, cursor=None).items == []
