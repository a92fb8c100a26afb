"""Where the time goes between a completion and the next submit: py-spy looks at the cloud and at its functions.

It has an environment of its own (tests/bench/requirements.txt), and may look at other processes where it runs as root
or the system lets it.
"""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.marked import ROOT
from tests.bench.memory import family
from tests.cloud import Cloud, called

PY_SPY = ROOT / ".local" / "bench" / "venv" / "bin" / "py-spy"
FUNCTIONS = ("complete_job", "process_output", "execute_step", "notify")
_RATE = 250  # looks a second
_CASTS, _STEPS = 4, 10

# By the innermost frame that one of these fits.
_IN_FUNCTIONS = {
    "waiting": ("socket.py", "ssl.py", "selectors.py"),
    "boto3": ("botocore/", "boto3/", "urllib3/", "http/client.py", "s3transfer/"),
    "fetching": ("httpx/", "httpcore/", "h11/"),
    "own": ("spellcast/",),
}
_IN_CLOUD = {
    "saving its state": ("get_state", "save_state", "local/journal"),
    "table": ("services/dynamodb",),
    "machine": ("services/stepfunctions", "_execute_task", "_run_execution"),
    "functions": ("services/lambda", "core/lambda_runtime", "Worker.", "_execute_function"),
    "other services": ("services/",),
    "own mends and counters": ("local/",),
    "serving HTTP": ("hypercorn/", "h11/", "wsproto/", "asyncio/", "ministack/app.py"),
}


def profile(cloud: Cloud) -> dict[str, Any]:
    """Of casts of ten webhook steps, one after the other: milliseconds a call of a function by what it does, and the
    part of one core that the cloud's process takes by what it does. Only a `reason` where nothing could be seen.
    """
    spell = cloud.spell(*[called("[seconds:0.1]", node=f"n{number}") for number in range(_STEPS)])
    cloud.await_cast(cloud.cast(spell))
    with tempfile.TemporaryDirectory() as folder:
        looking = [
            (name, Path(folder) / str(process), _look(process, Path(folder) / str(process), name))
            for name, process in _processes(cloud)
        ]
        time.sleep(1)
        for *_, each in looking:
            if each.poll() is not None:
                return {"reason": _said(each)}
        cloud.reset_counts()
        began = time.perf_counter()
        for _ in range(_CASTS):
            cloud.await_cast(cloud.cast(spell))
        busy = time.perf_counter() - began
        calls = {name: sum(by.values()) for name, by in cloud.counts()["invocations"].items()}
        samples: dict[str, str] = {}
        for name, file, each in looking:
            each.send_signal(signal.SIGINT)
            each.communicate()
            samples[name] = samples.get(name, "") + (file.read_text() if file.exists() else "")
    return {
        "functions": {
            name: _milliseconds(samples[name], calls[f"spellcast-local-{name}"])
            for name in FUNCTIONS
            if name in samples
        },
        "cloud": {
            group: count / _RATE / busy for group, count in _grouped(_stacks(samples["cloud"]), _IN_CLOUD).items()
        },
        "request_ms": _request_ms(cloud),
    }


def _processes(cloud: Cloud) -> Iterator[tuple[str, int]]:
    yield "cloud", cloud.process
    for process in family({cloud.process}):
        try:
            folder = str(Path(f"/proc/{process}/cwd").readlink())
        except OSError:
            continue
        yield from ((name, process) for name in FUNCTIONS if f"spellcast-local-{name}-" in folder)


def _look(process: int, file: Path, name: str) -> subprocess.Popen[str]:
    """Until it is interrupted: at what runs Python in the cloud's threads, at what a function does or waits for."""
    kind = "--gil" if name == "cloud" else "--idle"
    command = [str(PY_SPY), "record", "--format", "raw", "--rate", str(_RATE), kind, "--output", str(file)]
    return subprocess.Popen(
        [*command, "--pid", str(process)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def _said(process: subprocess.Popen[str]) -> str:
    _, said = process.communicate()
    return said.strip().splitlines()[-1] if said.strip() else f"py-spy ended with {process.returncode}"


def _stacks(text: str) -> Iterator[tuple[list[str], int]]:
    """Frames from the outermost in, and how often they were seen."""
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        yield stack.split(";"), int(count)


def _grouped(stacks: Iterator[tuple[list[str], int]], groups: dict[str, tuple[str, ...]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for frames, count in stacks:
        names = (
            name for frame in reversed(frames) for name, parts in groups.items() if any(part in frame for part in parts)
        )
        found[next(names, "other")] += count
    return found


def _milliseconds(text: str, calls: int) -> dict[str, float]:
    """Of one call, inside the function's handler."""
    inside = ((frames, count) for frames, count in _stacks(text) if any("lambda_handler" in frame for frame in frames))
    return {name: count / _RATE / calls * 1000 for name, count in _grouped(inside, _IN_FUNCTIONS).items()} | {
        "calls": calls / _CASTS / _STEPS
    }


def _request_ms(cloud: Cloud, requests: int = 200) -> float:
    """A read of a row from here, by boto3 on a connection that is open."""
    client, key = cloud.aws("dynamodb"), {"pk": {"S": "BENCH"}, "sk": {"S": "BENCH"}}
    client.get_item(TableName=cloud.outputs["tableName"], Key=key)
    began = time.perf_counter()
    for _ in range(requests):
        client.get_item(TableName=cloud.outputs["tableName"], Key=key)
    return (time.perf_counter() - began) / requests * 1000
