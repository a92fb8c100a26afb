"""The floor: plain Python that writes each answer to SQLite and forces it to the disk, with nothing that goes on."""

from __future__ import annotations

import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench.peers import tool


def questions(url: str, file: Path) -> list[tool.Document]:
    """The workflow."""
    asked: list[tool.Document] = []
    database = sqlite3.connect(file, timeout=30)
    for _ in range(tool.STEPS):
        asked.append(tool.ask(url, asked[-1]["text"] if asked else ""))
        with database:
            database.execute("INSERT INTO steps VALUES (?)", [asked[-1]["text"]])
    database.close()
    return asked


def main(url: str, folder: str) -> None:
    file = Path(folder) / "floor.sqlite"
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("CREATE TABLE steps (text TEXT)")
    questions(url, file)
    steps = [tool.step_ms(questions(url, file)) for _ in range(tool.SAMPLES)]
    began = time.perf_counter()
    with ThreadPoolExecutor(tool.CALLERS) as pool:
        list(pool.map(lambda _: questions(url, file), range(tool.CASTS)))
    tool.tell(sqlite3.sqlite_version, steps, time.perf_counter() - began, None)


if __name__ == "__main__":
    main(*sys.argv[1:])
