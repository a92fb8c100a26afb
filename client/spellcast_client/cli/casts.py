"""Casts: started, watched, looked at, stopped, gone on with."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from spellcast_client.cli.session import Exit, Failure, Session, command
from spellcast_client.errors import SpellcastError

if TYPE_CHECKING:
    from spellcast_client.client import Client
    from spellcast_client.models import Cast, Casts, Quote

F = TypeVar("F", bound=Callable[..., Any])


class Money(click.ParamType):
    """US dollars."""

    name = "usd"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            amount = Decimal(value)
        except InvalidOperation:
            amount = Decimal("NaN")
        if not amount.is_finite() or amount < 0:
            self.fail(f"{value!r} is no amount of US dollars, such as 0.50.", param, ctx)
        return amount


def _inputs(function: F) -> F:
    pairs = click.option(
        "-i",
        "--input",
        "pairs",
        multiple=True,
        metavar="NAME=TEXT",
        help="An input; NAME:=JSON for what is no text (seed:=7). Can be given several times.",
    )
    file = click.option("--inputs", "file", type=click.File("rb"), metavar="FILE", help="A JSON object; - reads it.")
    return pairs(file(function))


_watch = click.option(
    "-w", "--watch", "watched", is_flag=True, help="Stay until it has ended. Ctrl-C does not stop it."
)
_key = click.option(
    "--idempotency-key",
    metavar="KEY",
    help="The same key and the same request do the same thing once. Drawn if not given.",
)
_budget = click.option("--budget", type=Money(), metavar="USD", help="What it may cost.")
_version = click.option("--version", type=click.IntRange(1), help="Of the spell; the latest where none is named.")


def add_to(cli: click.Group) -> None:
    """`spellcast cast`, `casts`, `show`, `cancel`, `resume`, `retry`, `quote` and `tail`."""

    @command(cli)
    @click.argument("spell")
    @_inputs
    @_version
    @_budget
    @_key
    @_watch
    def cast(
        session: Session,
        spell: str,
        pairs: Sequence[str],
        file: IO[bytes] | None,
        version: int | None,
        budget: Decimal | None,
        idempotency_key: str | None,
        watched: bool,
    ) -> None:
        """Cast a spell, by its id, slug or name."""
        from spellcast_client.models import CastBody

        given: dict[str, Any] = {"inputs": _read_inputs(pairs, file), "version": version, "budget_usd": budget}
        body = CastBody(spell=spell, **{name: value for name, value in given.items() if value is not None})
        with session.client() as client:
            started = client.cast_spell(body, idempotency_key=idempotency_key)
            for warning in started.warnings or ():
                session.note(f"Warning: {warning.path}: {warning.message}")
            _follow_or_answer(session, client, started, watched)

    @command(cli)
    @click.option("--status", type=click.Choice(["running", "completed", "failed", "cancelled"]), help="Only these.")
    @click.option("--spell", metavar="SPELL", help="Of this spell: id, slug or name.")
    @click.option("--limit", type=click.IntRange(1, 100), default=25, show_default=True, help="How many at most.")
    @click.option("--cursor", help="The part after the one that named this cursor.")
    @click.option("--all", "everything", is_flag=True, help="Every part.")
    def casts(
        session: Session, status: Any, spell: str | None, limit: int, cursor: str | None, everything: bool
    ) -> None:
        """Your casts, latest first."""
        with session.client() as client:
            count = 100 if everything else limit
            found = client.list_casts(status=status, spell=spell, limit=count, cursor=cursor)
            listed = [*found.casts]
            while everything and found.cursor:
                found = client.list_casts(status=status, spell=spell, limit=count, cursor=found.cursor)
                listed += found.casts
        found = found.model_copy(update={"casts": listed})
        session.answer(found.document(), lambda: _table(found))

    @command(cli)
    @click.argument("cast_id", metavar="CAST")
    @_watch
    def show(session: Session, cast_id: str, watched: bool) -> None:
        """A cast and its steps.

        When each step waited, ran and was processed, what it made, what it cost, and why it failed.
        """
        with session.client() as client:
            if watched:
                _follow(session, client, cast_id)
            else:
                found = client.get_cast(cast_id)
                session.answer(found.document(), lambda: _shown(found))

    _add_control(cli)
    _add_news(cli)


def _add_control(cli: click.Group) -> None:
    @command(cli)
    @click.argument("cast_id", metavar="CAST")
    def cancel(session: Session, cast_id: str) -> None:
        """Stop a cast. What its steps have cost until then is kept, and it can be resumed."""
        with session.client() as client:
            found = client.cancel_cast(cast_id)
        ended = "was cancelled" if found.status == "cancelled" else "is being cancelled"
        session.answer(found.document(), lambda: f"The cast {ended}. See it: spellcast show {cast_id}")

    @command(cli)
    @click.argument("cast_id", metavar="CAST")
    @_version
    @_budget
    @_key
    @_watch
    def resume(
        session: Session,
        cast_id: str,
        version: int | None,
        budget: Decimal | None,
        idempotency_key: str | None,
        watched: bool,
    ) -> None:
        """Go on with a cast that failed or was cancelled. Finished steps are kept."""
        from spellcast_client.models import ResumeBody

        given = {"version": version, "budget_usd": budget}
        body = ResumeBody.model_validate({name: value for name, value in given.items() if value is not None})
        with session.client() as client:
            resumed = client.resume_cast(cast_id, body, idempotency_key=idempotency_key)
            _follow_or_answer(session, client, resumed, watched)

    @command(cli)
    @click.argument("generation_id", metavar="GENERATION")
    @_inputs
    @_key
    @_watch
    def retry(
        session: Session,
        generation_id: str,
        pairs: Sequence[str],
        file: IO[bytes] | None,
        idempotency_key: str | None,
        watched: bool,
    ) -> None:
        """Run a step of an ended cast again.

        It may have other inputs; all steps after it are run again, too.

        GENERATION is the step's record, as `show` names it: CAST.STEP.ATTEMPT.
        """
        inputs = _read_inputs(pairs, file)
        with session.client() as client:
            retried = client.retry_step(generation_id, {"inputs": inputs}, idempotency_key=idempotency_key)
            _follow_or_answer(session, client, retried, watched)


def _add_news(cli: click.Group) -> None:
    @command(cli)
    @click.argument("spell")
    @_inputs
    def quote(session: Session, spell: str, pairs: Sequence[str], file: IO[bytes] | None) -> None:
        """What a cast of a spell will probably cost and take."""
        with session.client() as client:
            found = client.quote_spell(spell, {"inputs": _read_inputs(pairs, file)})
        session.answer(found.document(), lambda: _quoted(found))

    @command(cli)
    def tail(session: Session) -> None:
        """What happens to your casts, as it happens.

        Until Ctrl-C. With --json, one message a line.
        """
        from spellcast_client.cli.board import told

        with session.client() as client:
            for message in client.listen(on_connection=_connection(session)):
                if session.as_json:
                    session.line(message.document())
                else:
                    click.echo(f"{message.at.astimezone():%H:%M:%S}  {message.payload['castId']}  {told(message)}")


def _follow_or_answer(session: Session, client: Client, cast: Cast, watched: bool) -> None:
    if watched:
        _follow(session, client, cast.cast_id)
        return
    session.answer(cast.document(), lambda: f"The cast {cast.cast_id} runs. Watch it: {_back(cast.cast_id)}")


def _follow(session: Session, client: Client, cast_id: str) -> None:
    """Shows what happens until the cast has ended, and then the cast; with --json one message a line."""
    from spellcast_client.cli.board import shown_live
    from spellcast_client.models import Cast

    try:
        if session.as_json:
            for message in client.watch(cast_id, on_connection=_connection(session)):
                session.line(message.document())
        else:
            message = shown_live(session.console(), client.watch(cast_id, on_connection=_connection(session)))
    except KeyboardInterrupt:
        click.echo(f"The cast goes on. Come back: {_back(cast_id)}   Stop it: spellcast cancel {cast_id}", err=True)
        raise SystemExit(Exit.INTERRUPTED) from None
    except SpellcastError as error:
        if error.may_pass:
            session.note(f"The cast goes on. Come back: {_back(cast_id)}")
        raise
    ended = Cast.model_validate(message.payload)
    if not session.as_json:
        session.console().print(_shown(ended))
    if ended.status != "completed":
        raise SystemExit(Exit.CAST_FAILED)


def _connection(session: Session) -> Callable[[bool], None]:
    lost, back = "The connection was lost; trying again…", "The connection is back; what was missed follows."
    return lambda is_there: session.note(back if is_there else lost)


def _back(cast_id: str) -> str:
    return f"spellcast show {cast_id} --watch"


def _read_inputs(pairs: Sequence[str], file: IO[bytes] | None) -> dict[str, Any]:
    """The file's, and over them those of the command."""
    inputs: dict[str, Any] = {}
    if file:
        content, name = file.read(), getattr(file, "name", "<stdin>")
        if content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"{":
            raise Failure(f"{name} holds no JSON object of inputs.")
        try:
            inputs = json.loads(content.decode("utf-8-sig"), parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise Failure(f"{name}{_place_in(content)}") from error
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name.rstrip(":"):
            raise Failure(f"An input is NAME=TEXT or NAME:=JSON, and {name[:20]!r} is neither.")
        if name.endswith(":"):
            try:
                inputs[name[:-1]] = json.loads(value, parse_constant=_refuse)
            except (ValueError, RecursionError) as error:
                raise Failure(f"What stands after {name}= is not JSON; NAME=TEXT takes a text as it is.") from error
        else:
            inputs[name] = value
    return inputs


def _place_in(content: bytes) -> str:
    """Where JSON is wrong, and why."""
    from spellcast_client.spell_files import read

    first = read(content, is_json=True).findings[0]
    return f":{first.place.line}:{first.place.column}: {first.message}"


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no number in JSON")


def _shown(cast: Cast) -> Any:
    from spellcast_client.cli.timeline import shown

    return shown(cast)


def _table(casts: Casts) -> Any:
    from rich.console import Group

    from spellcast_client.cli.tables import facts, moment, money, seconds, status, table
    from spellcast_client.cli.timeline import over_at

    rows = table("cast", "spell", "status", "started", "took", "cost")
    for cast in casts.casts:
        took = (
            ""
            if cast.status == "running"
            else seconds((over_at(cast, cast.updated_at) - cast.started_at).total_seconds())
        )
        spell = f"{cast.spell_slug} v{cast.version}"
        rows.add_row(cast.cast_id, spell, status(cast.status), moment(cast.started_at), took, money(cast.cost_usd))
    return Group(rows, facts(next=f"--cursor {casts.cursor}")) if casts.cursor else rows


def _quoted(quote: Quote) -> Any:
    from spellcast_client.cli.tables import money, seconds, table

    rows = table("step", "tool", "cost", "points", "time", "by")
    for step in quote.breakdown:
        time = seconds(step.runtime_ms / 1000)
        rows.add_row(str(step.step_index + 1), step.tool_id, money(step.cost_usd), str(step.points), time, step.basis)
    total = seconds(quote.total_runtime_ms / 1000)
    rows.add_row("", "total", money(quote.total_cost_usd), str(quote.total_points), total, "")
    return rows
