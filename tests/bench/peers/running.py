"""`make bench PEERS=1`: makes each peer's environment, and runs it and Spellcast against one tool server."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.bench import machine
from tests.bench.marked import ROOT
from tests.bench.peers import tool
from tests.bench.times import PATIENCE, is_cast_end
from tests.cloud import Cloud, called, started, wire

FOLDER = ROOT / ".local" / "bench"
LOCKS = ROOT / "tests" / "bench" / "peers"
SECONDS = 300  # of a peer's run, and of making its environment
NAMES = {"dbos": "DBOS {}, SQLite", "celery": "Celery {}, Redis", "restate": "Restate {}"}
# Of what is left out, and why.
LEFT_OUT = {
    "Temporal's dev server": "its maker has it at a download address of his own, and the one package that brings it "
    "along calls itself an experiment that is not intended for use",
}


@dataclass(frozen=True)
class Peer:
    """Medians, and the 95th percentile; `submit_ms` is none where it has no jobs."""

    name: str
    step_ms: float
    step_p95_ms: float
    casts_per_second: float
    submit_ms: float | None


class Missing(Exception):
    """A peer cannot be run here; the message says why."""


def measure(say: Callable[[str], None], settings: Mapping[str, str]) -> dict[str, Any]:
    """All of them, one after the other, Spellcast among them."""
    found: dict[str, Any] = {"machine": machine.facts()}
    with tempfile.TemporaryDirectory() as folder, started(Path(folder), settings) as cloud:
        url = str(cloud.provider.base_url).rstrip("/")
        say("peers: the floor and Spellcast")
        rows = [asdict(_run(sys.executable, "tests.bench.peers.floor", "floor: plain Python, SQLite {}", url, {}))]
        rows.append(asdict(_spellcast(cloud, url)))
        for peer, name in NAMES.items():
            say(f"peers: {peer}")
            try:
                rows.append(asdict(_peer(peer, name, url)))
            except Missing as missing:
                rows.append({"name": name.partition(" ")[0], "reason": str(missing)})
    found["rows"] = rows + [{"name": name, "reason": reason} for name, reason in LEFT_OUT.items()]
    return found


def _peer(peer: str, name: str, url: str) -> Peer:
    python = _environment(peer)
    if peer == "celery" and shutil.which("redis-server") is None:
        raise Missing("there is no redis-server here (apt-get install redis-server)")
    more = _restate() if peer == "restate" else {}
    return _run(str(python), f"tests.bench.peers.{peer}.workflow", name, url, more)


def _run(python: str, module: str, name: str, url: str, more: Mapping[str, str]) -> Peer:
    with tempfile.TemporaryDirectory() as folder:
        environment = {"PATH": os.environ["PATH"], "HOME": folder, "PYTHONPATH": str(ROOT), **more}
        said = _done([python, "-m", module, url, folder], environment)
    found = json.loads(said.splitlines()[-1])
    return _made(name.format(found["version"]), found["steps"], found["seconds"], found["submits"])


def _made(name: str, steps: Sequence[float], seconds: float, submits: Sequence[float] | None) -> Peer:
    return Peer(
        name,
        statistics.median(steps),
        statistics.quantiles(steps, n=20, method="inclusive")[-1],
        tool.CASTS / seconds,
        statistics.median(submits) if submits else None,
    )


def _environment(peer: str) -> Path:
    """The peer's Python; its environment is made anew where its lock has changed, as `make` does it."""
    folder, lock = FOLDER / peer / "venv", LOCKS / peer / "requirements.txt"
    python, stamp = folder / "bin" / "python", folder / "lock"
    if not stamp.exists() or stamp.read_bytes() != lock.read_bytes():
        shutil.rmtree(folder, ignore_errors=True)
        _done([sys.executable, "-m", "venv", str(folder)], dict(os.environ))
        _done([str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "-r", str(lock)], os.environ)
        shutil.copyfile(lock, stamp)
    return python


def _restate() -> dict[str, str]:
    """Where its server is, which npm has; what would run on its installation is left out."""
    folder = FOLDER / "restate" / "server"
    folder.mkdir(parents=True, exist_ok=True)
    locks = [LOCKS / "restate" / name for name in ("package.json", "package-lock.json")]
    if any(
        not (folder / lock.name).exists() or (folder / lock.name).read_bytes() != lock.read_bytes() for lock in locks
    ):
        if shutil.which("npm") is None:
            raise Missing("there is no npm here, which has its server")
        command = ["npm", "ci", "--prefix", str(folder), "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]
        for lock in locks:
            shutil.copyfile(lock, folder / lock.name)
        try:
            _done(command, os.environ)
        except Missing:
            (folder / "package.json").unlink()
            raise
    version = json.loads(locks[0].read_text())["dependencies"]["@restatedev/restate-server"]
    return {
        "BENCH_RESTATE": str(folder / "node_modules" / ".bin" / "restate-server"),
        "BENCH_RESTATE_VERSION": version,
    }


def _done(command: Sequence[str], environment: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(str(error)) from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Missing(said[-1][:200] if said else f"{command[0]} ended with {done.returncode}")
    return done.stdout


def _spellcast(cloud: Cloud, url: str) -> Peer:
    questions = cloud.spell(*_questions(url))
    jobs = cloud.spell(*[called("[seconds:0.2]", node=f"n{number}") for number in range(tool.STEPS)])
    cloud.run(questions)
    cloud.run(jobs)
    steps = []
    for _ in range(tool.SAMPLES):
        asked = [_seconds(each["requestTimestamp"]) for each in cloud.run(questions)["generations"]]
        steps.append((asked[-1] - asked[0]) / (tool.STEPS - 1) * 1000)
    submits: list[float] = []
    for _ in range(tool.SAMPLES // 2):
        runs = [each["metadata"]["run_id"] for each in cloud.run(jobs)["generations"]]
        submits += tool.submits_ms([tool.job(url, run) for run in runs])
    return _made("**Spellcast**, embedded cloud", steps, _burst(cloud, questions), submits)


def _burst(cloud: Cloud, spell: dict[str, Any]) -> float:
    """Seconds until the last of CASTS casts has ended."""
    with cloud.listening() as listener, ThreadPoolExecutor(tool.CALLERS) as pool:
        began = time.time()
        casts = list(pool.map(lambda _: cloud.cast(spell), range(tool.CASTS)))
        waiting = {cast["castId"] for cast in casts}
        while waiting:
            waiting.discard(listener.until(is_cast_end, PATIENCE)["payload"]["castId"])
    return max(_seconds(cloud.get_cast(cast)["completedAt"]) for cast in casts) - began


def _questions(url: str) -> Iterator[dict[str, Any]]:
    for number in range(tool.STEPS):
        mappings: dict[str, Any] = {"url": {"type": "static", "value": f"{url}/health"}}
        if number:
            mappings["query"] = wire(f"n{number - 1}", "result")
        yield {"id": f"n{number}", "toolIdentifier": "http-request", "parameterMappings": mappings}


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()
