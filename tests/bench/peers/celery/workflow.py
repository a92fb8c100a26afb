"""Celery with Redis, which writes each command to its append-only file; what runs next is in the message itself."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from queue import Queue
from typing import Any

from celery import Celery, chain

from tests.bench.peers import tool

_REDIS = os.environ.get("BENCH_REDIS", "")
app = Celery("bench", broker=f"{_REDIS}/0", backend=f"{_REDIS}/1")


@app.task(name="ask")
def ask(asked: list[tool.Document], url: str) -> list[tool.Document]:
    return [*asked, tool.ask(url, asked[-1]["text"] if asked else "")]


@app.task(name="submit")
def submit(url: str, callback: str) -> None:
    tool.submit(url, callback)


def questions(url: str) -> list[tool.Document]:
    later = [ask.s(url) for _ in range(tool.STEPS - 1)]
    asked: list[tool.Document] = chain(ask.s([], url), *later)().get(timeout=60)
    return asked


def main(url: str, folder: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ["BENCH_REDIS"] = f"redis://127.0.0.1:{port}"
    app.conf.update(broker_url=f"{os.environ['BENCH_REDIS']}/0", result_backend=f"{os.environ['BENCH_REDIS']}/1")
    redis = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
    worker = [sys.executable, "-m", "celery", "-A", __spec__.name, "worker", "-c", "2", "--loglevel", "ERROR"]
    with _running([*redis, "--appendonly", "yes"]), _running(worker):
        _measure(url)


def _measure(url: str) -> None:
    questions(url)
    questions(url)
    steps = [tool.step_ms(questions(url)) for _ in range(tool.SAMPLES)]
    began = time.perf_counter()
    with ThreadPoolExecutor(tool.CALLERS) as pool:
        list(pool.map(lambda _: questions(url), range(tool.CASTS)))
    seconds = time.perf_counter() - began
    submits: list[float] = []
    for _ in range(tool.SAMPLES // 2):
        submits += tool.submits_ms(_jobs(url))
    tool.tell(version("celery"), steps, seconds, submits)


def _jobs(url: str) -> list[tool.Document]:
    done: list[tool.Document] = []
    ended: Queue[bool] = Queue()

    def received(_: str, job: tool.Document) -> None:
        done.append(job)
        if len(done) == tool.STEPS:
            ended.put(True)
        else:
            submit.delay(url, address)

    with tool.callbacks(received) as address:
        submit.delay(url, address)
        ended.get(timeout=60)
    return done


class _running:
    """A program that ends with its block."""

    def __init__(self, command: list[str]) -> None:
        self._process: subprocess.Popen[Any] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=sys.stderr)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
