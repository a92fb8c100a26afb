"""DBOS on SQLite."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import pysqlite3

# DBOS asks SQLite for what 3.42 has brought (`unixepoch('subsec')`), and a system's may be older.
sys.modules["sqlite3"] = pysqlite3

from dbos import DBOS, SetWorkflowID  # noqa: E402

from tests.bench.peers import tool  # noqa: E402

ask = DBOS.step()(tool.ask)
submit = DBOS.step()(tool.submit)


@DBOS.workflow()
def questions(url: str) -> list[tool.Document]:
    asked: list[tool.Document] = []
    for _ in range(tool.STEPS):
        asked.append(ask(url, asked[-1]["text"] if asked else ""))
    return asked


@DBOS.workflow()
def jobs(url: str, callback: str) -> list[tool.Document]:
    done = []
    for _ in range(tool.STEPS):
        submit(url, callback)
        done.append(DBOS.recv())
    return done


def main(url: str, folder: str) -> None:
    DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{folder}/dbos.sqlite", "log_level": "ERROR"})
    DBOS.launch()
    questions(url)
    steps = [tool.step_ms(questions(url)) for _ in range(tool.SAMPLES)]
    began = time.perf_counter()
    with ThreadPoolExecutor(tool.CALLERS) as pool:
        list(pool.map(lambda _: questions(url), range(tool.CASTS)))
    seconds = time.perf_counter() - began
    submits: list[float] = []
    with tool.callbacks(lambda workflow, done: DBOS.send(workflow, done)) as address:
        for number in range(tool.SAMPLES // 2):
            with SetWorkflowID(f"jobs-{number}"):
                submits += tool.submits_ms(jobs(url, f"{address}/jobs-{number}"))
    tool.tell(version("dbos"), steps, seconds, submits)
    DBOS.destroy()


if __name__ == "__main__":
    main(*sys.argv[1:])
