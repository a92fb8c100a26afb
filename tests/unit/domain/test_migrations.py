from __future__ import annotations

import pytest

from spellcast.domain.documents import Document
from spellcast.domain.migrations import names_now, renamed
from spellcast.domain.tools import Tool, parse_tool
from tests.fakes.records import tool_document


def migrated(version: str, **parameters: Document) -> Tool:
    """A tool of this version; `v9_0_0={...}` are the renames of 9.0.0."""
    migrations = {key[1:].replace("_", "."): {"parameters": renames} for key, renames in parameters.items()}
    return parse_tool(tool_document(version=version, migrations=migrations))


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        pytest.param("new", {"new"}, id="one name"),
        pytest.param({"default": "new"}, {"new"}, id="a default"),
        pytest.param(
            {"default": "new", "when": {"field": "mode", "value": 1, "use": "other"}},
            {"new", "other"},
            id="either name, as another value decides",
        ),
        pytest.param({"when": {"field": "mode", "value": 1, "use": "other"}}, {"other"}, id="one of them or none"),
        pytest.param({"default": None}, set(), id="taken away"),
    ],
)
def test_an_old_name_may_reach_the_tool_under_each_of_its_new_ones(rule: str | Document, names: set[str]) -> None:
    tool = migrated("2.0.0", v1_0_0={"old": rule})
    assert names_now("old", "1.0.0", tool) == names
    assert names_now("untouched", "1.0.0", tool) == {"untouched"}


def test_versions_follow_each_other_as_numbers() -> None:
    tool = migrated("11.0.0", v10_0_0={"second": "third"}, v9_0_0={"first": "second"})
    assert renamed({"first": 1}, "8.0.0", tool) == {"third": 1}
    assert names_now("first", "8.0.0", tool) == {"third"}


def test_what_a_step_gives_is_not_changed() -> None:
    given = {"old": 1}
    assert renamed(given, "1.0.0", migrated("2.0.0", v1_0_0={"old": "new"})) == {"new": 1}
    assert given == {"old": 1}
