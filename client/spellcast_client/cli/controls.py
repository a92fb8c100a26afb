"""Texts that come from elsewhere, on a terminal."""

from __future__ import annotations

# What a text must not do to a terminal: move its cursor, change its title, hide what follows.
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def without_controls(text: str) -> str:
    """A text that may come from elsewhere, as a terminal can show it."""
    return text.translate(_CONTROLS)
