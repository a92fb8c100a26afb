"""Spellcast's API for Python: `Client`, `AsyncClient`, and the command line `spellcast`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spellcast_client.client import AsyncClient, Client
    from spellcast_client.errors import Fault, SpellcastError
    from spellcast_client.live import Message

__version__ = "0.1.0"
__all__ = ["AsyncClient", "Client", "Fault", "Message", "SpellcastError", "__version__"]

_HOMES = {"AsyncClient": "client", "Client": "client", "Fault": "errors", "Message": "live", "SpellcastError": "errors"}


def __getattr__(name: str) -> Any:
    # Loaded by those who ask for it: `spellcast --help` needs none of it.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"spellcast_client.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
