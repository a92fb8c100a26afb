"""Who asks which API, what the account has spent, and whether all is well between the two."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from spellcast_client.cli.session import Exit, Failure, Session, command

if TYPE_CHECKING:
    from spellcast_client.cli.examination import Check
    from spellcast_client.models import Ledger
    from spellcast_client.profiles import Profiles

_DEFAULT = "default"


def add_to(cli: click.Group) -> None:
    """`spellcast login`, `config`, `doctor`, `ledger` and `completion`."""

    @command(cli)
    @click.option("--url", metavar="URL", help="Where the API is; asked for where it is not given.")
    def login(session: Session, url: str | None) -> None:
        """Keep an API's address and your key for it.

        They are kept in a profile: `default`, or the one that `spellcast --profile NAME login` names. The key is asked
        for, or read from standard input where that is no terminal. It is tried before it is kept, in a file that only
        you can read.
        """
        from spellcast_client.profiles import Target

        if url is None and not sys.stdin.isatty():
            raise Failure("Say where the API is: spellcast login --url https://…")
        url = (url or click.prompt("Address of the API", err=True)).strip().rstrip("/")
        target = Target(url, _key(), "what was given")
        if target.address != url or not url.startswith(("https://", "http://")):
            raise Failure("The address begins with https:// or http://, and has no user or password in it.")
        with session.client(target) as client:
            client.list_api_keys(limit=1)
        profiles, name = session.profiles(), session.profile or _DEFAULT
        profiles.put(name, url, target.api_key or "")
        profiles.save()
        session.answer(
            {"profile": name, "url": url, "path": str(profiles.path)},
            lambda: f"Logged in to {url}. The profile {name!r} is kept in {profiles.path}, and is the current one.",
        )

    _add_config(cli)

    @command(cli)
    def doctor(session: Session) -> None:
        """Look for what keeps you from casting.

        Looked at are the configuration, whether the API answers, the clocks, the key and the WebSocket. It ends with 1
        where it has found a fault.
        """
        from spellcast_client.cli.examination import examine

        checks = examine(session)
        is_well = all(check.is_well is not False for check in checks)
        session.answer({"ok": is_well, "checks": [check.document() for check in checks]}, lambda: _checks(checks))
        if not is_well:
            raise SystemExit(Exit.CAST_FAILED)

    @command(cli)
    @click.option("--from", "start", metavar="DAY", help="A day or time in UTC: 2026-01-31, 2026-01-31T12:00:00Z.")
    @click.option("--to", "end", metavar="DAY", help="Entries before it; now without one.")
    @click.option("--limit", type=click.IntRange(1, 100), default=25, show_default=True, help="Closings of casts.")
    @click.option("--cursor", help="The part after the one that named this cursor.")
    def ledger(session: Session, start: str | None, end: str | None, limit: int, cursor: str | None) -> None:
        """What you have spent and earned.

        Latest first, and what it adds up to.
        """
        with session.client() as client:
            found = client.get_ledger(from_=start, to=end, limit=limit, cursor=cursor)
        session.answer(found.document(), lambda: _entries(found))

    @command(cli)
    @click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
    def completion(session: Session, shell: str) -> None:
        """Print what makes a shell complete commands.

        For bash: spellcast completion bash >> ~/.bashrc
        """
        from click.shell_completion import get_completion_class

        kind = get_completion_class(shell)
        if kind is None:
            raise Failure(f"Nothing is known of {shell}.")
        script = kind(cli, {}, "spellcast", "_SPELLCAST_COMPLETE").source()
        if session.as_json:
            session.line({"shell": shell, "script": script})
        else:
            click.echo(script)


def _add_config(cli: click.Group) -> None:
    @cli.group()
    def config() -> None:
        """The profiles that `login` keeps. Keys are never shown."""

    @command(config, name="list")
    def list_profiles(session: Session) -> None:
        """All profiles, and which API is asked at the moment."""
        profiles = session.profiles()
        try:
            source = session.target().source
        except Failure:
            source = "nothing"
        known = [
            {"profile": name, "url": target.address, "current": name == profiles.current}
            for name, target in sorted(profiles.known.items())
        ]
        document = {"path": str(profiles.path), "asked": source, "profiles": known}
        session.answer(document, lambda: _profiles(profiles, source))

    @command(config)
    @click.argument("name")
    def use(session: Session, name: str) -> None:
        """Make a profile the current one."""
        profiles = _with(session, name)
        profiles.current = name
        profiles.save()
        session.answer({"current": name}, lambda: f"The profile {name!r} is the current one.")

    @command(config)
    @click.argument("name")
    def remove(session: Session, name: str) -> None:
        """Forget a profile and its key."""
        profiles = _with(session, name)
        del profiles.known[name]
        profiles.current = None if profiles.current == name else profiles.current
        profiles.save()
        session.answer({"removed": name}, lambda: f"The profile {name!r} is forgotten.")


def _with(session: Session, name: str) -> Profiles:
    profiles = session.profiles()
    if name not in profiles.known:
        raise Failure(f"There is no profile {name!r}. See them: spellcast config list", Exit.NOT_FOUND)
    return profiles


def _key() -> str:
    # Never an argument: other users see the arguments of a command.
    given = click.prompt("API key", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    from spellcast_client.calls import fits_a_header

    key = str(given).strip()
    if not key or not fits_a_header(key):
        raise Failure("That is no API key: nothing was given, or it has characters that no key has.")
    return key


def _profiles(profiles: Profiles, source: str) -> Any:
    from rich.console import Group

    from spellcast_client.cli.tables import facts, table

    rows = table("", "profile", "url")
    for name, target in sorted(profiles.known.items()):
        rows.add_row("*" if name == profiles.current else "", name, target.address)
    said = facts(file=profiles.path, asked=source)
    return Group(said, "", rows) if profiles.known else said


def _checks(checks: list[Check]) -> Any:
    from rich.text import Text

    from spellcast_client.cli.tables import table

    marks = {True: Text("ok", style="green"), False: Text("fault", style="red"), None: Text("–", style="dim")}
    rows = table(show_header=False)
    for check in checks:
        rows.add_row(marks[check.is_well], check.name, check.said)
    return rows


def _entries(ledger: Ledger) -> Any:
    from rich.console import Group

    from spellcast_client.cli.tables import facts, moment, money, table

    rows = table("at", "kind", "amount", "points", "of")
    for entry in ledger.entries:
        of = entry.generation_id or entry.cast_id
        rows.add_row(moment(entry.at), entry.kind, money(entry.amount_usd), str(entry.points), of)
    said = facts(next=f"--cursor {ledger.cursor}" if ledger.cursor else None)
    if ledger.balances:
        known = ledger.balances
        said = facts(
            spent=f"{money(known.spent_usd)} ({known.points_spent} points)",
            refunded=f"{known.points_refunded} points" if known.points_refunded else None,
            earned=f"{known.points_earned} points" if known.points_earned else None,
            today=_today(known.today.spent_usd, known.today.reserved_usd, known.today.budget_usd)
            if known.today
            else None,
            next=f"--cursor {ledger.cursor}" if ledger.cursor else None,
        )
    return Group(rows, "", said)


def _today(spent: Decimal, reserved: Decimal, budget: Decimal) -> str:
    return f"${spent:f} of ${budget:f}, and ${reserved:f} reserved for casts that run"
