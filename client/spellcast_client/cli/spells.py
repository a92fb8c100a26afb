"""Spells as files, and as the API keeps them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spellcast_client.cli.session import Exit, Failure, Session, command
from spellcast_client.errors import SpellcastError

if TYPE_CHECKING:
    from spellcast_client.client import Client
    from spellcast_client.models import Spell
    from spellcast_client.spell_files import Finding, SpellFile

SCHEMA = Path(__file__).resolve().parent.parent / "spell.schema.json"
_FILES = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))


@dataclass(frozen=True)
class Read:
    """A file as it was given, and what is in it."""

    name: str
    spell: SpellFile

    def document(self, findings: Sequence[Finding], **more: Any) -> dict[str, Any]:
        """For programs."""
        return {"file": self.name, "findings": [finding.document() for finding in findings], **more}

    def lines(self, findings: Sequence[Finding]) -> list[str]:
        """As compilers write them, so that editors find the place."""
        return [
            f"{self.name}:{finding.place.line}:{finding.place.column}: "
            + ("warning: " if finding.is_warning else "")
            + (f"{finding.path}: " if finding.path else "")
            + finding.message
            for finding in findings
        ]


def add_to(cli: click.Group) -> None:
    """`spellcast spells`."""

    @cli.group()
    def spells() -> None:
        """Spells, as files and as the API keeps them."""

    @command(spells)
    @_FILES
    @click.option("--offline", is_flag=True, help="Look at the shape only; tools and wires are not known then.")
    def lint(session: Session, files: Sequence[Path], offline: bool) -> None:
        """Say what is wrong with spells, every fault with its line and column; nothing is saved.

        A file may be `-` for standard input. Warnings do not count as faults.
        """
        found = _lint_all(session, [_read(file) for file in files], offline)
        wrong = sum(not finding.is_warning for _, findings in found for finding in findings)
        document = {"faults": wrong, "files": [read.document(findings) for read, findings in found]}
        lines = [line for read, findings in found for line in read.lines(findings)]
        session.answer(document, lambda: _text("\n".join(lines) or "No fault was found."))
        if wrong:
            raise SystemExit(Exit.BAD_INPUT)

    @command(spells)
    @_FILES
    @click.option("--spell", metavar="SPELL", help="The spell that gets the new version, where its name has changed.")
    def push(session: Session, files: Sequence[Path], spell: str | None) -> None:
        """Save spells: as a new version of your spell of the same name, or as a new spell.

        What would be the same version again is not saved. All files are looked at before the first is saved.
        """
        if spell and len(files) > 1:
            raise Failure("--spell says which spell one file is: push the others without it.")
        reads = [_read(file) for file in files]
        _refuse([(read, read.spell.findings) for read in reads])
        with session.client() as client:
            _refuse([(read, _ask(client, read.spell)) for read in reads])
            saved = [(read, *_save(client, read.spell, spell)) for read in reads]
        document = {
            "spells": [
                read.document(_warnings(read.spell, kept), spell=kept.document(), change=change)
                for read, kept, change in saved
            ]
        }
        lines = [
            line
            for read, kept, change in saved
            for line in [
                *read.lines(_warnings(read.spell, kept)),
                f"{kept.name} ({kept.slug}), version {kept.version}: {change}",
            ]
        ]
        session.answer(document, lambda: _text("\n".join(lines)))

    @command(spells)
    @click.argument("spell")
    @click.option("--version", type=click.IntRange(1), help="The latest where none is named.")
    @click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to; a name with .json for JSON.")
    @click.option("--force", is_flag=True, help="Replace a file that is there.")
    def pull(session: Session, spell: str, version: int | None, output: Path | None, force: bool) -> None:
        """Write a spell as a file that can be changed and pushed."""
        from spellcast_client.spell_files import write

        if output and output.exists() and not force:
            raise Failure(f"{output} is there already: --force replaces it.")
        with session.client() as client:
            found = client.get_spell(spell, version=version)
        text = write(found, as_json=session.as_json or bool(output and output.suffix == ".json"))
        if output:
            _write(output, text)
            session.note(f"{found.name}, version {found.version}, is in {output}.")
        else:
            click.echo(text, nl=False)

    @command(spells)
    @click.argument("spell")
    @click.option("--version", type=click.IntRange(1), help="The latest where none is named.")
    def show(session: Session, spell: str, version: int | None) -> None:
        """A spell: its steps, where their inputs come from, and what its caster can set."""
        with session.client() as client:
            found = client.get_spell(spell, version=version)
        session.answer(found.document(), lambda: _shown(found))

    @command(spells, name="list")
    @click.option("--limit", type=click.IntRange(1, 100), default=25, show_default=True, help="How many at most.")
    @click.option("--cursor", help="The part after the one that named this cursor.")
    def list_spells(session: Session, limit: int, cursor: str | None) -> None:
        """Your spells."""
        with session.client() as client:
            found = client.list_spells(limit=limit, cursor=cursor)
        session.answer(found.document(), lambda: _table(found.spells, found.cursor))

    @command(spells)
    def schema(session: Session) -> None:
        """Print the JSON Schema of spell files, for editors; it is JSON in any case."""
        click.echo(SCHEMA.read_text("utf-8"), nl=False)


def _read(file: Path) -> Read:
    from spellcast_client.spell_files import read

    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}.") from error
    is_json = file.suffix == ".json" or (str(file) == "-" and content.lstrip()[:1] == b"{")
    return Read("<standard input>" if str(file) == "-" else str(file), read(content, is_json=is_json))


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise Failure(f"{file} cannot be written: {error.strerror}.") from error


def _lint_all(session: Session, reads: Sequence[Read], offline: bool) -> list[tuple[Read, list[Finding]]]:
    if not offline:
        try:
            with session.client() as client:
                return [(read, read.spell.findings or _ask(client, read.spell)) for read in reads]
        except Failure as failure:
            if failure.exit_code is not Exit.NO_ACCESS:
                raise
            session.note(f"Tools and wires were not looked at. {failure.message}")
    return [(read, read.spell.findings or read.spell.check()) for read in reads]


def _ask(client: Client, spell: SpellFile) -> list[Finding]:
    """What the API says of a spell, with places."""
    try:
        return spell.located(client.lint_spell(spell.body).warnings, is_warning=True)
    except SpellcastError as error:
        if not error.faults:
            raise
        return spell.located(error.faults)


def _refuse(found: Sequence[tuple[Read, Sequence[Finding]]]) -> None:
    """Ends the command where there is a fault."""
    wrong = [(read, [item for item in findings if not item.is_warning]) for read, findings in found]
    if not any(findings for _, findings in wrong):
        return
    lines = [line for read, findings in wrong for line in read.lines(findings)]
    files = [read.document(findings) for read, findings in wrong]
    error = {"code": "INVALID_INPUT", "message": "Nothing was saved.", "files": files}
    raise Failure("\n".join(["Nothing was saved.", *lines]), Exit.BAD_INPUT, {"error": error})


def _save(client: Client, spell: SpellFile, named: str | None) -> tuple[Spell, str]:
    from spellcast_client.spell_files import is_same

    name = named or _own(client, spell.body["name"])
    if name is None:
        return client.create_spell(spell.body), "created"
    known = client.get_spell(name)
    if is_same(spell.body, known):
        return known, "unchanged"
    return client.update_spell(known.spell_id, spell.body), "updated"


def _own(client: Client, name: str) -> str | None:
    """The slug of the account's spell of this name; a slug that looks like the name may be another spell's."""
    found, cursor = [], None
    while True:
        part = client.list_spells(limit=100, cursor=cursor)
        found += [spell.slug for spell in part.spells if spell.name == name.strip()]
        cursor = part.cursor
        if not cursor:
            break
    if len(found) > 1:
        raise Failure(
            f"You have several spells of this name. Say which with --spell: {', '.join(found)}", Exit.CONFLICT
        )
    return found[0] if found else None


def _warnings(spell: SpellFile, kept: Spell) -> list[Finding]:
    return spell.located(kept.warnings or [], is_warning=True)


def _text(text: str) -> Any:
    from rich.text import Text

    return Text(text)


def _table(spells: Sequence[Spell], cursor: str | None) -> Any:
    from rich.console import Group

    from spellcast_client.cli.tables import facts, moment, table

    rows = table("spell", "name", "version", "visibility", "casts", "updated")
    for spell in spells:
        rows.add_row(
            spell.slug,
            spell.name,
            str(spell.version),
            spell.visibility,
            str(spell.usage_count),
            moment(spell.updated_at),
        )
    return Group(rows, facts(next=f"--cursor {cursor}")) if cursor else rows


def _shown(spell: Spell) -> Any:
    from rich.console import Group

    from spellcast_client.cli.tables import facts, moment, table

    exposed = [f"{item.get('nodeId')}_{item.get('paramKey')}" for item in spell.exposed_inputs or []]
    said = facts(
        name=spell.name,
        spell=spell.slug,
        version=spell.version,
        visibility=spell.visibility,
        about=spell.description,
        tags=", ".join(spell.tags or []),
        inputs=", ".join(exposed),
        updated=moment(spell.updated_at),
    )
    steps = table("", "step", "tool", "inputs")
    for number, step in enumerate(spell.steps or [], 1):
        given = {**step.get("parameterMappings", {}), **step.get("parameterOverrides", {})}
        inputs = [f"{name} {_source(value)}" for name, value in given.items()]
        tool = str(step.get("toolIdentifier"))
        fallback = f"\nor {step['fallbackTool']}" if step.get("fallbackTool") else ""
        steps.add_row(str(number), str(step.get("id") or step.get("stepId") or ""), tool + fallback, "\n".join(inputs))
    return Group(said, "", steps)


def _source(value: Any) -> str:
    match value:
        case {"type": "nodeOutput", "nodeId": node, "outputKey": key}:
            return f"← {node}.{key}"
        case {"type": "static"}:
            value = value.get("value")
    from spellcast_client.cli.tables import shortened

    return f"= {shortened(str(value), 60)}"
