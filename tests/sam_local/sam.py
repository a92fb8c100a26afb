"""SAM's command line, asked to build and to run functions in containers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.sam_local import FOLDER, ROOT, Missing
from tests.sam_local.engine import Engine, end
from tests.sam_local.template import MACHINES, PARAMETERS, architecture

BUILD = FOLDER / "build"
VARIABLES = FOLDER / "variables.json"  # of every function, by its logical id
_PATIENCE = 120.0
_OURS = ("AWS_", "SAM_", "SPELLCAST_", "PYTHON")


@dataclass(frozen=True, slots=True)
class Sam:
    """The command line, with an engine and one embedded cloud: its requests to AWS go there, too."""

    engine: Engine
    endpoint: str
    image: str | None

    def invoke(self, function: str, event: Path) -> Any:
        """What the function answers in a container of its own."""
        command = self.command("invoke", function, "--event", str(event))
        done = subprocess.run(command, cwd=ROOT, env=self._environment(), capture_output=True, text=True, check=False)
        answer = done.stdout.strip()
        if done.returncode != 0 or not answer:
            raise AssertionError(f"sam local invoke {function} ended with {done.returncode}:\n{done.stderr[-3000:]}")
        return json.loads(answer.splitlines()[-1])

    @contextmanager
    def serving(self, what: str) -> Iterator[tuple[str, Path]]:
        """`start-api` or `start-lambda`: its address and its log. A function's container is kept for the next call."""
        port, log = free_port(), FOLDER / f"{what}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                self.command(what, "--port", str(port), "--warm-containers", "LAZY"),
                cwd=ROOT,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            deadline = time.monotonic() + _PATIENCE
            while process.poll() is None and time.monotonic() < deadline:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                except OSError:
                    time.sleep(0.1)
                else:
                    yield f"http://127.0.0.1:{port}", log
                    return
            raise AssertionError(f"sam local {what} does not listen:\n{log.read_text()[-3000:]}")
        finally:
            end(process)

    def command(self, *words: str) -> list[str]:
        """`sam local`, these words, and what all of its commands are told."""
        options = ["--template", str(BUILD / "template.yaml"), "--env-vars", str(VARIABLES)]
        options += ["--layer-cache-basedir", str(FOLDER / "layers"), "--region", "us-east-1", *PARAMETERS]
        if self.image:
            options += ["--invoke-image", self.image, "--skip-pull-image"]
        return [str(_sam()), "local", *words, *options]

    def _environment(self) -> dict[str, str]:
        credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        return _environment() | credentials | {"DOCKER_HOST": self.engine.host, "AWS_ENDPOINT_URL": self.endpoint}


def build(template: dict[str, Any], python: Path) -> None:
    """`sam build` of this template, for this machine's processor. Raises Missing."""
    (FOLDER / "template.json").write_text(json.dumps(template, indent=1))
    command = [_sam(), "build", "--template", FOLDER / "template.json", "--base-dir", ROOT, "--build-dir", BUILD]
    command += ["--cached", "--cache-dir", FOLDER / "cache"]
    found = {"PATH": f"{python.parent}:{os.environ['PATH']}", "LAYER_MACHINE": MACHINES[architecture()]}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        env=_environment() | found,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Missing(f"sam build has failed:\n{done.stderr[-3000:]}")


def version() -> str:
    """`SAM CLI, version …`"""
    asked = [str(_sam()), "--version"]
    return subprocess.run(asked, env=_environment(), capture_output=True, text=True, check=True).stdout.strip()


def _sam() -> Path:
    return Path(sys.executable).parent / "sam"


def _environment() -> dict[str, str]:
    """The caller's, but for AWS; what sam would leave in the home and in /tmp comes into our folder."""
    temporary = FOLDER / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return kept | {"SAM_CLI_TELEMETRY": "0", "__SAM_CLI_APP_DIR": str(FOLDER / "app"), "TMPDIR": str(temporary)}
