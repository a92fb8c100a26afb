"""What `spellcast doctor` looks at, in the order in which one thing needs the other."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from spellcast_client import __version__
from spellcast_client.calls import fits_a_header
from spellcast_client.cli.session import Failure, Session
from spellcast_client.client import Client
from spellcast_client.errors import UNAUTHORIZED, UNREACHABLE, SpellcastError
from spellcast_client.profiles import Profiles, Target

# Seconds. Tickets and links are good for a minute and more, by the clock of who made them.
TOLERANCE, PATIENCE = 30.0, 15.0


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, whether it is well (None where it could not be looked at), and what was found."""

    name: str
    is_well: bool | None
    said: str

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {"check": self.name, "ok": self.is_well, "said": self.said}


def examine(session: Session) -> list[Check]:
    """Every check; what rests on something that is not well is not looked at."""
    try:
        target = session.target()
    except Failure as failure:
        return [Check("configuration", False, failure.message), *_left("reachability", "clocks", "key", "WebSocket")]
    checks = [_configuration(target, session.profiles())]
    if target.api_key and not fits_a_header(target.api_key):
        return [*checks, *_left("reachability", "clocks", "key", "WebSocket")]
    try:
        with session.client(target) as client:
            checks += [*_reachability(client, target)]
            if checks[-1].is_well is None:
                return [*checks, *_left("key", "WebSocket")]
            checks.append(_tried("key", target, lambda: _key(client)))
            is_let_in = checks[-1].is_well
            checks += [_tried("WebSocket", target, lambda: _websocket(client))] if is_let_in else _left("WebSocket")
    except SpellcastError as error:
        return [*checks, _fault("reachability", error, target), *_left("clocks", "key", "WebSocket")]
    return checks


def _left(*names: str) -> list[Check]:
    return [Check(name, None, "not looked at") for name in names]


def _tried(name: str, target: Target, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except SpellcastError as error:
        return _fault(name, error, target)


def _fault(name: str, error: SpellcastError, target: Target) -> Check:
    said = error.message
    if target.is_here and error.code == UNREACHABLE:
        said += " This starts it: spellcast local up"
    elif target.is_here and (error.code == UNAUTHORIZED or error.status in (401, 403)):
        said += " This keeps its key as a profile: spellcast local up"
    return Check(name, False, said)


def _configuration(target: Target, profiles: Profiles) -> Check:
    said = f"{target.address}, by {target.source}"
    if not target.api_key:
        return Check("configuration", False, f"{said}. There is no key: spellcast login, or set SPELLCAST_API_KEY.")
    if not fits_a_header(target.api_key):
        return Check("configuration", False, f"{said}. The key has characters that no key has.")
    with suppress(FileNotFoundError):
        if os.name == "posix" and stat.S_IMODE(profiles.path.stat().st_mode) & 0o077:
            return Check("configuration", False, f"Others can read {profiles.path}: chmod 600 it, and rotate your key.")
    return Check("configuration", True, said)


def _reachability(client: Client, target: Target) -> Iterator[Check]:
    began = time.monotonic()
    try:
        version = client.get_health().version
    except SpellcastError as error:
        yield _fault("reachability", error, target)
        yield from _left("clocks")
        return
    took = time.monotonic() - began
    newer = "" if version == __version__ else f"; this client is of version {__version__}"
    yield Check("reachability", True, f"version {version} answers after {took * 1000:.0f} ms{newer}")
    answered = client.http.get("/v1/health").headers.get("date", "")
    try:
        apart = (datetime.now(UTC) - parsedate_to_datetime(answered)).total_seconds()
    except (ValueError, TypeError):
        yield Check("clocks", True, "the API does not say what its clock shows")
        return
    ahead = "ahead of" if apart > 0 else "behind"
    if abs(apart) > TOLERANCE:
        yield Check("clocks", False, f"This machine is {abs(apart):.0f} s {ahead} the API: set its clock.")
    else:
        yield Check(
            "clocks", True, "they differ by less than a few seconds" if abs(apart) < 3 else f"{apart:.0f} s apart"
        )


def _key(client: Client) -> str:
    client.list_api_keys(limit=1)
    return "the API takes it"


def _websocket(client: Client) -> str:
    began = time.monotonic()
    try:
        with connect(client.issue_ticket().url, open_timeout=PATIENCE, close_timeout=1) as socket:
            while json.loads(socket.recv(PATIENCE))["type"] != "connection_ack":
                continue
    except (WebSocketException, OSError) as error:
        # The address holds a ticket.
        message = f"It does not open ({type(error).__name__}): does a proxy or a firewall stand in between?"
        raise SpellcastError("WEBSOCKET", message) from None
    return f"it greets after {(time.monotonic() - began) * 1000:.0f} ms"
