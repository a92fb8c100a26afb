"""`spellcast`: the commands, each in the module of what it is about."""

from __future__ import annotations

import io
import sys

import click

from spellcast_client import __version__
from spellcast_client.cli import account, casts, cloud, spells, tools
from spellcast_client.cli.session import Group, Session


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--profile", metavar="NAME", help="The profile to use, instead of the current one.")
@click.version_option(__version__, prog_name="spellcast")
@click.pass_context
def cli(context: click.Context, profile: str | None) -> None:
    """Compose spells, cast them, watch them, and see what they cost.

    Where the API is and your key are read from SPELLCAST_URL and SPELLCAST_API_KEY, or from the profile that
    `spellcast login` keeps. Every command takes --json, and docs/cli.md says what each exit code means.
    """
    session = context.ensure_object(Session)
    session.profile = profile


for _module in (account, tools, spells, casts, cloud):
    _module.add_to(cli)


def main() -> None:
    """The console script. Characters that the terminal does not have are shown as `?`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    cli(prog_name="spellcast")


if __name__ == "__main__":
    main()
