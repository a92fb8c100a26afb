"""The embedded cloud of a clone of the project: Spellcast on this machine, with providers of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from spellcast_client.cli.session import Failure, Session, command

PROFILE = "local"
PROJECT = "SPELLCAST_PROJECT"
_STANDARD_ERROR = 2


def add_to(cli: click.Group) -> None:
    """`spellcast local`."""

    @cli.group()
    def local() -> None:
        """Spellcast on this machine, from a clone."""

    @command(local)
    def up(session: Session) -> None:
        """Start it, or deploy to it what has changed, and keep its key as the profile `local`.

        The clone is the folder that you are in, one above it, or SPELLCAST_PROJECT.
        """
        project = _project(session)
        _make(session, project, "up")
        kept = Path(session.environment.get("SPELLCAST_LOCAL_DIR") or project / ".local") / "outputs.json"
        outputs = json.loads(kept.read_text("utf-8"))
        profiles = session.profiles()
        profiles.put(PROFILE, outputs["httpUrl"], outputs["apiKey"])
        profiles.save()
        if session.environment.get("SPELLCAST_URL"):
            session.note("SPELLCAST_URL is set, and is asked before any profile.")
        session.answer(
            {"profile": PROFILE, "url": outputs["httpUrl"]},
            lambda: f"The profile {PROFILE!r} is the current one. Try: spellcast tools list",
        )

    @command(local)
    def down(session: Session) -> None:
        """Stop it. Spells and casts are kept, and casts that run go on at the next `up`."""
        _make(session, _project(session), "down")
        session.answer({"stopped": True}, lambda: "")


def _project(session: Session) -> Path:
    named = session.environment.get(PROJECT)
    here = Path.cwd()
    for folder in [Path(named)] if named else [here, *here.parents, Path(__file__).resolve().parents[3]]:
        if (folder / "local" / "__main__.py").exists() and (folder / "Makefile").exists():
            return folder
    where = f"{PROJECT} names no clone of the project" if named else "Here is no clone of the project"
    raise Failure(f"{where}: go into one, or say where it is with {PROJECT}.")


def _make(session: Session, project: Path, target: str) -> None:
    import subprocess  # nosec B404

    # What it says is for people: in the place of notes where a program reads the answer.
    told = _STANDARD_ERROR if session.as_json else None
    command = ["make", "--no-print-directory", "-C", str(project), target]
    environment = {**os.environ, **session.environment}
    try:
        done = subprocess.run(command, env=environment, stdout=told, check=False)  # noqa: S603  # nosec B603
    except FileNotFoundError as error:
        raise Failure("`make` is not installed; it starts the embedded cloud.") from error
    if done.returncode:
        raise Failure(f"`make {target}` has failed; it says why above.")
