"""What this machine has: an interpreter for `sam build`, and a container engine or what one of our own needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.sam_local import Missing

VERSION = "3.13"  # that of the template's functions
OF_AN_ENGINE = {"dockerd": "docker.io", "docker": "docker.io", "debootstrap": "debootstrap", "ip": "iproute2"}
_IS_VERSION = f"import sys; sys.exit('%d.%d' % sys.version_info[:2] != '{VERSION}')"


@dataclass(frozen=True, slots=True)
class Machine:
    """`engine` is why no container engine answers, or empty; `system` is /etc/os-release's ID."""

    engine: str
    system: str
    is_root: bool
    programs: frozenset[str]

    def takes_theirs(self) -> bool:
        """Whether the engine that answers is taken; otherwise one of our own can be started. Raises Missing."""
        if not self.engine:
            return True
        none = f"No container engine answers ({self.engine})."
        if self.system != "debian" or not self.is_root:
            raise Missing(f"{none} Start one, or run this as root on Debian, where it starts one of its own.")
        absent = sorted(set(OF_AN_ENGINE) - self.programs)
        if absent:
            packages = " ".join(sorted({OF_AN_ENGINE[name] for name in absent}))
            raise Missing(f"{none} One of its own needs {', '.join(absent)}: apt-get install {packages}")
        return False


def found() -> Machine:
    """This machine."""
    release = Path("/etc/os-release")
    return Machine(
        _why_no_engine(),
        read_release(release.read_text()).get("ID", "") if release.exists() else "",
        os.geteuid() == 0,
        frozenset(name for name in OF_AN_ENGINE if shutil.which(name)),
    )


def read_release(text: str) -> dict[str, str]:
    """The fields of /etc/os-release."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name: value.strip("\"'") for name, _, value in pairs}


def _why_no_engine() -> str:
    if not shutil.which("docker"):
        return "there is no docker command"
    asked = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True, check=False
    )
    said = asked.stderr.strip().splitlines()
    return "" if asked.returncode == 0 else (said or [f"docker version ended with {asked.returncode}"])[-1]


def interpreter(environment: Mapping[str, str]) -> Path:
    """The Python of the functions' version: the one that `make` was given, or one on PATH. Raises Missing."""
    path = environment.get("PATH")
    for name in (environment.get("PYTHON") or "python3", f"python{VERSION}", sys.executable):
        program = shutil.which(name, path=path)
        # A version manager's shim is on PATH, too, and may not run.
        if program and subprocess.run([program, "-c", _IS_VERSION], capture_output=True, check=False).returncode == 0:
            asked = [program, "-c", "import sys; print(sys._base_executable)"]
            return Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()).resolve()
    raise Missing(
        f"`sam build` needs Python {VERSION}, and none is on PATH: make PYTHON=/path/to/python{VERSION} sam-local"
    )
