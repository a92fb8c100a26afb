"""Starts and stops the embedded cloud from any Python: the launcher's command line and the tests use it.

Everything of one cloud lies in `<directory>/<port>/`; `<directory>/outputs.json` belongs to the one last brought up.
"""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from local.environment import BRIDGE, DIRECTORY, FAULTS, MENDS, PORT, WORKERS

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".local" / "venv" / "bin" / "python"
START_SECONDS = 30
STOP_SECONDS = 15
FREEING_SECONDS = 1  # a process that was killed a moment ago still has its port


class Refused(RuntimeError):
    """The cloud cannot be started; the message is one line that says what to do."""


def chosen(environment: Mapping[str, str]) -> tuple[int, Path]:
    """Port and directory as the environment names them."""
    text = PORT.of(environment)
    if not (text.isascii() and text.isdigit()) or not 1023 < int(text) < 65535:
        raise Refused(f"{PORT.name} is {text!r}; choose a port between 1024 and 65534.")
    return int(text), Path(environment.get(DIRECTORY.name) or ROOT / DIRECTORY.default).resolve()


def running(port: int, directory: Path) -> int | None:
    """The process id of the cloud on this port, if it runs."""
    return _ours(directory / str(port) / "cloud.pid", "local.cloud", port)


def start(
    port: int,
    directory: Path,
    *,
    template: Path = ROOT / "template.yaml",
    provider: bool = True,
    environment: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Start what does not run yet, deploy the template, and answer with what outputs.json says."""
    given = dict(os.environ if environment is None else environment)
    _require_one_address(BRIDGE.of(given))
    folder = directory / str(port)
    folder.mkdir(parents=True, exist_ok=True)
    # One at a time: of two that start the same cloud, the second finds it running.
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _start(port, directory, folder, template, provider, given)


def _start(
    port: int, directory: Path, folder: Path, template: Path, provider: bool, given: dict[str, str]
) -> dict[str, str]:
    started = False
    try:
        provider_runs = _ours(folder / "provider.pid", "local.demo_provider", port + 1) is not None
        if running(port, directory) is None:
            _require_free(port)
            if provider and not provider_runs:
                _require_free(port + 1)
            started = True
            _spawn(folder, "cloud", ["local.cloud", "--port", str(port), "--directory", str(folder)], given)
            _await_health(folder, "cloud", f"http://127.0.0.1:{port}/_ministack/health")
        if provider and not provider_runs:
            _spawn(folder, "provider", ["local.demo_provider", "--port", str(port + 1)], given)
            _await_health(folder, "provider", f"http://127.0.0.1:{port + 1}/health")
        command = [str(PYTHON), "-m", "local.deploy", "--template", str(template), "--port", str(port)]
        done = subprocess.run([*command, "--directory", str(directory)], cwd=ROOT, env=given, check=False)
        if done.returncode != 0:
            raise Refused(f"The deployment failed; the cloud's log is {folder / 'cloud.log'}.")
    except BaseException:
        if started:
            stop(port, directory)
        raise
    outputs: dict[str, str] = json.loads((folder / "outputs.json").read_text())
    shutil.copyfile(folder / "outputs.json", directory / "outputs.json")
    return outputs


def stop(port: int, directory: Path) -> bool:
    """Stop cloud and demo provider of this port; tell whether the cloud ran."""
    folder = directory / str(port)
    ran = False
    for name, module, own in (("cloud", "local.cloud", port), ("provider", "local.demo_provider", port + 1)):
        file = folder / f"{name}.pid"
        pid = _ours(file, module, own)
        if pid is not None:
            ran = ran or name == "cloud"
            _end(pid)
        file.unlink(missing_ok=True)
    last = directory / "outputs.json"
    if ran and last.exists() and json.loads(last.read_text()).get("endpointUrl", "").endswith(f":{port}"):
        last.unlink()
        for other in directory.glob("*/outputs.json"):
            if other.parent.name.isdigit() and running(int(other.parent.name), directory):
                shutil.copyfile(other, last)  # a cloud that runs beside the one that stopped
    return ran


def forget(port: int, directory: Path) -> None:
    """Remove all that the stopped cloud of this port has kept: its rows, objects and keys."""
    shutil.rmtree(directory / str(port), ignore_errors=True)


def _spawn(folder: Path, name: str, arguments: list[str], given: Mapping[str, str]) -> None:
    kept = {key: value for key, value in given.items() if key in ("PATH", BRIDGE.name, MENDS.name, FAULTS.name)}
    kept |= {key: value for key, value in given.items() if key.startswith((WORKERS.name, "SPELLCAST_DEMO_"))}
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [str(PYTHON), "-m", *arguments],
            cwd=ROOT,
            env=kept | {"LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    (folder / f"{name}.pid").write_text(f"{process.pid}\n")
    process.returncode = 0  # it outlives this object; `_alive` collects it if it ends


def _require_one_address(bridge: str) -> None:
    try:
        is_one = not bridge or not ipaddress.IPv4Address(bridge).is_unspecified
    except ValueError:
        is_one = False
    if not is_one:
        raise Refused(f"{BRIDGE.name} is {bridge!r}; name one IPv4 address of this machine.")


def _require_free(port: int) -> None:
    end = time.monotonic() + FREEING_SECONDS
    while _is_taken(port):
        if time.monotonic() > end:
            raise Refused(f"Port {port} is in use by another program; choose others with {PORT.name}.")
        time.sleep(0.03)


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _await_health(folder: Path, name: str, url: str) -> None:
    end = time.monotonic() + START_SECONDS
    pid = int((folder / f"{name}.pid").read_text())
    while time.monotonic() < end and _alive(pid):
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.03)
    lines = (folder / f"{name}.log").read_text(errors="replace").split("\n")
    reason = next((line for line in reversed(lines) if line.strip()), "it gave no reason")
    raise Refused(f"The {name} did not start: {reason} (log: {folder / f'{name}.log'})")


def _ours(file: Path, module: str, port: int) -> int | None:
    """The process id in a file, if that process is what the file says: ids are used again by others."""
    try:
        pid = int(file.read_text())
    except (OSError, ValueError):
        return None
    if not _alive(pid):
        return None
    words = _command_line(pid)
    return pid if module in words and str(port) in words else None


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        shown = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return shown.stdout.split()


def _alive(pid: int) -> bool:
    try:
        os.waitpid(pid, os.WNOHANG)  # where it is our child, its end must be collected
    except ChildProcessError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _end(pid: int) -> None:
    """Ask the process to end, and see to it that nothing of its group is left."""
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + STOP_SECONDS
    while _alive(pid) and time.monotonic() < end:
        time.sleep(0.03)
    try:
        os.killpg(pid, signal.SIGKILL)  # the launcher leads its group: its workers are in it
    except (ProcessLookupError, PermissionError):
        pass
