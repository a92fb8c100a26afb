"""The container engine that is there, or one of our own: Debian's, on a private socket, gone when the block ends."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.sam_local import Missing

BRIDGE = "spellcast-sam"  # at most 15 characters
ADDRESS = "172.29.93.1"
_START_SECONDS = 30.0
_STOP_SECONDS = 30.0
# Containers reach this machine and nothing else, so neither its firewall nor its forwarding is touched.
_OPTIONS = (
    f"--bridge={BRIDGE}",
    f"--cgroup-parent={BRIDGE}",
    "--iptables=false",
    "--ip6tables=false",
    "--ip-forward=false",
    "--ip-masq=false",
)


@dataclass(frozen=True, slots=True)
class Engine:
    """Its address, as DOCKER_HOST has it, and that of this machine on the bridge that its containers are on."""

    host: str
    bridge: str

    def docker(self, *words: str, stdin: int | None = None) -> str:
        """What a command of docker says. Raises Missing with its error."""
        environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "DOCKER_HOST": self.host}
        done = subprocess.run(["docker", *words], env=environment, stdin=stdin, capture_output=True, text=True)
        if done.returncode != 0:
            raise Missing(f"docker {words[0]} has failed: {done.stderr.strip()}")
        return done.stdout.strip()

    @property
    def version(self) -> str:
        return self.docker("version", "--format", "{{.Server.Version}}")


@contextmanager
def theirs(build: Path) -> Iterator[Engine]:
    """The engine that answers, and afterwards nothing in it that SAM has made. Raises Missing."""
    host = os.environ.get("DOCKER_HOST") or Engine("", "").docker(
        "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"
    )
    engine = Engine(host, "")
    networks = engine.docker("network", "inspect", "bridge", "--format", "{{json .IPAM.Config}}")
    engine = Engine(host, read_gateway(networks))
    try:
        with socket.socket() as probe:
            probe.bind((engine.bridge, 0))
    except OSError as error:
        raise Missing(
            f"The bridge of the containers ({engine.bridge}) is no address of this machine, so they cannot reach a "
            f"cloud on it ({error}). An engine that runs in a virtual machine is not provided for."
        ) from None
    before = set(_built(engine))
    try:
        yield engine
    finally:
        _remove_containers(engine, build)
        if made := set(_built(engine)) - before:
            engine.docker("rmi", *made)


def read_gateway(networks: str) -> str:
    """The bridge's own address, in IPAM's configuration: some versions leave it out, where it is the subnet's first."""
    [network] = [each for each in json.loads(networks) if ":" not in each["Subnet"]]
    return str(network.get("Gateway") or ipaddress.ip_network(network["Subnet"])[1])


def _remove_containers(engine: Engine, build: Path) -> None:
    """Those of the functions that lie there: a sam that was killed leaves its container behind."""
    filters = [word for place in build.glob("*/") for word in ("--filter", f"volume={place}")]
    if filters and (left := engine.docker("ps", "--all", "--quiet", *filters).split()):
        engine.docker("rm", "--force", *left)


def _built(engine: Engine) -> list[str]:
    return engine.docker(
        "images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference=samcli/lambda-python"
    ).split()


@contextmanager
def ours(folder: Path, build: Path) -> Iterator[Engine]:
    """An engine whose socket, images and log lie in this folder, with a bridge of its own. Raises Missing."""
    engine = Engine(f"unix://{folder}/docker.sock", ADDRESS)
    _end_before(folder)
    with _nothing_left(), _bridge(), (folder / "dockerd.log").open("wb") as log:
        places = [f"--host={engine.host}", f"--data-root={folder}/docker", f"--exec-root={folder}/run"]
        process = subprocess.Popen(
            ["dockerd", *places, f"--pidfile={folder}/dockerd.pid", *_OPTIONS],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us, who then stop it
        )
        try:
            _await(engine, process, folder / "dockerd.log")
            yield engine
            _remove_containers(engine, build)
        finally:
            end(process)


def _end_before(folder: Path) -> None:
    """The engine of a run that was killed goes on."""
    try:
        pid = int((folder / "dockerd.pid").read_text())
        if f"--data-root={folder}/docker" not in Path(f"/proc/{pid}/cmdline").read_text().split("\0"):
            return  # the number is somebody else's by now
    except (OSError, ValueError):
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)


@contextmanager
def _nothing_left() -> Iterator[None]:
    """Takes away the empty folders that dockerd leaves behind: those of its cgroups, and of plugins if it made them."""
    plugins = [place for place in (Path("/run/docker/plugins"), Path("/run/docker")) if not place.exists()]
    try:
        yield
    finally:
        for place in (*plugins, *Path("/sys/fs/cgroup").glob(f"**/{BRIDGE}")):
            with suppress(OSError):  # it is not there, or somebody else uses it
                place.rmdir()


@contextmanager
def _bridge() -> Iterator[None]:
    _ip("link", "delete", BRIDGE)  # of a run that was killed
    try:
        for words in (("link", "add", BRIDGE, "type", "bridge"), ("address", "add", f"{ADDRESS}/24", "dev", BRIDGE)):
            if error := _ip(*words):
                raise Missing(f"The containers' bridge cannot be made: {error}")
        _ip("link", "set", BRIDGE, "up")
        yield
    finally:
        _ip("link", "delete", BRIDGE)


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=False).stderr.strip()


def _await(engine: Engine, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            engine.docker("version")
        except Missing:
            time.sleep(0.1)
        else:
            return
    lines = log.read_text(errors="replace").strip().splitlines() or ["it gave no reason"]
    raise Missing(f"dockerd does not start: {lines[-1]}")


def end(process: subprocess.Popen[bytes]) -> None:
    """Asks a process to end, and makes it after a while: SIGTERM, since sam takes its containers away only then."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
