"""Writes docs/reference from the code: the API, tools, messages, settings. `make generated` writes it anew.

Whatever a page says of a field, a code or a variable stands where that is defined. A test compares what this writes
with what is there, and another finds what nothing is said of.
"""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.generate_client import openapi
from scripts.reference_pages import api, messages, settings, tools

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"


def written() -> dict[Path, str]:
    """The content of every page, by its path."""
    document = openapi()
    pages = {"api": api.page(document), "tools": tools.page(document)}
    pages |= {"messages": messages.page(), "settings": settings.page()}
    return {FOLDER / f"{name}.md": text for name, text in pages.items()}


def main() -> int:
    """Writes the pages, and says which have changed."""
    FOLDER.mkdir(exist_ok=True)
    for path, content in written().items():
        if not path.exists() or path.read_text("utf-8") != content:
            path.write_text(content, "utf-8")
            print(f"{path.name} has changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
