"""docs/cli.md says what is true: it is what its script writes, and its example is a spell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from functools import partial

import pytest

from scripts import generate_cli_docs
from spellcast_client import Client, Message
from spellcast_client.cli.main import cli
from spellcast_client.spell_files import read
from tests.fakes.world import World
from tests.unit.api.caller import KEY, Caller
from tests.unit.client.api import transport
from tests.unit.client.conftest import ADDRESS
from tests.unit.client.test_cli import ALL

DOCUMENT = generate_cli_docs.PAGE.read_text("utf-8")


def test_it_is_what_the_commands_say() -> None:
    assert generate_cli_docs.page() == DOCUMENT, "make generated writes it anew"


@pytest.mark.parametrize("names", ALL, ids=" ".join)
def test_every_command_has_its_place(names: tuple[str, ...]) -> None:
    assert f"\n### spellcast {' '.join(names)}\n" in DOCUMENT


def test_every_command_that_it_shows_exists() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL)
    shown = re.findall(r"^spellcast ([a-z]+)", "".join(blocks), re.MULTILINE)
    assert shown
    assert set(shown) <= cli.commands.keys()


def test_its_program_casts_a_spell(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    through = transport(Caller(world))
    [example] = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    Client(ADDRESS, KEY, transport=through).create_spell(
        {"name": "A cat in oil", "steps": [{"id": "words", "toolIdentifier": "paid"}]}
    )

    def end(self: Client, cast_id: str) -> Iterator[Message]:
        cast = world.store.get_cast(cast_id)
        assert cast
        world.execute(cast)
        world.process(cast)
        world.settle(cast)
        yield Message.of("castSnapshot", self.get_cast(cast_id))

    monkeypatch.setattr("spellcast_client.Client", partial(Client, transport=through), raising=False)
    monkeypatch.setattr(Client, "watch", end)
    said: list[tuple[object, ...]] = []
    exec(example, {"api_key": KEY, "print": lambda *words: said.append(words)})
    assert said == [("castSnapshot", "completed"), (Decimal("0.01"),)]


def test_its_spell_has_no_fault() -> None:
    [example] = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
    spell = read(example.encode(), is_json=False)
    assert spell.is_readable
    assert spell.check() == []
