"""What every command has: the API, a way to answer people and programs, and failures that say what to do."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from functools import wraps
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from spellcast_client.errors import UNEXPECTED_ANSWER, UNREACHABLE, SpellcastError

if TYPE_CHECKING:
    from rich.console import Console

    from spellcast_client.client import Client
    from spellcast_client.profiles import Profiles, Target


class Exit(IntEnum):
    """How a command ends; documented in docs/cli.md."""

    OK = 0
    CAST_FAILED = 1
    BAD_INPUT = 2
    NOT_FOUND = 3
    NO_ACCESS = 4
    UNREACHABLE = 5
    CONFLICT = 6
    SERVER_FAULT = 7
    INTERRUPTED = 130


MEANINGS = {
    Exit.OK: "Done. Of a cast that is watched: it has completed.",
    Exit.CAST_FAILED: "The cast that was watched has failed or was cancelled, or `doctor` has found a fault.",
    Exit.BAD_INPUT: "The command, a file or a value is wrong; every fault is named.",
    Exit.NOT_FOUND: "There is no such spell, cast, tool or step, or it belongs to another account.",
    Exit.NO_ACCESS: "No API is known, there is no key for it, or the key is not good.",
    Exit.UNREACHABLE: "The API does not answer.",
    Exit.CONFLICT: "It is not possible as things stand: a cast that runs cannot be resumed, and the like.",
    Exit.SERVER_FAULT: "The API has failed, or answered something unknown.",
    Exit.INTERRUPTED: "Ctrl-C. A cast that was watched goes on.",
}
_NEXT = {
    Exit.NO_ACCESS: "Log in with a good key: spellcast login",
    Exit.UNREACHABLE: "See what is wrong: spellcast doctor",
}
# Where the API itself says nothing, its status means nothing.
_BY_CODE = {UNREACHABLE: Exit.UNREACHABLE, UNEXPECTED_ANSWER: Exit.SERVER_FAULT}
_BY_STATUS = {400: Exit.BAD_INPUT, 401: Exit.NO_ACCESS, 403: Exit.NO_ACCESS, 404: Exit.NOT_FOUND, 409: Exit.CONFLICT}
_BY_STATUS |= {413: Exit.BAD_INPUT}


# What a text must not do to a terminal: move its cursor, change its title, hide what follows.
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def without_controls(text: str) -> str:
    """A text that may come from elsewhere, as a terminal can show it."""
    return text.translate(_CONTROLS)


class Failure(click.ClickException):
    """Ends a command with a sentence, or with a document where the command was asked for one."""

    def __init__(self, message: str, code: Exit = Exit.BAD_INPUT, document: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.exit_code = code
        self.document = document or {"error": {"code": code.name, "message": message}}
        self.as_json = False

    @classmethod
    def of(cls, error: SpellcastError) -> Failure:
        """What the API said, and what to do next."""
        code = _BY_CODE.get(error.code) or _BY_STATUS.get(error.status or 0, Exit.SERVER_FAULT)
        lines = [error.message, *(f"  {fault.path}: {fault.message}" for fault in error.faults)]
        if code is Exit.SERVER_FAULT and error.request_id:
            lines.append(f"The operator of the API can find it by its request id, {error.request_id}.")
        if code in _NEXT:
            lines.append(_NEXT[code])
        return cls("\n".join(lines), code, error.document())

    def show(self, file: IO[Any] | None = None) -> None:
        """On standard error."""
        if self.as_json:
            click.echo(json.dumps(self.document, ensure_ascii=False), err=True)
        else:
            click.secho("Error: ", nl=False, fg="red", err=True)
            click.echo(without_controls(self.message), err=True)


@dataclass
class Session:
    """One run of the command line. Tests put an API behind `transport`."""

    profile: str | None = None
    as_json: bool = False
    transport: Any = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def profiles(self) -> Profiles:
        """The file of the profiles, in the platform's place for such files."""
        from spellcast_client.profiles import NoProfile, Profiles

        try:
            return Profiles.load(Path(click.get_app_dir("spellcast")) / "config.json")
        except NoProfile as error:
            raise Failure(str(error)) from error

    def target(self) -> Target:
        """Which API is asked."""
        from spellcast_client.profiles import NoProfile, chosen

        try:
            return chosen(self.profiles(), self.environment, self.profile)
        except NoProfile as error:
            raise Failure(str(error), Exit.NO_ACCESS) from error

    @contextmanager
    def client(self, target: Target | None = None) -> Iterator[Client]:
        """The API, for as long as the command needs it."""
        from spellcast_client.client import Client

        target = target or self.target()
        with Client(target.url, target.api_key, transport=self.transport) as client:
            yield client

    def answer(self, document: Any, shown: Callable[[], Any]) -> None:
        """One document for a program, or what people are shown."""
        if self.as_json:
            click.echo(json.dumps(document, ensure_ascii=False, indent=2))
        else:
            self.console().print(shown())

    def line(self, document: Any) -> None:
        """One of many documents, each on its line."""
        click.echo(json.dumps(document, ensure_ascii=False))

    def note(self, text: str) -> None:
        """For people, beside the answer."""
        if not self.as_json:
            click.echo(without_controls(text), err=True)

    def console(self) -> Console:
        """Standard output as people see it; in a pipe no line is broken."""
        from spellcast_client.cli.tables import PlainConsole

        console = PlainConsole(highlight=False)
        return console if console.is_terminal else PlainConsole(highlight=False, width=200, soft_wrap=True)


def command(group: click.Group, **attributes: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """A command with `--json`, that is given its session and fails with a sentence."""

    def add(function: Callable[..., Any]) -> click.Command:
        @wraps(function)
        @click.pass_obj
        def run(session: Session, /, *, as_json: bool, **options: Any) -> Any:
            session.as_json = as_json
            try:
                return function(session, **options)
            except SpellcastError as error:
                failure = Failure.of(error)
                failure.as_json = as_json
                raise failure from error
            except Failure as failure:
                failure.as_json = as_json
                raise
            except KeyboardInterrupt:
                click.echo("Interrupted.", err=True)
                raise SystemExit(Exit.INTERRUPTED) from None

        option = click.option("--json", "as_json", is_flag=True, help="Answer with JSON, for programs.")
        return group.command(**attributes)(option(run))

    return add
