"""What every command has: the API, a way to answer people and programs, and failures that say what to do."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from functools import wraps
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from spellcast_client.cli.controls import without_controls
from spellcast_client.errors import (
    INVALID_INPUT,
    UNAUTHORIZED,
    UNEXPECTED_ANSWER,
    UNREACHABLE,
    Fault,
    SpellcastError,
)

if TYPE_CHECKING:
    from pydantic import ValidationError
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
    UNFORESEEN = 8
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
    Exit.UNFORESEEN: "A defect of this program: what it says is to be reported.",
    Exit.INTERRUPTED: "Ctrl-C. A cast that was watched goes on.",
}
_NEXT = {
    Exit.NO_ACCESS: "Log in with a good key: spellcast login",
    Exit.UNREACHABLE: "See what is wrong: spellcast doctor",
}
_NEXT_HERE = {
    Exit.NO_ACCESS: "It is on this machine; this keeps its key as a profile: spellcast local up",
    Exit.UNREACHABLE: "It is on this machine; this starts it: spellcast local up",
}
# Set, an error that nobody foresaw is shown whole.
TRACEBACK = "SPELLCAST_TRACEBACK"
# Where the API itself says nothing, its status means nothing.
_BY_CODE = {UNREACHABLE: Exit.UNREACHABLE, UNEXPECTED_ANSWER: Exit.SERVER_FAULT}
_BY_CODE |= {INVALID_INPUT: Exit.BAD_INPUT, UNAUTHORIZED: Exit.NO_ACCESS}
_BY_STATUS = {400: Exit.BAD_INPUT, 401: Exit.NO_ACCESS, 403: Exit.NO_ACCESS, 404: Exit.NOT_FOUND, 409: Exit.CONFLICT}
_BY_STATUS |= {413: Exit.BAD_INPUT}


class Failure(click.ClickException):
    """Ends a command with a sentence, or with a document where the command was asked for one."""

    def __init__(self, message: str, code: Exit = Exit.BAD_INPUT, document: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.exit_code = code
        self.document = document or {"error": {"code": code.name, "message": message}}
        self.as_json = False

    @classmethod
    def of(cls, error: SpellcastError, *, is_here: bool = False, meant: str = "") -> Failure:
        """What the API said, whether what was asked is on this machine, what was meant; and what to do next."""
        code = _BY_CODE.get(error.code) or _BY_STATUS.get(error.status or 0, Exit.SERVER_FAULT)
        lines = [error.message, *(f"  {fault.path}: {fault.message}" for fault in error.faults)]
        if code is Exit.SERVER_FAULT and error.request_id:
            lines.append(f"The operator of the API can find it by its request id, {error.request_id}.")
        if meant:
            lines.append(meant)
        if hint := (_NEXT_HERE if is_here else _NEXT).get(code):
            lines.append(hint)
        return cls("\n".join(lines), code, error.document())

    @classmethod
    def unforeseen(cls, error: Exception) -> Failure:
        """What may go wrong with any command, and at last a defect."""
        if isinstance(error, OSError):
            place = f"{error.filename}: " if error.filename else ""
            return cls(f"{place}{error.strerror or type(error).__name__}.")
        if isinstance(error, UnicodeError):
            return cls("What was given has bytes that are no text in UTF-8, which cannot be sent.")
        if isinstance(error, ValueError):
            from pydantic import ValidationError

            if isinstance(error, ValidationError):
                return cls._of_shape(error)
        trace = error.__traceback__
        while trace and trace.tb_next:
            trace = trace.tb_next
        where = f" in {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
        return cls(
            f"This is a defect of spellcast ({type(error).__name__}{where}). Report it as an issue of the project, "
            f"with the command and what it says with {TRACEBACK}=1 in the environment.",
            Exit.UNFORESEEN,
        )

    @classmethod
    def _of_shape(cls, error: ValidationError) -> Failure:
        """What was given, or what was answered, is not what it is to be; nothing of it is repeated."""
        from spellcast_client.sentences import of_shape

        faults = [
            Fault(
                ".".join(map(str, said["loc"])), of_shape(said["loc"], said["type"], said["msg"], said.get("ctx", {}))
            )
            for said in error.errors()
        ]
        if error.title.endswith("Body"):
            return cls.of(SpellcastError(INVALID_INPUT, "What was given cannot be sent.", faults=faults))
        return cls.of(SpellcastError(UNEXPECTED_ANSWER, "The API says what this client does not know.", faults=faults))

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
    asked: Target | None = None

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

        self.asked = target = target or self.target()
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


class Group(click.Group):
    """Its commands; what is wrong with how one is called is said as everything else is, and names what was meant."""

    group_class = type

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Reads what stands before the command's name."""
        as_json = "--json" in args
        with _told(as_json):
            context = super().make_context(info_name, args, parent, **extra)
        context.meta[_AS_JSON] = as_json
        return context

    def invoke(self, ctx: click.Context) -> Any:
        """Reads what stands after it, and runs it."""
        with _told(ctx.meta[_AS_JSON]):
            return super().invoke(ctx)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """The command of this name."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            error.message += did_you_mean(args[0], self.commands)
            raise


_AS_JSON = "spellcast.as_json"


@contextmanager
def _told(as_json: bool) -> Iterator[None]:
    try:
        yield
    except click.UsageError as error:
        if isinstance(error, click.NoSuchOption) and error.option_name == "--json":
            error.message, error.possibilities = "--json stands after the command that is to answer with it.", []
        if not as_json:
            raise
        failure = Failure(error.format_message())
        failure.as_json = True
        raise failure from error


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean …?`, or nothing where no known name is like this one."""
    from difflib import get_close_matches

    near = get_close_matches(name, dict.fromkeys(known), n=2)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def command(group: click.Group, **attributes: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """A command with `--json`, that is given its session and fails with a sentence."""

    def add(function: Callable[..., Any]) -> click.Command:
        @wraps(function)
        @click.pass_obj
        def run(session: Session, /, *, as_json: bool, **options: Any) -> Any:
            session.as_json = as_json
            try:
                return function(session, **options)
            except Failure as error:
                failure = error
            except SpellcastError as error:
                is_here = session.asked is not None and session.asked.is_here
                failure = Failure.of(error, is_here=is_here, meant=_meant(session, error, options))
                failure.__cause__ = error
            except (KeyboardInterrupt, click.Abort):
                click.echo("Interrupted.", err=True)
                raise SystemExit(Exit.INTERRUPTED) from None
            except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
                raise
            except Exception as error:
                if session.environment.get(TRACEBACK):
                    raise
                failure = Failure.unforeseen(error)
                failure.__cause__ = error
            failure.as_json = as_json
            raise failure

        option = click.option("--json", "as_json", is_flag=True, help="Answer with JSON, for programs.")
        return group.command(**attributes)(option(run))

    return add


def _meant(session: Session, error: SpellcastError, options: Mapping[str, Any]) -> str:
    """Which spell or tool was probably meant by a name that the API does not know."""
    kind = {"SPELL_NOT_FOUND": "spell", "TOOL_NOT_FOUND": "tool"}.get(error.code)
    name = options.get(kind or "")
    if not isinstance(name, str):
        return ""
    try:
        with session.client() as client:
            if kind == "tool":
                known = [text for tool in client.list_tools().tools for text in (tool.tool_id, tool.display_name)]
            else:
                known = [text for spell in client.list_spells(limit=100).spells for text in (spell.slug, spell.name)]
    except SpellcastError:
        return ""
    return did_you_mean(name, known).strip()
