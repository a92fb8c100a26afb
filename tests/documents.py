"""The pages as their readers follow them: the commands they are told to run, and what they are shown of the answers."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
# A block of commands, what it ends with where that is not 0, and the block of its output where one follows at once.
_BLOCK = re.compile(
    r"^(?:<!-- ends with (?P<code>\d+) -->\n)?```sh\n(?P<commands>.*?)^```$(?:\n\n```text\n(?P<shown>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """Commands that stand together. `ends_with` is the exit code of the last; those before it end with 0."""

    page: str
    line: int
    commands: tuple[str, ...]
    ends_with: int
    shown: tuple[str, ...]


def pages() -> list[Path]:
    """README.md and docs/*.md; what is written by scripts into folders of docs is no page of ours."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """Every ```sh block of a page, in order."""
    text = page.read_text("utf-8")
    for found in _BLOCK.finditer(text):
        line = text[: found.start()].count("\n") + 1
        shown = tuple(line for line in (found["shown"] or "").splitlines() if line.strip())
        yield Block(page.name, line, tuple(_split(found["commands"])), int(found["code"] or 0), shown)


def _split(text: str) -> Iterator[str]:
    """A command is as many lines as the shell needs to make sense of it."""
    lines: list[str] = []
    for line in text.splitlines():
        lines.append(line)
        command = "\n".join(lines)
        if not command.strip() or (len(lines) == 1 and line.startswith("#")):
            lines = []
        elif not line.endswith("\\") and _is_whole(command):
            yield command
            lines = []
    assert not lines, f"the shell cannot read {lines}"


def _is_whole(command: str) -> bool:
    # What a reader puts in looks like a redirection. Of a here-document without its end the shell only warns.
    command = re.sub(r"<([\w ]+)>", r"\1", command)
    read = subprocess.run(["bash", "-n"], input=command, capture_output=True, text=True, check=False)
    return read.returncode == 0 and not read.stderr
