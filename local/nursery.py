"""Lambda workers forked from one process that has imported what their layer requires.

A worker that starts by itself spends half a second of a core and 70 MB on imports that are the same for all of them.
Only Linux forks safely here; elsewhere every worker starts by itself.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

# What functions of this project import at their start; a name that the layer does not have is passed over.
IMPORTED = (
    "boto3",
    "botocore.retries.standard",
    "botocore.signers",
    "aws_lambda_powertools",
    "httpx",
    "jsonata",
    "jwt",
    "pydantic",
)
MESSAGE_BYTES = 1 << 16


class Nursery:
    """The process that forks workers, seen from the launcher: one for each set of layers."""

    def __init__(self, layers: str, environment: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local.nursery", str(theirs.fileno()), layers],
            cwd=Path(__file__).resolve().parent.parent,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()

    def ask(self, request: Mapping[str, Any], files: list[int] | None = None) -> Any:
        message = json.dumps(request).encode()
        with self._lock:
            if files:
                socket.send_fds(self._socket, [message], files)
            else:
                self._socket.send(message)
            return json.loads(self._socket.recv(MESSAGE_BYTES))


class Forked:
    """What MiniStack's worker needs of a subprocess, for a process that is the nursery's child."""

    def __init__(self, nursery: Nursery, script: str, folder: str, environment: Mapping[str, str]) -> None:
        ours: list[int] = []
        theirs: list[int] = []
        for mine_reads in (False, True, True):
            reading, writing = os.pipe()
            ours.append(reading if mine_reads else writing)
            theirs.append(writing if mine_reads else reading)
        self._nursery = nursery
        request = {"script": script, "folder": folder, "environment": dict(environment)}
        self.pid: int = nursery.ask(request, theirs)
        for file in theirs:
            os.close(file)
        self.stdin: IO[str] = os.fdopen(ours[0], "w", 1, encoding="utf-8")
        self.stdout: IO[str] = os.fdopen(ours[1], encoding="utf-8")
        self.stderr: IO[str] = os.fdopen(ours[2], encoding="utf-8", errors="replace")

    def poll(self) -> int | None:
        status: int | None = self._nursery.ask({"poll": self.pid})
        return status

    def terminate(self) -> None:
        self._nursery.ask({"signal": int(signal.SIGTERM), "pid": self.pid})

    def kill(self) -> None:
        self._nursery.ask({"signal": int(signal.SIGKILL), "pid": self.pid})

    def wait(self, timeout: float = 2) -> int:
        end = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("worker", timeout)
            time.sleep(0.002)
        return status


def serve(line: socket.socket) -> None:
    """Answer the launcher until it is gone; a child that has not been waited for keeps its id, so no other is hit."""
    ended: dict[int, int] = {}
    alive: set[int] = set()
    while True:
        message, files, _, _ = socket.recv_fds(line, MESSAGE_BYTES, 3)
        if not message:
            return
        request = json.loads(message)
        for pid in list(alive):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                alive.remove(pid)
                ended[pid] = os.waitstatus_to_exitcode(status)
        answer: Any = None
        if "script" in request:
            answer = os.fork()
            if answer == 0:
                line.close()
                live(request, files)
            alive.add(answer)
            ended.pop(answer, None)
            for file in files:
                os.close(file)
        elif "poll" in request:
            answer = None if request["poll"] in alive else ended.get(request["poll"], 0)
        elif request["pid"] in alive:
            os.kill(request["pid"], request["signal"])
        line.send(json.dumps(answer).encode())


def live(request: Mapping[str, Any], files: list[int]) -> None:
    """Become a worker: what a new interpreter would have, except for the modules that are already there."""
    code = 1
    try:
        for place, file in enumerate(files):
            os.dup2(file, place)
            os.close(file)
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        script = request["script"]
        sys.argv, sys.path[0] = [script], str(Path(script).parent)
        exec(compile(Path(script).read_text(), script, "exec"), {"__name__": "__main__", "__file__": script})
        code = 0
    finally:
        os._exit(code)


def main() -> None:
    number, layers = int(sys.argv[1]), sys.argv[2]
    own = list(sys.path)
    sys.path[1:1] = [str(Path(folder) / "python") for folder in layers.split(os.pathsep) if folder]
    for name in IMPORTED:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    sys.path[:] = own  # a worker puts the layers there itself, before its code
    gc.collect()
    gc.freeze()  # the collector must not touch, and so copy, what all workers share
    serve(socket.socket(fileno=number))


if __name__ == "__main__":
    main()
