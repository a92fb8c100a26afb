"""docs/cli.md says what is true: it is what its script writes, and its example is a spell."""

from __future__ import annotations

import re

import pytest

from scripts import generate_cli_docs
from spellcast_client.cli.main import cli
from spellcast_client.spell_files import read
from tests.unit.client.test_cli import ALL

DOCUMENT = generate_cli_docs.PAGE.read_text("utf-8")


def test_it_is_what_the_commands_say() -> None:
    assert generate_cli_docs.page() == DOCUMENT, "make client writes it anew"


@pytest.mark.parametrize("names", ALL, ids=" ".join)
def test_every_command_has_its_place(names: tuple[str, ...]) -> None:
    assert f"\n### spellcast {' '.join(names)}\n" in DOCUMENT


def test_every_command_that_it_shows_exists() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL)
    shown = re.findall(r"^spellcast ([a-z]+)", "".join(blocks), re.MULTILINE)
    assert shown
    assert set(shown) <= cli.commands.keys()


def test_its_spell_has_no_fault() -> None:
    [example] = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
    spell = read(example.encode(), is_json=False)
    assert spell.is_readable
    assert spell.check() == []
