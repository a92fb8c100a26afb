"""Where the API is and with which key it is asked: from the environment, or from a file for its owner only."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

URL, API_KEY = "SPELLCAST_URL", "SPELLCAST_API_KEY"


class NoProfile(Exception):
    """Nothing says where the API is; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Target:
    """An API, the key to ask it with, and in words where the two were found. The key is in no text made of it."""

    url: str
    api_key: str | None = field(repr=False)
    source: str

    @property
    def address(self) -> str:
        """The address as it may be shown: without what stands before the host."""
        try:
            parts = urlsplit(self.url)
        except ValueError:
            return "an address that is none"
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine."""
        try:
            host = urlsplit(self.url).hostname or ""
        except ValueError:
            return False
        return host in ("localhost", "::1") or host.startswith("127.")


@dataclass(slots=True)
class Profiles:
    """The file: named targets, one of which is current."""

    path: Path
    current: str | None = None
    known: dict[str, Target] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Profiles:
        """What the file says; nothing where there is none. Raises NoProfile where it is not what was written there."""
        try:
            document = json.loads(path.read_text("utf-8"))
            known = {
                name: Target(str(said["url"]), str(said["apiKey"]), f"profile {name!r}")
                for name, said in document["profiles"].items()
            }
            return cls(path, document.get("current"), known)
        except FileNotFoundError:
            return cls(path)
        except (ValueError, LookupError, TypeError, AttributeError, OSError) as error:
            raise NoProfile(f"{path} cannot be read. Remove it, and log in again: spellcast login.") from error

    def save(self) -> None:
        """Writes the file in one step, readable by its owner only."""
        profiles = {name: {"url": target.url, "apiKey": target.api_key} for name, target in self.known.items()}
        document: dict[str, Any] = {"current": self.current, "profiles": profiles}
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Such a file is made with mode 0600.
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=".config-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=2)
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def put(self, name: str, url: str, api_key: str) -> None:
        """Adds or replaces a profile, and makes it the current one."""
        self.known[name] = Target(url, api_key, f"profile {name!r}")
        self.current = name

    def named(self, name: str | None) -> Target | None:
        """The profile of this name, or the current one. Raises NoProfile for a name that is not there."""
        if name is not None and name not in self.known:
            there = ", ".join(sorted(self.known)) or "none"
            raise NoProfile(f"There is no profile {name!r} (there are: {there}). spellcast login --profile makes one.")
        return self.known.get(name or self.current or "")


def chosen(profiles: Profiles, environment: Mapping[str, str], name: str | None = None) -> Target:
    """The profile that was asked for by name, otherwise the environment, otherwise the current profile.

    A key goes to no other address than the one that it was given with.
    """
    url, api_key = (environment.get(variable, "").strip() for variable in (URL, API_KEY))
    kept = profiles.named(name)
    if name is None and url:
        if not api_key and kept and kept.url.rstrip("/") == url.rstrip("/"):
            return Target(url, kept.api_key, f"{URL}, and the key of {kept.source}")
        return Target(url, api_key or None, f"{URL} and {API_KEY}" if api_key else f"{URL}, without {API_KEY}")
    if kept is None:
        raise NoProfile(
            "No API is known. On this machine: spellcast local up. "
            f"Elsewhere: spellcast login, or {URL} and {API_KEY} in the environment."
        )
    if name is None and api_key:
        return Target(kept.url, api_key, f"the address of {kept.source}, and {API_KEY}")
    return kept
