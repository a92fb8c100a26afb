"""The log: one JSON line an entry, with the cast's id; never a secret, a prompt, or a URL with a token in it."""

from __future__ import annotations

from functools import cache

from aws_lambda_powertools import Logger


@cache
def logger() -> Logger:
    """The process's logger, made when it is first used."""
    return Logger(service="spellcast")
