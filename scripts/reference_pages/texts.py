"""What all pages are made of."""

from __future__ import annotations

import re

NOTE = "<!-- Written by scripts/generate_reference.py from the code: `make generated` writes it anew. -->"


def one_line(text: str) -> str:
    """Without its line breaks."""
    return re.sub(r"\s*\n\s*", " ", text.strip())


def sentence(text: str) -> str:
    """One line that ends."""
    line = one_line(text)
    return line if line.endswith((".", "!", "?")) else f"{line}."


def cell(text: str) -> str:
    """As it may stand in a table: no bar ends the cell, and what is no code is no tag."""
    parts = one_line(text).replace("|", "\\|").split("`")
    return "`".join(part if number % 2 else part.replace("<", "&lt;") for number, part in enumerate(parts))


def code(text: str) -> str:
    """As it is typed; nothing where it is empty."""
    return f"`{one_line(text)}`".replace("|", "\\|") if text else ""


def anchor(heading: str) -> str:
    """Where a heading is found, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
