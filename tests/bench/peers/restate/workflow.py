"""Restate, whose server is a program of its own."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import httpx
import restate
from hypercorn.asyncio import serve
from hypercorn.config import Config

from tests.bench.peers import tool

bench = restate.Service("bench")
PATIENCE = 60.0


@bench.handler()
async def questions(context: restate.Context, url: str) -> list[tool.Document]:
    asked: list[tool.Document] = []
    for number in range(tool.STEPS):
        before = asked[-1]["text"] if asked else ""
        asked.append(await context.run_typed(f"ask {number}", tool.ask, url=url, before=before))
    return asked


@bench.handler()
async def jobs(context: restate.Context, given: dict[str, str]) -> list[tool.Document]:
    done: list[tool.Document] = []
    for number in range(tool.STEPS):
        name, called = context.awakeable()
        callback = f"{given['ingress']}/restate/awakeables/{name}/resolve"
        await context.run_typed(f"submit {number}", tool.submit, url=given["url"], callback=callback)
        done.append(await called)
    return done


def main(url: str, folder: str) -> None:
    service, ingress, admin, node = _free_ports(4)
    environment = {
        "PATH": os.environ["PATH"],
        "DO_NOT_TRACK": "1",
        "RESTATE_DISABLE_TELEMETRY": "true",
        "RESTATE_LOG_FILTER": "error",
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_BASE_DIR": folder,
        "RESTATE_BIND_ADDRESS": f"127.0.0.1:{node}",
        "RESTATE_ADVERTISED_ADDRESS": f"http://127.0.0.1:{node}",
        "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
    }
    threading.Thread(target=_serve, args=[service], daemon=True).start()
    command = [os.environ["BENCH_RESTATE"], "--no-logo"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=sys.stderr) as server:
        try:
            _register(f"http://127.0.0.1:{admin}", f"http://127.0.0.1:{service}")
            _measure(url, f"http://127.0.0.1:{ingress}")
        finally:
            server.terminate()


def _measure(url: str, ingress: str) -> None:
    with httpx.Client(timeout=PATIENCE, limits=httpx.Limits(max_keepalive_connections=tool.CALLERS)) as client:

        def run(handler: str, given: Any) -> list[tool.Document]:
            answer = client.post(f"{ingress}/bench/{handler}", json=given)
            found: list[tool.Document] = answer.raise_for_status().json()
            return found

        run("questions", url)
        steps = [tool.step_ms(run("questions", url)) for _ in range(tool.SAMPLES)]
        began = time.perf_counter()
        with ThreadPoolExecutor(tool.CALLERS) as pool:
            list(pool.map(lambda _: run("questions", url), range(tool.CASTS)))
        seconds = time.perf_counter() - began
        submits: list[float] = []
        for _ in range(tool.SAMPLES // 2):
            submits += tool.submits_ms(run("jobs", {"url": url, "ingress": ingress}))
    tool.tell(os.environ["BENCH_RESTATE_VERSION"] + ", SDK " + version("restate-sdk"), steps, seconds, submits)


def _serve(port: int) -> None:
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.loglevel = "ERROR"
    asyncio.run(serve(restate.app([bench]), config, shutdown_trigger=asyncio.Event().wait))


def _register(admin: str, service: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            httpx.post(f"{admin}/deployments", json={"uri": service}, timeout=PATIENCE).raise_for_status()
            return
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _free_ports(number: int) -> list[int]:
    probes = [socket.socket() for _ in range(number)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
